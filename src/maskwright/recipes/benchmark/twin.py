"""torchvision's network of the same architecture as one of ours, with the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from maskwright.errors import ConfigError
from maskwright.model import InstanceSegmenter, Model
from maskwright.model.config import config_to_dict
from maskwright.model.torchvision_model import TorchvisionModel
from maskwright.model.torchvision_rcnn import RCNN_MODELS
from maskwright.model.torchvision_ssd import SSD_MODELS
from maskwright.recipes.benchmark.peers import torchvision_network

__all__ = ["twin_name", "twin_options", "twin_state"]

_KNOWN: Final[Mapping[str, TorchvisionModel]] = RCNN_MODELS | SSD_MODELS

_FREE: Final = {
    "": ("short_side", "long_side", "picture_side", "object_side"),
    "backbone": ("norm", "norm_eps", "freeze_stages"),
    "detector": ("score_threshold", "nms_threshold", "detections_per_image"),
}
"""Options that torchvision's network takes too, or that change neither time nor numbers."""


def twin_name(model: Model) -> str:
    """Return torchvision's name of a model's architecture.

    Raises:
        ConfigError: torchvision has no such network.
    """
    if isinstance(model, InstanceSegmenter):
        ours = _architecture(model.config)
        for name, known in _KNOWN.items():
            if _architecture(known.config) == ours:
                return name
    raise ConfigError(
        "torchvision has no network of this model's architecture to be measured against: take "
        f"torchvision:NAME for another, with random weights, of {', '.join(_KNOWN)}, or benchmark "
        "torchvision/maskrcnn_resnet50_fpn"
    )


def twin_options(model: InstanceSegmenter, name: str) -> dict[str, Any]:
    """Return what torchvision's builder of that name takes, to find what the model finds."""
    config = model.config
    found = config.detector
    options: dict[str, Any] = {"num_classes": len(model.class_names) + 1}
    box = "" if name in SSD_MODELS else "box_"
    options[f"{box}score_thresh"] = found.score_threshold
    options[f"{box}nms_thresh"] = getattr(found, "nms_threshold", 0.5)
    # its SSD says it in one word, its R-CNNs in another
    options["detections_per_img" if not box else "box_detections_per_img"] = (
        found.detections_per_image
    )
    if box:
        options |= {"min_size": config.short_side, "max_size": config.long_side}
    return options


def twin_state(
    model: InstanceSegmenter, name: str, options: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return torchvision's state dict with the model's weights.

    What torchvision keeps for the background and never reads is zero.
    """
    with torch.device("meta"):
        template = torchvision_network({"network": name, "options": options}).state_dict()
    known, ours = _KNOWN[name], model.state_dict()
    state = {}
    for theirs, wanted in template.items():
        own_name = known.our_name(theirs)
        assert own_name is not None, theirs
        if theirs.endswith("num_batches_tracked") and own_name not in ours:
            state[theirs] = torch.zeros((), dtype=torch.long)
            continue
        tensor = ours[own_name]
        missing = wanted.shape[0] - tensor.shape[0] if wanted.ndim else 0
        if missing:
            tensor = torch.cat((tensor.new_zeros((missing, *tensor.shape[1:])), tensor))
        state[theirs] = tensor.contiguous()
    return state


def norm_eps(model: InstanceSegmenter) -> float:
    """Return what frozen norms add to the variance."""
    return float(getattr(model.config.backbone, "norm_eps", 0.0))


def _architecture(config: InstanceSegmenter.Config) -> dict[str, Any]:
    plain = config_to_dict(config)
    for part, names in _FREE.items():
        place = plain[part] if part else plain
        for name in names:
            place.pop(name, None)
    return plain
