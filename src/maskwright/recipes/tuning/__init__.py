"""Studies: which options train best on some pictures."""

from __future__ import annotations

from maskwright.recipes.tuning.search_space import Choices, Range
from maskwright.recipes.tuning.study import Study, Tried
from maskwright.recipes.tuning.tuning import tune

__all__ = ["Choices", "Range", "Study", "Tried", "tune"]
