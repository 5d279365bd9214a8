"""Exact binary masks of the objects of one picture, stored as vertical runs.

NumPy and Numba only: importing this package loads neither torch nor Numba; Numba is loaded when
the first kernel is called.
"""

from __future__ import annotations

from maskwright.masks.masks import Masks
from maskwright.masks.outlines import Outline

__all__ = ["Masks", "Outline"]
