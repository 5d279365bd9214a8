"""Networks that draw the mask of each box."""

from __future__ import annotations

from typing import TypeAlias

from maskwright.mask_heads.mask_head import MaskHead
from maskwright.mask_heads.mask_rcnn import MaskRCNNHead
from maskwright.mask_heads.mask_targets import crop_targets, spread_rois

MaskHeadConfig: TypeAlias = MaskRCNNHead.Config

__all__ = ["MaskHead", "MaskHeadConfig", "MaskRCNNHead", "crop_targets", "spread_rois"]
