"""3 x 3 convolutions by Winograd's algorithm: a quarter of the multiplications.

The error is about 1e-5 of the largest result (F(4 x 4, 3 x 3), Lavin and Gray 2016, table 1 of
https://arxiv.org/abs/1509.09308 has it alike). Weights take four times the memory of the plain
ones. No library for processors has it in float32; the code is `winograd_code.py`.

Shapes: b pictures, c channels read, k written, (h, w) of a map.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskwright.inference.engine.winograd_code import SPARE, convolve_tiles, vector_layout

__all__ = ["WinogradConv2d", "suits_winograd"]

# G of the paper, section 4.3
_TO_PATCH = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)

_FEWEST_CHANNELS = 32
_FEWEST_PATCHES = 28
"""Below either, the transforms or the larger weights cost what the products save: our measurement
of the layers of ResNet-50 with FPN, benchmarks/measured/convolutions.json."""

_BLOCK = 84
"""Patches that are transformed at a time: 3 MB of them at 256 channels. Of 28, 56, 84 and 112 the
best or nearly so at every layer measured."""


_LOTS = 4
"""Parts of a layer per thread: one that is disturbed leaves work to the others."""


def suits_winograd(convolution: nn.Conv2d) -> bool:
    """Return whether a convolution can be done by Winograd's algorithm, and is large enough."""
    layout = vector_layout()
    return (
        layout is not None
        and convolution.kernel_size == (3, 3)
        and convolution.stride == (1, 1)
        and convolution.padding == (1, 1)
        and convolution.dilation == (1, 1)
        and convolution.groups == 1
        and convolution.weight.dtype == torch.float32
        and convolution.weight.device.type == "cpu"
        and convolution.in_channels % layout.lanes == 0
        and convolution.out_channels % layout.columns == 0
        and min(convolution.in_channels, convolution.out_channels) >= _FEWEST_CHANNELS
    )


class WinogradConv2d:
    """A 3 x 3 convolution of stride 1, with a rectifier by choice.

    Weights are transformed at the first call. Threads are those that PyTorch would use.

    Args:
        weight: (k, c, 3, 3) that `suits_winograd`.
        bias: (k,), or None.
        rectifies: Whether results below zero are zero.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, rectifies: bool) -> None:
        self._weight = weight
        self._bias = np.zeros(len(weight), np.float32) if bias is None else bias.detach().numpy()
        self._lowest = np.array([0.0 if rectifies else -np.inf], np.float32)
        self._transformed: np.ndarray | None = None

    def suits(self, x: Float[Tensor, "b c h w"]) -> bool:
        """Return whether the maps are large enough for it to be faster."""
        return _count_patches(x) >= _FEWEST_PATCHES

    def __call__(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """Return the convolution of maps with a border of zeros, channels last in memory."""
        if self._transformed is None:
            self._transformed = transform_weight(self._weight)
        pictures, _, height, width = x.shape
        places = x.permute(0, 2, 3, 1).contiguous().numpy()
        out = torch.empty((pictures, height, width, len(self._bias)))
        patches = _count_patches(x)
        threads = max(1, min(torch.get_num_threads(), patches // _FEWEST_PATCHES))
        lots = 1 if threads == 1 else min(_LOTS * threads, patches // _FEWEST_PATCHES)
        ends = [patches * lot // lots for lot in range(lots + 1)]
        arguments = (places, self._transformed, self._bias, self._lowest, out.numpy())
        left = iter(pairwise(ends))

        def work() -> None:
            for first, last in left:  # each lot goes to the thread that asks first
                _convolve(*arguments, first, last)

        others = [_threads().submit(work) for _ in range(threads - 1)]
        work()
        for each in others:
            each.result()
        return out.permute(0, 3, 1, 2)


def transform_weight(weight: Float[Tensor, "k c 3 3"]) -> np.ndarray:
    """Return G w G^T of every filter, (36, k / p, c, p) in float32 by way of float64."""
    layout = vector_layout()
    assert layout is not None
    count, channels = weight.shape[:2]
    exact = weight.detach().double().numpy()
    patches = np.einsum("ia,kcab,jb->ijkc", _TO_PATCH, exact, _TO_PATCH, optimize=True)
    panels = patches.reshape(36, count // layout.columns, layout.columns, channels)
    return np.ascontiguousarray(panels.transpose(0, 1, 3, 2), np.float32)


def _count_patches(x: Tensor) -> int:
    pictures, _, height, width = x.shape
    return pictures * ((height + 3) // 4) * ((width + 3) // 4)


def _convolve(
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    lowest: np.ndarray,
    out: np.ndarray,
    first: int,
    last: int,
) -> None:
    layout = vector_layout()
    assert layout is not None
    channels, written = x.shape[3], out.shape[3]
    block = min(_BLOCK, last - first)
    block = -(-block // layout.rows) * layout.rows
    room = _scratch.of(
        (36, block * channels + SPARE),
        (36, block * written + SPARE),
        (6, 6, channels),
        (4, 4, written),
    )
    convolve_tiles(x, weights, bias, lowest, out, first, last, *room, layout.rows)


class _Scratch(threading.local):
    """Memory of each thread that is used again and again."""

    def __init__(self) -> None:
        self._memory = np.zeros(0, np.float32)

    def of(self, *shapes: tuple[int, ...]) -> list[np.ndarray]:
        """Return an array of each shape; what they hold is left from before."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)]).tolist()
        if len(self._memory) < ends[-1]:
            self._memory = np.zeros(ends[-1], np.float32)
        return [
            self._memory[start : start + int(np.prod(shape))].reshape(shape)
            for start, shape in zip(ends, shapes, strict=False)
        ]


_scratch = _Scratch()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="maskwright-winograd")


# threads do not live on in a forked process (a loader's worker)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.cache_clear)
