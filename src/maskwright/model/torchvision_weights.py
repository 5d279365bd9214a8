"""Weights of torchvision's own Mask R-CNN models, read into ours.

The parts are the same and only their names differ, so boxes, scores and masks come out the same.
torchvision keeps a background row in every predictor; ours keep one only in the classifier, where
it takes part in the softmax, and drop the others, which nothing reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from torch import Tensor

from maskwright.backbones import FPN, ResNet
from maskwright.detectors import RPN, BoxHead, FasterRCNN
from maskwright.errors import CheckpointError, ConfigError, nearest_name
from maskwright.mask_heads import MaskRCNNHead
from maskwright.model.config import apply_overrides
from maskwright.model.segmenter import InstanceSegmenter
from maskwright.model.weight_files import check_tensors, fetch_state_dict, read_state_dict

__all__ = ["load_torchvision", "torchvision_names"]

_V1 = InstanceSegmenter.Config()

_V2 = InstanceSegmenter.Config(
    neck=FPN.Config(norm="batch"),
    detector=FasterRCNN.Config(
        rpn=RPN.Config(num_convs=2),
        box_head=BoxHead.Config(
            conv_channels=(256, 256, 256, 256), norm="batch", fc_channels=(1024,)
        ),
    ),
    mask_head=MaskRCNNHead.Config(norm="batch"),
)

_CONFIGS: Final = {"maskrcnn_resnet50_fpn": _V1, "maskrcnn_resnet50_fpn_v2": _V2}

# torchvision's names, today's and those of its first files (without the ".0" of a block), and ours
_RENAMED: Final = (
    (r"backbone\.body\.(.+)", r"backbone.\1"),
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.(weight|bias)", r"neck.\1_blocks.\2.0.\3"),
    (r"backbone\.fpn\.(.+)", r"neck.\1"),
    (r"rpn\.head\.conv\.(weight|bias)", r"detector.rpn.conv.0.0.\1"),
    (r"rpn\.head\.conv\.(.+)", r"detector.rpn.conv.\1"),
    (r"rpn\.head\.cls_logits\.(.+)", r"detector.rpn.objectness.\1"),
    (r"rpn\.head\.bbox_pred\.(.+)", r"detector.rpn.deltas.\1"),
    (r"roi_heads\.box_head\.fc6\.(.+)", r"detector.box_head.layers.1.\1"),
    (r"roi_heads\.box_head\.fc7\.(.+)", r"detector.box_head.layers.3.\1"),
    (r"roi_heads\.box_head\.(\d.*)", r"detector.box_head.layers.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(.+)", r"detector.box_head.classifier.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(.+)", r"detector.box_head.regressor.\1"),
    (r"roi_heads\.mask_head\.mask_fcn1\.(.+)", r"mask_head.layers.0.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn2\.(.+)", r"mask_head.layers.1.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn3\.(.+)", r"mask_head.layers.2.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn4\.(.+)", r"mask_head.layers.3.0.\1"),
    (r"roi_heads\.mask_head\.(\d.*)", r"mask_head.layers.\1"),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(.+)", r"mask_head.deconv.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(.+)", r"mask_head.logits.\1"),
)

_BACKGROUND_ROWS: Final = {"detector.box_head.regressor": 4, "mask_head.logits": 1}
"""Rows that torchvision spends on the background, by our name of the layer."""

_CLASSIFIER: Final = "roi_heads.box_predictor.cls_score.bias"


def torchvision_names() -> tuple[str, ...]:
    """Return the names of torchvision's models that can be loaded."""
    return tuple(_CONFIGS)


def load_torchvision(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> InstanceSegmenter:
    """Return torchvision's model of that name with its weights, in evaluation mode.

    Files without counts of batches (`num_batches_tracked`) have frozen batch norm, as the official
    `maskrcnn_resnet50_fpn` file does; like torchvision we then take 0 for its epsilon. For a
    file of your own with frozen batch norm and another epsilon, override "backbone.norm_eps".

    Args:
        name: One of `torchvision_names()`.
        weights: A state dict, ".pth" or ".safetensors"; or "download" for the official COCO
            weights, which are kept in torch's cache.
        class_names: Names of the file's classes, background left out; COCO's where None.
        overrides: Changes of the config by dotted names.

    Raises:
        ConfigError: No such model; the file has other classes than named.
        CheckpointError: No weights asked for; no connection; the file is damaged or of another
            model.
    """
    if name not in _CONFIGS:
        raise ConfigError(
            f"no torchvision model {name!r}; there are {', '.join(_CONFIGS)}."
            f"{nearest_name(name, list(_CONFIGS))}"
        )
    if weights is None:
        raise CheckpointError(
            f"torchvision/{name} needs weights: weights='file.pth' for a state dict on this "
            "machine, or weights='download' for the official ones "
            f"({_official(name).url}, {_official(name).meta['_file_size']:.0f} MB)"
        )
    state = (
        fetch_state_dict(_official(name).url) if weights == "download" else read_state_dict(weights)
    )
    source = f"the official weights of {name}" if weights == "download" else str(weights)
    config = _CONFIGS[name]
    if not any(key.endswith("num_batches_tracked") for key in state):
        backbone = ResNet.Config(norm="frozen_batch", norm_eps=0.0)
        config = replace(config, backbone=backbone)
    names = _class_names(name, source, state, class_names)
    model = InstanceSegmenter(apply_overrides(config, overrides or {}), names)
    _load(model, state, source, name)
    return model.eval()


def _load(model: InstanceSegmenter, state: Mapping[str, Tensor], source: str, name: str) -> None:
    """Put every tensor of torchvision's state dict in its place, each exactly once."""
    renamed = {}
    for theirs, tensor in state.items():
        ours = _rename(theirs)
        if ours is None:
            raise CheckpointError(f"{source}: {theirs} is not part of torchvision's {name}")
        rows = _BACKGROUND_ROWS.get(ours.rpartition(".")[0], 0)
        renamed[ours] = tensor[rows:] if rows else tensor
    if len(renamed) != len(state):
        raise CheckpointError(f"{source} names some tensor of torchvision's {name} twice")
    check_tensors(f"{source}, read as torchvision's {name},", model.state_dict(), renamed)
    model.load_state_dict(renamed)


def _rename(theirs: str) -> str | None:
    for pattern, replacement in _RENAMED:
        match = re.fullmatch(pattern, theirs)
        if match:
            return match.expand(replacement)
    return None


def _class_names(
    name: str, source: str, state: Mapping[str, Tensor], given: Sequence[str] | None
) -> tuple[str, ...]:
    if _CLASSIFIER not in state:
        raise CheckpointError(
            f"{source} is not a state dict of torchvision's {name}: no {_CLASSIFIER}"
        )
    count = len(state[_CLASSIFIER]) - 1
    names = tuple(_official(name).meta["categories"][1:] if given is None else given)
    if len(names) != count:
        raise ConfigError(
            f"{source} has {count} classes, {'COCO has' if given is None else 'named were'} "
            f"{len(names)}: give class_names of that length, without the background"
        )
    return names


def _official(name: str) -> Any:
    from torchvision.models import get_model_weights

    return get_model_weights(name).COCO_V1.value
