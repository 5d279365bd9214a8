"""A package imports from lower layers and never from higher ones (docs/architecture.md)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

_SOURCE = Path(__file__).resolve().parent.parent / "src" / "maskwright"

# Rank by package: a file may import from its own package and from any lower rank.
_RANK = {
    "errors": 0,
    "devices": 1,
    "kept_memory": 1,
    "files": 1,
    "ray_session": 1,
    "masks": 2,
    "conversions": 3,
    "structures": 4,
    "ops": 5,
    "score_calibration": 5,
    "transforms": 10,
    "data": 11,
    "draw": 12,
    "backbones": 20,
    "detectors": 21,
    "mask_heads": 21,
    "model": 30,
    "training": 40,
    "evaluation": 40,
    "inference": 40,
    "explain": 45,
    "recipes": 50,
    "cli": 60,
    "__main__": 70,
    "__init__": 70,
}

# Conveniences that reach upwards inside a function, each with its reason in docs/architecture.md.
# (structures -> draw inside `save_overlay`; conversions -> structures for annotations only)
_ALLOWED_UPWARDS = {("structures", "draw"), ("conversions", "structures")}


def _package_of(path: Path) -> str:
    return path.relative_to(_SOURCE).parts[0].removesuffix(".py")


def _imported_packages(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
            if node.module == "maskwright":
                names = [f"maskwright.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        assert not (isinstance(node, ast.ImportFrom) and node.level), "imports are absolute"
        found |= {name.split(".")[1] for name in names if name.startswith("maskwright.")}
    return found


@pytest.mark.parametrize("path", sorted(_SOURCE.rglob("*.py")), ids=lambda path: path.stem)
def test_a_file_imports_only_from_its_own_or_a_lower_layer(path: Path) -> None:
    package = _package_of(path)
    assert package in _RANK, f"{package} has no layer: say where it belongs"
    for imported in _imported_packages(ast.parse(path.read_text())):
        if imported in (package, "__version__") or (package, imported) in _ALLOWED_UPWARDS:
            continue
        assert _RANK[imported] < _RANK[package], f"{package} must not import {imported}"
