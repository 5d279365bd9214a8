from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from contracts.made_up import random_features
from contracts.mask_head_contract import MaskHeadContract
from maskwright.mask_heads import FCN, DeepLab, MaskHead, MaskRCNNHead, Prototypes
from maskwright.mask_heads.map_crops import crop_maps
from maskwright.mask_heads.prototypes import mix_prototypes
from maskwright.ops import Setting
from maskwright.structures import Instances

_SMALL = Prototypes.Config(num_prototypes=16, conv_channels=(32,), hidden_channels=64, crop_size=28)


class TestPrototypes(MaskHeadContract):
    config = _SMALL


class TestPrototypesOfOneCell(MaskHeadContract):
    config = replace(_SMALL, pool_size=1, norm=None)


def _random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


_BOXES = torch.tensor([[3.0, 5.0, 50.0, 31.0], [0.0, 0.0, 64.0, 48.0], [10.2, 9.9, 14.0, 40.0]])


def test_mixing_before_cutting_equals_cutting_before_mixing() -> None:
    prototypes, coefficients = _random(6, 12, 16), _random(3, 6)
    mixed = mix_prototypes(prototypes, coefficients, _BOXES, stride=4, size=14)
    every = torch.arange(6).repeat(3)
    cut = crop_maps(prototypes, every, _BOXES.repeat_interleave(6, 0), stride=4, size=14)
    expected = torch.einsum("np,npij->nij", coefficients, cut.reshape(3, 6, 14, 14))
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-4)


def test_mixtures_are_linear_in_coefficients_and_in_prototypes() -> None:
    prototypes, others = _random(6, 12, 16), _random(6, 12, 17)[..., :16]
    first, second = _random(3, 6), _random(6, 3).T

    def mix(maps: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
        return mix_prototypes(maps, coefficients, _BOXES, stride=4, size=14)

    torch.testing.assert_close(
        mix(prototypes, 2 * first - 3 * second),
        2 * mix(prototypes, first) - 3 * mix(prototypes, second),
        atol=1e-5,
        rtol=1e-4,
    )
    torch.testing.assert_close(
        mix(prototypes + 4 * others, first),
        mix(prototypes, first) + 4 * mix(others, first),
        atol=1e-5,
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    ("is_light", "width", "others"),
    [(True, 96, (FCN, DeepLab, MaskRCNNHead)), (False, 256, (FCN, DeepLab))],
)
@torch.no_grad()
def test_it_is_the_cheapest_head_for_a_hundred_boxes(
    is_light: bool, width: int, others: tuple[type[MaskHead], ...]
) -> None:
    setting = Setting(width=width, is_light=is_light, small_object=32, room=100)
    channels = dict.fromkeys((4, 8, 16, 32), width)
    features = random_features(channels, 1, (256, 256))
    corners = torch.rand(100, 2, generator=torch.Generator().manual_seed(0)) * 192
    boxes = torch.cat((corners, corners + 64), dim=1)
    found = Instances(image_size=(256, 256), boxes=boxes, labels=torch.zeros(100).long())

    def flops(kind: type[MaskHead]) -> int:
        head = kind.Config.for_setting(setting).build(channels, 3).eval()
        with FlopCounterMode(display=False) as counter:
            head.crops(features, (found,))
        return counter.get_total_flops()

    assert flops(Prototypes) < min(flops(kind) for kind in others)
