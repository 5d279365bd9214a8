"""The whole model, its files, and weights from elsewhere."""

from __future__ import annotations

from maskwright.model.checkpoint import (
    CheckpointHeader,
    load_checkpoint,
    read_checkpoint_header,
    save_checkpoint,
    store_calibration,
)
from maskwright.model.config import apply_overrides, config_from_dict, config_to_dict
from maskwright.model.kinds import Model, ModelConfig
from maskwright.model.segmenter import InstanceSegmenter
from maskwright.model.semantic import SemanticSegmenter
from maskwright.model.torchvision_segmentation import (
    load_torchvision_segmentation,
    torchvision_segmentation_names,
)
from maskwright.model.torchvision_weights import load_torchvision, torchvision_names
from maskwright.model.transfer import load_imagenet

__all__ = [
    "CheckpointHeader",
    "InstanceSegmenter",
    "Model",
    "ModelConfig",
    "SemanticSegmenter",
    "apply_overrides",
    "config_from_dict",
    "config_to_dict",
    "load_checkpoint",
    "load_imagenet",
    "load_torchvision",
    "load_torchvision_segmentation",
    "read_checkpoint_header",
    "save_checkpoint",
    "store_calibration",
    "torchvision_names",
    "torchvision_segmentation_names",
]
