"""Weights of torchvision's own detection models, read into ours.

The parts are the same and only their names differ, so boxes, scores and masks come out the same.
What belongs where is told by family: torchvision_rcnn.py, torchvision_ssd.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from torch import Tensor

from maskwright.backbones import MobileNet, ResNet
from maskwright.errors import CheckpointError, ConfigError, nearest_name
from maskwright.model.config import apply_overrides
from maskwright.model.segmenter import InstanceSegmenter
from maskwright.model.torchvision_model import TorchvisionModel
from maskwright.model.torchvision_rcnn import RCNN_MODELS
from maskwright.model.torchvision_ssd import SSD_MODELS
from maskwright.model.weight_files import check_tensors, fetch_state_dict, read_state_dict

__all__ = ["load_torchvision", "torchvision_names"]

_MODELS: Final[Mapping[str, TorchvisionModel]] = RCNN_MODELS | SSD_MODELS


def torchvision_names() -> tuple[str, ...]:
    """Return the names of torchvision's models that can be loaded."""
    return tuple(_MODELS)


def load_torchvision(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> InstanceSegmenter:
    """Return torchvision's model of that name with its weights, in evaluation mode.

    Models that only detect (all but Mask R-CNN) have no mask head. R-CNN files without counts of
    batches (`num_batches_tracked`) have frozen batch norm, as the official ones of the first
    version do; like torchvision we then take 0 for its epsilon (1e-5 for MobileNet). For a file
    of your own with frozen batch norm and another epsilon, override "backbone.norm_eps".

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
    if name not in _MODELS:
        raise ConfigError(
            f"no torchvision model {name!r}; there are {', '.join(_MODELS)}."
            f"{nearest_name(name, list(_MODELS))}"
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
    known = _MODELS[name]
    names = _class_names(name, source, state, class_names)
    config = apply_overrides(_config(known, state), overrides or {})
    model = InstanceSegmenter(config, names)
    _load(model, known, state, source, name)
    return model.eval()


def _config(known: TorchvisionModel, state: Mapping[str, Tensor]) -> InstanceSegmenter.Config:
    """Return the model's config, with frozen batch norm if the file has it."""
    config, backbone = known.config, known.config.backbone
    if known.frozen_eps is None or any(key.endswith("num_batches_tracked") for key in state):
        return config
    assert isinstance(backbone, ResNet.Config | MobileNet.Config)
    frozen = replace(backbone, norm="frozen_batch", norm_eps=known.frozen_eps)
    return replace(config, backbone=frozen)


def _load(
    model: InstanceSegmenter,
    known: TorchvisionModel,
    state: Mapping[str, Tensor],
    source: str,
    name: str,
) -> None:
    """Put every tensor of torchvision's state dict in its place, each exactly once."""
    renamed = {}
    for theirs, tensor in state.items():
        ours = known.our_name(theirs)
        if ours is None:
            raise CheckpointError(f"{source}: {theirs} is not part of torchvision's {name}")
        renamed[ours] = known.our_tensor(ours, tensor)
    if len(renamed) != len(state):
        raise CheckpointError(f"{source} names some tensor of torchvision's {name} twice")
    check_tensors(f"{source}, read as torchvision's {name},", model.state_dict(), renamed)
    model.load_state_dict(renamed)


def _class_names(
    name: str, source: str, state: Mapping[str, Tensor], given: Sequence[str] | None
) -> tuple[str, ...]:
    known = _MODELS[name]
    if known.classifier not in state:
        raise CheckpointError(
            f"{source} is not a state dict of torchvision's {name}: no {known.classifier}"
        )
    count = known.num_classes(state)
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
