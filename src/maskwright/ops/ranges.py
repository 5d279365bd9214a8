"""Number types with a range, for the fields of Config classes; pydantic checks them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

__all__ = ["Balance", "Count", "Fraction", "NonNegative", "Positive", "PositiveCount"]

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
"""A float in [0, 1]."""

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
"""A float above 0."""

NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
"""A float from 0."""

Balance = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A float in [0, 1): beta of `class_balanced_weights`."""

Count = Annotated[int, Field(ge=0)]
"""An integer from 0."""

PositiveCount = Annotated[int, Field(ge=1)]
"""An integer from 1."""
