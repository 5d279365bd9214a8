"""A run over many pictures in parts, which any number of processes predict and one joins."""

from __future__ import annotations

from maskwright.inference.parts.joining import join_parts
from maskwright.inference.parts.plan import Part, PartOptions, Plan, open_plan, read_plan
from maskwright.inference.parts.working import PartReport, predict_part

__all__ = [
    "Part",
    "PartOptions",
    "PartReport",
    "Plan",
    "join_parts",
    "open_plan",
    "predict_part",
    "read_plan",
]
