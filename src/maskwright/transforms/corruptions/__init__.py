"""Damage to pictures at five strengths, to measure how well a model holds out.

Noise, blur, weather, light and compression as ImageNet-C defines them (Hendrycks and Dietterich,
Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR 2019,
https://arxiv.org/abs/1903.12261); the strengths' constants are theirs, the code is ours. What
differs, and why, stands beside each function. Its elastic transform is left out: it moves objects
away from their masks.
"""

from __future__ import annotations

from maskwright.transforms.corruptions.corruption import REFERENCE_SIDE, STRENGTHS, Corruption
from maskwright.transforms.corruptions.occlusion import OCCLUSIONS, Occlusion, occluded_truth
from maskwright.transforms.corruptions.table import (
    CORRUPTIONS,
    corrupt,
    corruption_names,
    require_corruptions,
    require_strengths,
)

__all__ = [
    "CORRUPTIONS",
    "OCCLUSIONS",
    "REFERENCE_SIDE",
    "STRENGTHS",
    "Corruption",
    "Occlusion",
    "corrupt",
    "corruption_names",
    "occluded_truth",
    "require_corruptions",
    "require_strengths",
]
