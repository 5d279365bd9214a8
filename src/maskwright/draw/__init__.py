"""Objects and class maps made visible: overlays, contact sheets, their colours and labels."""

from __future__ import annotations

from maskwright.draw.augmented import augmented_sheet
from maskwright.draw.class_overlay import class_overlay
from maskwright.draw.colours import distinct_colours
from maskwright.draw.contact import contact_sheet
from maskwright.draw.display import displayed
from maskwright.draw.heat import heat_overlay
from maskwright.draw.overlay import overlay, overlay_of_windows, save_overlay
from maskwright.draw.shrinking import LARGEST_OVERLAY, overlay_factor

__all__ = [
    "LARGEST_OVERLAY",
    "augmented_sheet",
    "class_overlay",
    "contact_sheet",
    "displayed",
    "distinct_colours",
    "heat_overlay",
    "overlay",
    "overlay_factor",
    "overlay_of_windows",
    "save_overlay",
]
