from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from contracts.made_up import ellipses, random_features
from contracts.mask_head_contract import MaskHeadContract
from maskwright.errors import ConfigError
from maskwright.mask_heads import (
    FCN,
    DeepLab,
    MaskHead,
    MaskRCNNHead,
    Prototypes,
    Refined,
    crop_targets,
)
from maskwright.masks import Masks
from maskwright.structures import Features, Instances, Rois

_CHANNELS = {1: 3, 4: 16, 8: 16, 16: 16, 32: 16}
_PADDED = (96, 128)
_COARSE = {
    "mask_rcnn": MaskRCNNHead.Config(pool_size=7, conv_channels=(32,), deconv_channels=32),
    "prototypes": Prototypes.Config(
        num_prototypes=16, conv_channels=(32,), hidden_channels=64, crop_size=28
    ),
    "fcn": FCN.Config(hidden_channels=16, dropout=0.0),
    "deeplab": DeepLab.Config(aspp_channels=16, low_level_channels=8, head_channels=(16,)),
}
_SMALL = Refined.Config(
    coarse=_COARSE["mask_rcnn"], size=24, detail_channels=8, conv_channels=(16,)
)


class TestRefinedMaskRCNNHead(MaskHeadContract):
    config = _SMALL
    channels = _CHANNELS


class TestRefinedPrototypesAtPointsOnPixelsAlone(MaskHeadContract):
    config = replace(
        _SMALL,
        coarse=_COARSE["prototypes"],
        detail_channels=0,
        mask_loss="bce+dice",
        mask_points=98,
    )
    channels = _CHANNELS


class TestRefinedFCN(MaskHeadContract):
    config = replace(_SMALL, coarse=_COARSE["fcn"], conv_channels=(16, 16), norm=None)
    channels = _CHANNELS
    reads_rois = False


@torch.no_grad()
@pytest.mark.parametrize("name", _COARSE)
def test_before_it_has_learnt_the_masks_are_the_coarse_ones(name: str) -> None:
    torch.manual_seed(0)
    head = replace(_SMALL, coarse=_COARSE[name], size=56).build(_CHANNELS, 3).eval()
    target = ellipses(_PADDED, [(10, 12, 50, 40), (60, 30, 110, 84)], [0, 2])
    features = random_features(_CHANNELS, 1, _PADDED)
    (coarse,) = head.coarse.crops(features, [target])
    (refined,) = head.crops(features, [target])
    resized = torch.nn.functional.interpolate(
        coarse[:, None], size=(56, 56), mode="bilinear", align_corners=False
    )[:, 0]
    torch.testing.assert_close(refined, resized.clamp(0.002, 0.998), atol=1e-5, rtol=0)


def test_the_refinement_does_not_change_what_the_coarse_head_learns() -> None:
    torch.manual_seed(0)
    head = _SMALL.build(_CHANNELS, 3).train()
    torch.nn.init.normal_(head.correction[-1].weight)
    target = ellipses(_PADDED, [(10, 12, 50, 40)], [1])
    rois = [Rois(boxes=target.boxes + 1, labels=target.labels, matched=torch.tensor([0]))]
    features = random_features(_CHANNELS, 1, _PADDED)
    losses = head.loss(features, rois, [target])
    assert list(losses) == ["mask", "refinement"]
    losses["refinement"].backward()
    assert all(parameter.grad is None for parameter in head.coarse.parameters())
    assert head.coarse.training


def test_outlines_finer_than_the_features_are_drawn_from_the_pixels() -> None:
    """Combs with teeth of two pixels, half a cell of the finest features."""
    torch.manual_seed(0)
    pictures = [_comb(seed) for seed in range(2)]
    features = random_features(_CHANNELS, 2, _PADDED)
    features[1] = torch.stack([pixels for pixels, _ in pictures])
    targets = [target for _, target in pictures]
    rois = [
        Rois(boxes=each.boxes, labels=each.labels, matched=torch.tensor([0])) for each in targets
    ]
    coarse = FCN.Config(strides=(4,), hidden_channels=16, dropout=0.0)
    head = replace(_SMALL, size=56, coarse=coarse).build(_CHANNELS, 1).train()
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        torch.stack(list(head.loss(features, rois, targets).values())).sum().backward()
        optimizer.step()
    head.eval()
    assert _iou(head, features, rois, targets) > 0.9
    assert _iou(head.coarse, features, rois, targets) < 0.6


def _comb(seed: int) -> tuple[torch.Tensor, Instances]:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(2, 60), rng.integers(2, 30)
    mask = np.zeros((1, *_PADDED), bool)
    mask[0, y : y + 8, x : x + 56] = True
    for tooth in range(x, x + 56, 4):
        mask[0, y : y + 56, tooth : tooth + 2] = True
    masks = Masks.from_dense(mask)
    pixels = torch.from_numpy(np.where(mask, 1.0, -1.0) + rng.normal(0, 0.2, (3, *_PADDED)))
    target = Instances(
        image_size=_PADDED,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.tensor([0]),
        masks=masks,
    )
    return pixels.float(), target


@torch.no_grad()
def _iou(head: MaskHead, features: Features, rois: list[Rois], targets: list[Instances]) -> float:
    """The mean IoU of the crops with the truth of their cells."""
    found = []
    for crops, roi, target in zip(head.crops(features, targets), rois, targets, strict=True):
        truth, drawn = crop_targets(target, roi, crops.shape[-1], shift=0.5) > 0.5, crops > 0.5
        found.append(float((truth & drawn).sum() / (truth | drawn).sum()))
    return float(np.mean(found))


def test_features_without_pixels_are_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"reads pixels: .* stride 1 .* have strides \[4, 8\]"):
        _SMALL.build({4: 16, 8: 16}, 3)
