"""Winograd's convolution against PyTorch's in float64."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.inference.engine.winograd import WinogradConv2d, suits_winograd
from maskwright.inference.engine.winograd_code import vector_layout

pytestmark = pytest.mark.skipif(vector_layout() is None, reason="no fused multiply-add")

_BOUND = 3e-5
"""Of the largest result; measured 4e-6 to 1.4e-5."""


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _maps(*shape: int, seed: int = 0) -> Tensor:
    return _random(*shape, seed=seed).to(memory_format=torch.channels_last)


def _exact(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    bias = None if bias is None else bias.double()
    return F.conv2d(x.double(), weight.double(), bias, padding=1)


def _off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize(
    ("pictures", "height", "width"), [(1, 16, 24), (2, 13, 17), (3, 5, 9), (1, 4, 100), (1, 50, 3)]
)
@pytest.mark.parametrize(("channels", "written"), [(32, 32), (64, 96), (48, 64)])
def test_results_are_those_of_a_direct_convolution(
    pictures: int, height: int, width: int, channels: int, written: int
) -> None:
    x, weight, bias = (
        _maps(pictures, channels, height, width),
        _random(written, channels, 3, 3, seed=1),
        _random(written, seed=2),
    )
    expected = _exact(x, weight, bias)
    found = WinogradConv2d(weight, bias, rectifies=False)(x)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert _off(found, expected) < _BOUND
    assert _off(WinogradConv2d(weight, bias, rectifies=True)(x), expected.relu()) < _BOUND
    assert _off(WinogradConv2d(weight, None, rectifies=False)(x), _exact(x, weight, None)) < _BOUND


def test_channels_that_come_first_in_memory_are_read_too() -> None:
    x, weight = _random(1, 32, 20, 20), _random(32, 32, 3, 3, seed=1)
    assert _off(WinogradConv2d(weight, None, rectifies=False)(x), _exact(x, weight, None)) < _BOUND


def test_many_channels_stay_exact() -> None:
    x, weight = _maps(1, 512, 20, 24), _random(64, 512, 3, 3, seed=1)
    assert _off(WinogradConv2d(weight, None, rectifies=False)(x), _exact(x, weight, None)) < _BOUND


def test_results_do_not_depend_on_threads_or_on_the_pictures_beside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, weight = _maps(3, 32, 30, 40), _random(32, 32, 3, 3, seed=1)
    layer = WinogradConv2d(weight, None, rectifies=True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = layer(x)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(layer(x), alone)
    assert torch.equal(layer(x[1:2]), alone[1:2])


def test_several_threads_may_call_one_layer_at_once() -> None:
    weight = _random(32, 32, 3, 3, seed=1)
    layer = WinogradConv2d(weight, None, rectifies=False)
    maps = [_maps(1, 32, 40, 40 + seed, seed=seed) for seed in range(8)]
    expected = [layer(x) for x in maps]
    with ThreadPoolExecutor(4) as threads:
        for found, wanted in zip(threads.map(layer, maps * 4), expected * 4, strict=True):
            assert torch.equal(found, wanted)


def test_numbers_that_are_none_stay_so() -> None:
    x, weight = _maps(1, 32, 16, 24), _random(32, 32, 3, 3, seed=1)
    x[0, 3, 8, 8] = torch.nan
    found = WinogradConv2d(weight, None, rectifies=True)(x)
    assert found[0, :, 7:10, 7:10].isnan().all()
    assert found[0, :, :4, :4].isfinite().all()


def test_only_convolutions_of_the_right_kind_suit() -> None:
    assert suits_winograd(nn.Conv2d(64, 64, 3, padding=1))
    others: list[nn.Conv2d] = [
        nn.Conv2d(64, 64, 1),
        nn.Conv2d(64, 64, 3),
        nn.Conv2d(64, 64, 3, padding=1, stride=2),
        nn.Conv2d(64, 64, 3, padding=2, dilation=2),
        nn.Conv2d(64, 64, 3, padding=1, groups=64),
        nn.Conv2d(3, 64, 3, padding=1),
        nn.Conv2d(64, 5, 3, padding=1),
        nn.Conv2d(64, 64, 3, padding=1, dtype=torch.float64),
    ]
    assert not any(map(suits_winograd, others))


def test_maps_of_a_few_patches_do_not_suit() -> None:
    layer = WinogradConv2d(_random(32, 32, 3, 3), None, rectifies=False)
    assert not layer.suits(_maps(1, 32, 16, 16))
    assert layer.suits(_maps(4, 32, 16, 16))


_WITH_OTHER_REGISTERS = """
import torch, torch.nn.functional as F
from maskwright.inference.engine.winograd import WinogradConv2d
from maskwright.inference.engine.winograd_code import vector_layout
assert vector_layout().lanes == 8, vector_layout()
x, weight = torch.randn(2, 32, 18, 21), torch.randn(48, 32, 3, 3)
exact = F.conv2d(x.double(), weight.double(), padding=1)
found = WinogradConv2d(weight, None, rectifies=False)(x)
print(float((found - exact).abs().max() / exact.abs().max()))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    (vector_layout() or (0,))[0] != 16, reason="checks AVX2 on processors with AVX-512"
)
def test_processors_with_avx2_alone_get_the_same() -> None:
    features = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma"}
    command = [sys.executable, "-c", _WITH_OTHER_REGISTERS]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **features}
    )
    assert float(done.stdout) < _BOUND


def test_all_places_of_a_filter_are_where_they_belong() -> None:
    # a filter of a single one moves the map by one place at most: exact but for rounding
    x = _maps(1, 32, 12, 40)
    for row, column in product(range(3), range(3)):
        weight = torch.zeros((32, 32, 3, 3))
        weight[torch.arange(32), torch.arange(32), row, column] = 1.0
        moved = F.pad(x, (1, 1, 1, 1))[:, :, row : row + 12, column : column + 40]
        found = WinogradConv2d(weight, None, rectifies=False)(x)
        torch.testing.assert_close(found, moved, rtol=1e-4, atol=1e-4)
