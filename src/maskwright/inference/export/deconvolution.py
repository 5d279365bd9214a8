"""Deconvolutions whose patches do not overlap, as a 1 x 1 convolution and a shuffle of its values.

A kernel as large as its stride writes every pixel once, so each patch is a product of the place's
channels with a matrix; the values only have to change places (Shi et al. 2016, section 3.2,
https://arxiv.org/abs/1609.05158). Sums are the same. 1 x 1 convolutions are what every runtime is
best at, in 8-bit integers above all.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["shuffle_deconvolutions"]


def shuffle_deconvolutions(network: nn.Module) -> None:
    """Replace every deconvolution whose square kernel is its stride, in place."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.ConvTranspose2d) and _is_of_patches(layer):
                setattr(parent, name, _as_shuffle(layer))


def _is_of_patches(layer: nn.ConvTranspose2d) -> bool:
    kernel = layer.kernel_size
    return (
        kernel[0] == kernel[1]
        and kernel == layer.stride
        and tuple(layer.padding) == (0, 0)
        and tuple(layer.output_padding) == (0, 0)
        and tuple(layer.dilation) == (1, 1)
        and layer.groups == 1
    )


@torch.no_grad()
def _as_shuffle(layer: nn.ConvTranspose2d) -> nn.Module:
    side = layer.kernel_size[0]
    written = layer.out_channels * side * side
    flat = nn.Conv2d(
        layer.in_channels,
        written,
        kernel_size=1,
        bias=layer.bias is not None,
        dtype=layer.weight.dtype,
        device=layer.weight.device,
    )
    # (c, d, i, j) -> d, i, j as PixelShuffle reads its channels
    flat.weight.copy_(layer.weight.permute(1, 2, 3, 0).reshape(written, layer.in_channels, 1, 1))
    if layer.bias is not None and flat.bias is not None:
        flat.bias.copy_(layer.bias.repeat_interleave(side * side))
    return nn.Sequential(flat, nn.PixelShuffle(side))
