"""What a corruption is: a name, five levels, and a function of pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float32

__all__ = ["REFERENCE_SIDE", "STRENGTHS", "Corruption", "Family", "Pixels"]

Pixels: TypeAlias = Float32[np.ndarray, "h w 3"]
"""RGB from 0 to 1."""

Family: TypeAlias = Literal["noise", "blur", "weather", "light", "compression", "occlusion"]

STRENGTHS = (1, 2, 3, 4, 5)
"""From hardly visible to hardly recognisable."""

REFERENCE_SIDE = 224
"""ImageNet-C's pictures have so many pixels a side; its lengths are pixels of such pictures."""


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One kind of damage that leaves objects where they are.

    Args:
        name: As on the command line.
        family: What it is like.
        levels: What `apply` takes, by strength from 1 to 5.
        apply: (pixels, level, scale, generator) -> pixels, not clipped. Lengths in the level are
            multiplied by `scale`. The same generator must give the same pattern at every
            strength, as far as the definition allows, so that strengths differ in strength alone.
        is_for_bytes: It takes and gives whole grey levels of 255, as files do.
    """

    name: str
    family: Family
    levels: tuple[Any, Any, Any, Any, Any]
    apply: Callable[[Pixels, Any, float, np.random.Generator], Pixels]
    is_for_bytes: bool = False
