"""What the pages of measured results share: reading measured files, and words for figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
MEASURED = PROJECT / "benchmarks" / "measured"


def read(name: str) -> dict[str, Any] | None:
    """Return a measured file, or None where it has not been measured."""
    path = MEASURED / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def percent(value: float) -> str:
    """Show a share in percent; below 0: undefined."""
    return "n/a" if value < 0 else f"{100 * value:.1f}"


def interval(ends: list[float] | None) -> str:
    """Show an interval in percent; its ends may be below 0."""
    return "no interval" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def machine_line(machine: dict[str, Any]) -> str:
    """Say what the figures were measured on."""
    versions = f"torch {machine['torch']}, maskwright {machine['maskwright']}"
    return (
        f"Measured on {machine['cores']} cores ({machine['capability']}), Python "
        f"{machine['python']}, {versions} at commit {machine['commit']}."
    )
