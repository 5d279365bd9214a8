"""What the options of a part should fit: the data and the hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Setting"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """From this a detector's or mask head's `Config.for_setting` chooses its numbers.

    Args:
        width: Channels of the features, and what a part should have in layers of its own.
        is_light: The part should be cheap: a processor trains it, not a GPU.
        small_object: Side of a square as large as small objects, in pixels of the batch.
        room: Detections per picture to make room for.
        backbone: Config of the shared backbone, for a part with a network of its own, which may
            then be of the same kind and start from the same weights; None where it is not known.
    """

    width: int
    is_light: bool
    small_object: float
    room: int
    backbone: Any = None
