from __future__ import annotations

import pytest
import torch
from torch import nn

from maskwright.inference.export.deconvolution import shuffle_deconvolutions


@pytest.mark.parametrize(("side", "has_bias"), [(2, True), (2, False), (3, True)])
@torch.no_grad()
def test_patches_that_do_not_overlap_are_a_product_and_a_shuffle(side: int, has_bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(5, 7, kernel_size=side, stride=side, bias=has_bias).double()
    for count in (0, 1, 3):
        x = torch.randn(count, 5, 4, 6, dtype=torch.float64)
        expected = layer(x.relu())
        changed = nn.Sequential(nn.ReLU(), layer)
        shuffle_deconvolutions(changed)
        assert not any(isinstance(each, nn.ConvTranspose2d) for each in changed.modules())
        torch.testing.assert_close(changed(x), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 4, "stride": 2, "padding": 1},
        {"kernel_size": 2, "stride": 1},
        {"kernel_size": 2, "stride": 2, "groups": 2},
        {"kernel_size": 2, "stride": 2, "output_padding": 1},
        {"kernel_size": (2, 4), "stride": (2, 4)},
    ],
)
def test_other_deconvolutions_stay(options: dict[str, int]) -> None:
    network = nn.Sequential(nn.ConvTranspose2d(4, 4, **options))
    layer = network[0]
    shuffle_deconvolutions(network)
    assert network[0] is layer
