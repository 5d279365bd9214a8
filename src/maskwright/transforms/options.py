"""Number types for the options of transforms, and the check that every option class shares."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from functools import cache
from typing import Annotated, Any, cast, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError

from maskwright.errors import ConfigError

__all__ = ["Positive", "PositiveCount", "Probability", "Share", "check_options"]

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
"""0 never, 1 always."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]
"""A part of a whole, 0 to 1."""

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
"""A number above 0."""

PositiveCount = Annotated[int, Field(ge=1)]
"""An integer from 1."""


def check_options(options: Any, *, ranges: tuple[str, ...] = ()) -> None:
    """Hold the fields of a frozen dataclass against their annotations, as a run's config does.

    Values of another type that mean the same (lists for tuples) are replaced.

    Args:
        options: The dataclass; called in its `__post_init__`.
        ranges: Fields that are (low, high).

    Raises:
        ConfigError: A value outside its range, named.
    """
    for name, adapter in _adapters(cast("Hashable", type(options))).items():
        value = getattr(options, name)
        try:
            object.__setattr__(options, name, adapter.validate_python(value))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise ConfigError(
                f"{type(options).__name__}.{name}: {problem['msg']}, got {value!r}"
            ) from error
    for name in ranges:
        low, high = getattr(options, name)
        if low > high:
            raise ConfigError(
                f"{type(options).__name__}.{name} must be (low, high) with low <= high, "
                f"got {(low, high)}"
            )


@cache
def _adapters(option_class: Any) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(option_class, include_extras=True)
    return {
        field.name: TypeAdapter(hints[field.name]) for field in dataclasses.fields(option_class)
    }
