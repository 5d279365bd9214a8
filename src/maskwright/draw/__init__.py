"""Objects made visible: overlays, contact sheets, and the colours and labels they use."""

from __future__ import annotations

from maskwright.draw.colours import distinct_colours
from maskwright.draw.contact import contact_sheet
from maskwright.draw.overlay import overlay, save_overlay

__all__ = [
    "contact_sheet",
    "distinct_colours",
    "overlay",
    "save_overlay",
]
