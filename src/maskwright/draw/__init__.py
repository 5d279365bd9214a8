"""Objects and class maps made visible: overlays, contact sheets, their colours and labels."""

from __future__ import annotations

from maskwright.draw.class_overlay import class_overlay
from maskwright.draw.colours import distinct_colours
from maskwright.draw.contact import contact_sheet
from maskwright.draw.overlay import overlay, save_overlay

__all__ = [
    "class_overlay",
    "contact_sheet",
    "distinct_colours",
    "overlay",
    "save_overlay",
]
