"""Pure functions that detectors and mask heads share."""

from __future__ import annotations

from maskwright.ops.anchors import cell_anchors, grid_anchors
from maskwright.ops.box_loss import BoxLoss, IoULoss, delta_loss, iou_loss
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
from maskwright.ops.class_balance import class_balanced_weights, object_weights
from maskwright.ops.class_loss import (
    ClassLoss,
    CrossEntropy,
    Focal,
    QualityFocal,
    class_weights,
    sigmoid_focal_loss,
    softmax_class_loss,
)
from maskwright.ops.detections import select_detections
from maskwright.ops.generalized_focal import (
    distribution_focal_loss,
    expected_value,
    quality_focal_loss,
)
from maskwright.ops.losses import mean_over_pictures, zero_with_gradient
from maskwright.ops.mask_loss import (
    MASK_LOSSES,
    MaskLoss,
    MaskTerm,
    mask_loss_names,
    parse_mask_loss,
)
from maskwright.ops.mask_losses import (
    boundary_loss,
    dice_loss,
    lovasz_hinge_loss,
    lovasz_loss,
    signed_distances,
)
from maskwright.ops.matching import BACKGROUND, IGNORED, match_by_iou, match_targets
from maskwright.ops.paired_iou import ciou_loss, diou_loss, giou_loss, paired_iou
from maskwright.ops.point_sampling import sample_crops, spread_points, uncertain_points
from maskwright.ops.ranges import (
    Balance,
    Count,
    Fraction,
    NonNegative,
    Positive,
    PositiveCount,
)
from maskwright.ops.roi_pooling import PoolMethod, assign_levels, pool_rois, pooled_levels
from maskwright.ops.sampling import BalancedSampler, Sampler
from maskwright.ops.setting import Setting

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "MASK_LOSSES",
    "Balance",
    "BalancedSampler",
    "BoxLoss",
    "Cells",
    "ClassLoss",
    "Count",
    "CrossEntropy",
    "Focal",
    "Fraction",
    "IoULoss",
    "MaskLoss",
    "MaskTerm",
    "NonNegative",
    "PoolMethod",
    "Positive",
    "PositiveCount",
    "QualityFocal",
    "Sampler",
    "Setting",
    "are_larger",
    "assign_levels",
    "boundary_loss",
    "box_areas",
    "cell_anchors",
    "ciou_loss",
    "class_balanced_weights",
    "class_weights",
    "clip_boxes",
    "decode_boxes",
    "decode_distances",
    "delta_loss",
    "dice_loss",
    "diou_loss",
    "distribution_focal_loss",
    "encode_boxes",
    "encode_distances",
    "expected_value",
    "giou_loss",
    "grid_anchors",
    "grid_cells",
    "iou_loss",
    "lovasz_hinge_loss",
    "lovasz_loss",
    "mask_loss_names",
    "match_by_iou",
    "match_targets",
    "mean_over_pictures",
    "object_weights",
    "paired_iou",
    "pairwise_coverage",
    "pairwise_iou",
    "parse_mask_loss",
    "pool_rois",
    "pooled_levels",
    "quality_focal_loss",
    "sample_crops",
    "scale_boxes",
    "select_detections",
    "sigmoid_focal_loss",
    "signed_distances",
    "softmax_class_loss",
    "spread_points",
    "uncertain_points",
    "zero_with_gradient",
]
