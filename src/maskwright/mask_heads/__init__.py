"""Networks that draw the mask of each box."""

from __future__ import annotations

from typing import TypeAlias

from maskwright.mask_heads.class_map import ClassMapHead
from maskwright.mask_heads.deeplab import DeepLab
from maskwright.mask_heads.fcn import FCN
from maskwright.mask_heads.mask_head import MaskHead
from maskwright.mask_heads.mask_rcnn import MaskRCNNHead
from maskwright.mask_heads.mask_targets import crop_targets, point_targets, spread_rois
from maskwright.mask_heads.prototypes import Prototypes
from maskwright.mask_heads.refined import CoarseHeadConfig, Refined

MaskHeadConfig: TypeAlias = CoarseHeadConfig | Refined.Config

__all__ = [
    "FCN",
    "ClassMapHead",
    "CoarseHeadConfig",
    "DeepLab",
    "MaskHead",
    "MaskHeadConfig",
    "MaskRCNNHead",
    "Prototypes",
    "Refined",
    "crop_targets",
    "point_targets",
    "spread_rois",
]
