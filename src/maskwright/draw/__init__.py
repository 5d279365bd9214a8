"""Objects made visible: overlays, contact sheets, and the colours and labels they use."""

from __future__ import annotations

from maskwright.draw.colours import distinct_colours
from maskwright.draw.contact import contact_sheet
from maskwright.draw.overlay import overlay, overlay_of_windows, save_overlay
from maskwright.draw.shrinking import LARGEST_OVERLAY, overlay_factor

__all__ = [
    "LARGEST_OVERLAY",
    "contact_sheet",
    "distinct_colours",
    "overlay",
    "overlay_factor",
    "overlay_of_windows",
    "save_overlay",
]
