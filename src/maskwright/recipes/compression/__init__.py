"""Smaller and faster models of trained ones: pruning, distillation, training for int8."""

from __future__ import annotations

from maskwright.recipes.compression.compressing import Compression, compress, resume_compression
from maskwright.recipes.compression.measuring import Measured
from maskwright.recipes.compression.plan import METHODS, Method
from maskwright.recipes.compression.pruning import Pruned, prune

__all__ = [
    "METHODS",
    "Compression",
    "Measured",
    "Method",
    "Pruned",
    "compress",
    "prune",
    "resume_compression",
]
