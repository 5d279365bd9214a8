"""Weights of torchvision's semantic segmentation models, FCN and DeepLab v3, read into ours.

The networks are the same and only their names differ, so class maps come out the same. The
auxiliary classifier of the official files helps training alone and is left out.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from torch import Tensor

from maskwright.backbones import ResNet
from maskwright.errors import CheckpointError, ConfigError, nearest_name
from maskwright.mask_heads import FCN, DeepLab
from maskwright.model.config import apply_overrides
from maskwright.model.semantic import SemanticSegmenter
from maskwright.model.weight_files import check_tensors, fetch_state_dict, read_state_dict

__all__ = ["load_torchvision_segmentation", "torchvision_segmentation_names"]

# Pictures as torchvision's preset has them: short side 520, the long one as it comes, no padding.
_FCN = SemanticSegmenter.Config(
    backbone=ResNet.Config(depth=50, output_stride=8),
    neck=None,
    head=FCN.Config(strides=(8,), hidden_channels=512, norm="batch"),
    size_multiple=1,
)

# Twice the paper's rates at output stride 16 (section 4.1), for these have output stride 8.
_DEEPLAB = replace(
    _FCN,
    head=DeepLab.Config(
        stride=8,
        atrous_rates=(12, 24, 36),
        decoder_stride=None,
        head_channels=(256,),
        norm="batch",
        dropout=0.5,
    ),
)

_RESNET101 = ResNet.Config(depth=101, output_stride=8)

_CONFIGS: Final = {
    "fcn_resnet50": _FCN,
    "fcn_resnet101": replace(_FCN, backbone=_RESNET101),
    "deeplabv3_resnet50": _DEEPLAB,
    "deeplabv3_resnet101": replace(_DEEPLAB, backbone=_RESNET101),
}

_BACKBONE: Final = ((r"backbone\.(.+)", r"backbone.\1"),)

_FCN_NAMES: Final = (
    (r"classifier\.([01])\.(.+)", r"head.levels.8.0.\1.\2"),
    (r"classifier\.4\.(.+)", r"head.levels.8.2.\1"),
)

_DEEPLAB_NAMES: Final = (
    (r"classifier\.0\.convs\.([0-3])\.([01])\.(.+)", r"head.aspp.branches.\1.\2.\3"),
    (r"classifier\.0\.convs\.4\.1\.(.+)", r"head.aspp.picture.0.\1"),
    (r"classifier\.0\.convs\.4\.2\.(.+)", r"head.aspp.picture.1.\1"),
    (r"classifier\.0\.project\.([01])\.(.+)", r"head.aspp.project.0.\1.\2"),
    (r"classifier\.1\.(.+)", r"head.layers.0.0.\1"),
    (r"classifier\.2\.(.+)", r"head.layers.0.1.\1"),
    (r"classifier\.4\.(.+)", r"head.logits.\1"),
)

_AUXILIARY: Final = "aux_classifier."
_CLASSIFIER: Final = "classifier.4.bias"


def torchvision_segmentation_names() -> tuple[str, ...]:
    """Return the names of torchvision's semantic models that can be loaded.

    >>> torchvision_segmentation_names()[0]
    'fcn_resnet50'
    """
    return tuple(_CONFIGS)


def load_torchvision_segmentation(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> SemanticSegmenter:
    """Return torchvision's semantic model of that name with its weights, in evaluation mode.

    Args:
        name: One of `torchvision_segmentation_names()`.
        weights: A state dict, ".pth" or ".safetensors"; or "download" for the official weights
            (COCO pictures of Pascal VOC's 20 classes), which are kept in torch's cache.
        class_names: Names of the file's classes, background left out; Pascal VOC's where None.
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
    official = _official(name)
    if weights is None:
        raise CheckpointError(
            f"torchvision/{name} needs weights: weights='file.pth' for a state dict on this "
            "machine, or weights='download' for the official ones "
            f"({official.url}, {official.meta['_file_size']:.0f} MB)"
        )
    is_download = weights == "download"
    state = fetch_state_dict(official.url) if is_download else read_state_dict(weights)
    source = f"the official weights of {name}" if is_download else str(weights)
    if _CLASSIFIER not in state:
        raise CheckpointError(
            f"{source} is not a state dict of torchvision's {name}: no {_CLASSIFIER}"
        )
    names = tuple(official.meta["categories"][1:] if class_names is None else class_names)
    count = len(state[_CLASSIFIER]) - 1
    if len(names) != count:
        raise ConfigError(
            f"{source} has {count} classes, "
            f"{'Pascal VOC has' if class_names is None else 'named were'} {len(names)}: "
            "give class_names of that length, without the background"
        )
    model = SemanticSegmenter(apply_overrides(_CONFIGS[name], overrides or {}), names)
    _load(model, state, source, name)
    return model.eval()


def _load(model: SemanticSegmenter, state: Mapping[str, Tensor], source: str, name: str) -> None:
    """Put every tensor of torchvision's state dict but the auxiliary ones in its place."""
    renamed = {}
    for theirs, tensor in state.items():
        if theirs.startswith(_AUXILIARY):
            continue
        ours = _our_name(theirs, name)
        if ours is None:
            raise CheckpointError(f"{source}: {theirs} is not part of torchvision's {name}")
        renamed[ours] = tensor
    check_tensors(f"{source}, read as torchvision's {name},", model.state_dict(), renamed)
    model.load_state_dict(renamed)


def _our_name(theirs: str, name: str) -> str | None:
    patterns = _BACKBONE + (_FCN_NAMES if name.startswith("fcn") else _DEEPLAB_NAMES)
    for pattern, replacement in patterns:
        match = re.fullmatch(pattern, theirs)
        if match:
            return match.expand(replacement)
    return None


def _official(name: str) -> Any:
    from torchvision.models import get_model_weights

    return get_model_weights(name).COCO_WITH_VOC_LABELS_V1.value
