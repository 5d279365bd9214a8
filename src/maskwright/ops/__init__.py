"""Pure functions that detectors and mask heads share."""

from __future__ import annotations

from maskwright.ops.anchors import cell_anchors, grid_anchors
from maskwright.ops.boxes import (
    are_larger,
    box_areas,
    clip_boxes,
    decode_boxes,
    encode_boxes,
    pairwise_coverage,
    pairwise_iou,
    scale_boxes,
)
from maskwright.ops.cells import Cells, decode_distances, encode_distances, grid_cells
from maskwright.ops.detections import select_detections
from maskwright.ops.generalized_focal import (
    distribution_focal_loss,
    expected_value,
    quality_focal_loss,
)
from maskwright.ops.losses import mean_over_pictures, zero_with_gradient
from maskwright.ops.matching import BACKGROUND, IGNORED, match_by_iou, match_targets
from maskwright.ops.paired_iou import giou_loss, paired_iou
from maskwright.ops.ranges import Count, Fraction, NonNegative, Positive, PositiveCount
from maskwright.ops.roi_pooling import PoolMethod, assign_levels, pool_rois, pooled_levels
from maskwright.ops.sampling import BalancedSampler, Sampler
from maskwright.ops.setting import Setting

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "BalancedSampler",
    "Cells",
    "Count",
    "Fraction",
    "NonNegative",
    "PoolMethod",
    "Positive",
    "PositiveCount",
    "Sampler",
    "Setting",
    "are_larger",
    "assign_levels",
    "box_areas",
    "cell_anchors",
    "clip_boxes",
    "decode_boxes",
    "decode_distances",
    "distribution_focal_loss",
    "encode_boxes",
    "encode_distances",
    "expected_value",
    "giou_loss",
    "grid_anchors",
    "grid_cells",
    "match_by_iou",
    "match_targets",
    "mean_over_pictures",
    "paired_iou",
    "pairwise_coverage",
    "pairwise_iou",
    "pool_rois",
    "pooled_levels",
    "quality_focal_loss",
    "scale_boxes",
    "select_detections",
    "zero_with_gradient",
]
