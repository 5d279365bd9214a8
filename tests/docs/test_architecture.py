"""The worked example of the architecture page is a detector, and keeps the detectors' contract."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

from contracts.detector_contract import DetectorContract

_PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "architecture.md"


def _load(name: str, source: str, **known: object) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(known)
    sys.modules[name] = module  # annotations are looked up there
    exec(compile(source, f"{_PAGE.name} ({name})", "exec"), module.__dict__)
    return module


_DETECTOR, _TEST = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
_SQUARE_GRID = _load("square_grid", _DETECTOR).SquareGrid


class TestSquareGrid(_load("test_square_grid", _TEST, SquareGrid=_SQUARE_GRID).TestSquareGrid):
    """The test on the page, as it stands there."""


def test_the_test_on_the_page_inherits_the_contract() -> None:
    assert issubclass(TestSquareGrid, DetectorContract)
