"""A model turned into one that predicts the same in fewer steps."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from maskwright.data import PixelFormat
from maskwright.detectors import BoxHead
from maskwright.errors import MaskwrightError
from maskwright.inference.engine.blocks import (
    FusedMaskRCNNHead,
    FusedResidual,
    flatten_channels_last,
)
from maskwright.inference.engine.data_flow import followers, watch
from maskwright.inference.engine.folding import fold_batch_norms, replace_everywhere
from maskwright.inference.engine.layers import (
    FusedConv2d,
    FusedLinear,
    is_fusible,
    is_fusible_activation,
)
from maskwright.mask_heads import MaskRCNNHead, Prototypes
from maskwright.model import InstanceSegmenter, Model
from maskwright.structures import Batch, Size

__all__ = ["folded_copy", "fuse"]

_PROBE_MULTIPLES = 2
"""Side of the picture that the network is watched on, in multiples of what batches are padded to,
and at least 128 px: every level of a pyramid has more than one cell then."""

_TOLERANCE = 1e-3
"""Largest difference that rewriting may make on the probe, as a part of the largest value. What
rounding makes is a thousand times smaller, a mistake a thousand times larger."""


def folded_copy(model: Model) -> Model:
    """Return a copy in evaluation mode, batch norms folded, channels last; the model stays.

    Raises:
        MaskwrightError: The copy does not give the model's features.
    """
    network = copy.deepcopy(model).eval().requires_grad_(False)
    probe = _probe(network)
    expected = _maps(network, probe)
    fold_batch_norms(network, lambda: _run(network, probe))
    network = network.to(memory_format=torch.channels_last)
    _require_same(expected, _maps(network, probe))
    return network


def fuse(network: Model) -> None:
    """Merge layers and swap heads for cheaper ones, in place, for float32 on a processor.

    Args:
        network: As `folded_copy` returns it.

    Raises:
        MaskwrightError: The network does not give the same features any more.
    """
    probe = _probe(network)
    expected = _maps(network, probe)
    for module in list(network.modules()):
        if type(module) in (BasicBlock, Bottleneck) and _is_folded(module):
            replace_everywhere(network, module, FusedResidual(module))
        elif isinstance(module, BoxHead):
            flatten_channels_last(module.layers, module.config.pool_size)
        elif isinstance(module, Prototypes):
            flatten_channels_last(module.coefficients, module.config.pool_size)
    _merge_activations(network, probe)
    if isinstance(network, InstanceSegmenter) and isinstance(network.mask_head, MaskRCNNHead):
        network.register_module("mask_head", FusedMaskRCNNHead(network.mask_head))
    _require_same(expected, _maps(network, probe))


def _merge_activations(network: Model, probe: Batch) -> None:
    """Let convolutions and linear layers do the activation that follows them."""
    flow = watch(network, lambda: _run(network, probe))
    activations = dict(followers(flow, is_fusible, is_fusible_activation))
    backbone = set(network.backbone.modules()) if network.backbone.amplifies_rounding else set()
    for layer in [module for module in network.modules() if is_fusible(module)]:
        activation = activations.get(layer)
        if activation is not None:  # before it becomes a part of the layer
            replace_everywhere(network, activation, nn.Identity())
        if isinstance(layer, nn.Conv2d):
            fused_convolution = FusedConv2d(layer, activation, is_direct=layer in backbone)
            replace_everywhere(network, layer, fused_convolution)
        elif isinstance(layer, nn.Linear):
            fused = FusedLinear(layer.weight, layer.bias, activation)
            replace_everywhere(network, layer, fused)


def _is_folded(block: BasicBlock | Bottleneck) -> bool:
    """Whether the norms are gone and all that is left are ordinary convolutions."""
    parts = [module for module in block.modules() if not list(module.children())]
    return all(is_fusible(part) or isinstance(part, nn.Identity | nn.ReLU) for part in parts)


def _probe(network: Model) -> Batch:
    """Return a picture of noise, as large as the network asks for or else small."""
    config = network.config
    multiple = config.size_multiple
    side = multiple * max(_PROBE_MULTIPLES, -(-128 // multiple))
    height, width = config.fixed_size or (side, side)
    size = (-(-height // multiple) * multiple, -(-width // multiple) * multiple)
    noise = torch.rand((1, 3, *size), generator=torch.Generator().manual_seed(0)) * 255
    if (pixels := network.pixel_format) is not None:
        noise = _as_stored(pixels, size)
    images = noise.to(network.device, memory_format=torch.channels_last)
    return Batch(images=images, image_sizes=(size,), original_sizes=(size,))


def _as_stored(pixels: PixelFormat, size: Size) -> Tensor:
    """Return noise of the mean and spread of the pictures that the network was trained on."""
    noise = torch.randn((1, pixels.channels, *size), generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(each)[:, None, None] for each in (pixels.mean, pixels.std))
    return mean + std * noise


def _run(network: Model, probe: Batch) -> object:
    if isinstance(network, InstanceSegmenter):
        return network.predict(probe)
    return network.class_maps(probe)


@torch.no_grad()
def _maps(network: Model, probe: Batch) -> dict[int, Tensor]:
    # cloned, for blocks may write into what they are given
    return {stride: feature.clone() for stride, feature in network.features(probe).items()}


def _require_same(expected: dict[int, Tensor], found: dict[int, Tensor]) -> None:
    for stride, wanted in expected.items():
        largest = float(wanted.abs().max())
        difference = float((found[stride] - wanted).abs().max())
        if not difference <= _TOLERANCE * largest:
            raise MaskwrightError(
                f"the engine's features at stride {stride} are up to {difference:.3g} off those of "
                f"the model (largest value {largest:.3g}): its backbone does something that the "
                "engine does not know; load the model with runtime='eager'"
            )
