"""Every head under every loss of masks, and what the losses are of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from contracts.made_up import ellipses, random_features
from contracts.mask_head_contract import MaskHeadContract
from maskwright.errors import ConfigError
from maskwright.mask_heads import (
    FCN,
    DeepLab,
    MaskHeadConfig,
    MaskRCNNHead,
    Prototypes,
    crop_targets,
    point_targets,
)
from maskwright.mask_heads.class_map import class_counts
from maskwright.mask_heads.class_map_losses import class_map_losses
from maskwright.mask_heads.prototypes import mix_prototypes, mix_prototypes_at
from maskwright.model import InstanceSegmenter
from maskwright.ops import dice_loss, lovasz_hinge_loss, sample_crops, signed_distances
from maskwright.structures import Instances, Rois

_CHANNELS = {4: 16, 8: 16, 16: 16, 32: 16}
_PADDED = (96, 128)
_ALL = "cross_entropy+0.5*focal+dice+lovasz+0.5*boundary"
_MASK_RCNN = MaskRCNNHead.Config(pool_size=7, conv_channels=(32,), deconv_channels=32)
_PROTOTYPES = Prototypes.Config(
    num_prototypes=16, conv_channels=(32,), hidden_channels=64, crop_size=28
)
_FCN = FCN.Config(hidden_channels=16, dropout=0.0)
_DEEPLAB = DeepLab.Config(aspp_channels=16, low_level_channels=8, head_channels=(16,))


class TestMaskRCNNHeadWithDiceAndLovasz(MaskHeadContract):
    config = replace(_MASK_RCNN, mask_loss="bce+dice+0.5*lovasz")


class TestMaskRCNNHeadAtPoints(MaskHeadContract):
    config = replace(_MASK_RCNN, mask_loss="bce+dice+boundary", mask_points=98)


class TestPrototypesAtPoints(MaskHeadContract):
    config = replace(_PROTOTYPES, mask_loss="cross_entropy+lovasz", mask_points=98)


class TestFCNWithEveryLoss(MaskHeadContract):
    config = replace(_FCN, mask_loss=_ALL)
    reads_rois = False


class TestFCNAtPoints(MaskHeadContract):
    config = replace(_FCN, mask_loss="ce+dice", mask_points=200)
    reads_rois = False


def _targets() -> tuple[Instances, ...]:
    return (
        ellipses((90, 120), [(10, 12, 50, 40), (60, 30, 110, 84)], [0, 2]),
        ellipses((96, 100), [], []),
    )


def _rois(targets: tuple[Instances, ...]) -> list[Rois]:
    return [
        Rois(boxes=each.boxes + 1.3, labels=each.labels, matched=torch.arange(len(each)))
        for each in targets
    ]


@pytest.mark.parametrize("points", [None, 50])
@pytest.mark.parametrize("head", [_MASK_RCNN, _PROTOTYPES, _FCN, _DEEPLAB])
def test_every_head_reports_every_loss_by_its_name(
    head: MaskHeadConfig, points: int | None
) -> None:
    torch.manual_seed(0)
    targets, features = _targets(), random_features(_CHANNELS, 2, _PADDED)
    network = replace(head, mask_loss=_ALL, mask_points=points).build(_CHANNELS, 3)
    losses = network.loss(features, _rois(targets), targets)
    prefix = "class_map" if isinstance(head, FCN.Config | DeepLab.Config) else "mask"
    names = ("cross_entropy", "focal", "dice", "lovasz", "boundary")
    assert list(losses) == [f"{prefix}_{name}" for name in names]
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("points", [None, 50])
@pytest.mark.parametrize("head", [_MASK_RCNN, _PROTOTYPES, _FCN, _DEEPLAB])
def test_pictures_without_objects_have_finite_gradients_under_every_loss(
    head: MaskHeadConfig, points: int | None
) -> None:
    torch.manual_seed(0)
    targets = (ellipses(_PADDED, [], []), ellipses(_PADDED, [], []))
    network = replace(head, mask_loss=_ALL, mask_points=points).build(_CHANNELS, 3)
    losses = network.loss(random_features(_CHANNELS, 2, _PADDED), _rois(targets), targets)
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    if isinstance(head, FCN.Config | DeepLab.Config):
        assert losses["class_map_dice"] == losses["class_map_boundary"] == 0
        assert losses["class_map_cross_entropy"] > 0
    else:
        assert all(loss == 0 for loss in losses.values())


def test_losses_of_crops_are_means_over_the_rois_of_a_picture() -> None:
    torch.manual_seed(0)
    targets, features = _targets(), random_features(_CHANNELS, 2, _PADDED)
    rois = _rois(targets)
    head = replace(_MASK_RCNN, mask_loss="0.5*dice+lovasz").build(_CHANNELS, 3)
    logits = head(features, [each.boxes for each in rois], [each.labels for each in rois])
    truth = crop_targets(targets[0], rois[0], 14).flatten(1)
    flat = logits.flatten(1)
    found = head.loss(features, rois, targets)
    # two RoIs on the first of two pictures
    torch.testing.assert_close(
        found["mask_dice"], 0.5 * dice_loss(flat.sigmoid(), truth).mean() / 2
    )
    expected = lovasz_hinge_loss(flat, truth > 0.5).mean() / 2
    torch.testing.assert_close(found["mask_lovasz"], expected)


def test_truth_at_points_is_that_of_the_pixels_under_them() -> None:
    (target, _) = _targets()
    dense = target.masks.to_dense()
    matched = torch.tensor([1, 0, 1])
    boxes = torch.tensor([[55.0, 20, 118, 90], [-4.0, 8.5, 60, 41], [100.0, 80, 130, 100]])
    rois = Rois(boxes=boxes, labels=target.labels[matched], matched=matched)
    points = torch.rand((3, 400, 2), generator=torch.Generator().manual_seed(0))
    found = point_targets(target, rois, points, shift=0.5)
    for k, box in enumerate(boxes.tolist()):
        for (u, v), value in zip(points[k].tolist(), found[k].tolist(), strict=True):
            x = int(np.floor(box[0] + u * (box[2] - box[0])))
            y = int(np.floor(box[1] + v * (box[3] - box[1])))
            inside = 0 <= x < 120 and 0 <= y < 90
            assert value == (dense[matched[k], y, x] if inside else 0)
    assert 0.2 < found.mean() < 0.8
    moved = Rois(boxes=boxes + 0.5, labels=rois.labels, matched=matched)
    assert torch.equal(
        point_targets(target, rois, points), point_targets(target, moved, points, shift=0.5)
    )
    with pytest.raises(ValueError, match="no masks"):
        point_targets(replace(target, masks=None), rois, points)


def test_prototypes_at_points_are_the_crops_at_points() -> None:
    generator = torch.Generator().manual_seed(0)
    # smooth, so that a crop of many cells holds what lies between its centres
    maps = F.interpolate(
        torch.randn(1, 4, 5, 6, generator=generator), size=(24, 32), mode="bicubic"
    )[0]
    mix = torch.randn(3, 4, generator=generator)
    boxes = torch.tensor([[10.0, 12, 50, 40], [3.0, 3.0, 90, 90], [60.0, 30, 110, 84]])
    points = 0.05 + 0.9 * torch.rand((3, 200, 2), generator=generator)
    found = mix_prototypes_at(maps, mix, boxes, points, stride=4)
    crops = mix_prototypes(maps, mix, boxes, stride=4, size=224)
    torch.testing.assert_close(found, sample_crops(crops, points), atol=0.02, rtol=0)


def test_learning_at_points_makes_no_map_of_the_picture_per_roi() -> None:
    boxes = [(x, y, x + 12, y + 10) for x in range(0, 480, 16) for y in range(0, 380, 16)]
    target = ellipses((384, 512), boxes[:200], [0] * 200)
    rois = [Rois(boxes=target.boxes, labels=target.labels, matched=torch.arange(200))]
    features = random_features(_CHANNELS, 1, (384, 512))
    largest = {}
    for points in (None, 100):
        head = replace(_PROTOTYPES, mask_points=points, rois_per_image=None).build(_CHANNELS, 1)
        shapes: list[torch.Size] = []
        with _Watching(shapes):
            head.loss(features, rois, (target,))
        largest[points] = max(shape.numel() for shape in shapes)
    assert largest[None] >= 200 * 96 * 128
    assert largest[100] < 200 * 96 * 128 / 2


class _Watching(TorchDispatchMode):
    """Notes the shape of every tensor that is made."""

    def __init__(self, shapes: list[torch.Size]) -> None:
        super().__init__()
        self.shapes = shapes

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.shapes += [each.shape for each in (made,) if isinstance(each, torch.Tensor)]
        return made


def _map_and_counts() -> tuple[torch.Tensor, torch.Tensor]:
    targets = _targets()
    counts = torch.stack([class_counts(each, 3, (24, 32), 4) for each in targets])
    logits = torch.randn(2, 4, 24, 32, generator=torch.Generator().manual_seed(0))
    return logits, counts


def test_losses_of_a_class_map_are_those_of_its_classes() -> None:
    """Against NumPy, class by class: two classes on the first picture, none on the second."""
    logits, counts = _map_and_counts()
    found = class_map_losses(logits, counts, mask_loss="dice+lovasz+boundary", num_cells=None)
    grown = np.exp(logits.double().numpy())
    probs = grown / grown.sum(axis=1, keepdims=True)
    known = counts.sum(dim=1).numpy()
    probs *= (known > 0)[:, None]  # padding counts nowhere
    dice, boundary, lovasz = [], [], [[], []]
    for picture in range(2):
        truth = counts[picture].argmax(dim=0).numpy()
        for channel in range(4):
            inside = (truth == channel) & (known[picture] > 0)
            if not inside.any():
                continue
            drawn = probs[picture, channel]
            errors = np.abs(inside - drawn).ravel()
            order = np.argsort(-errors)
            rises, before = [], 0.0
            wrong = np.zeros(errors.shape, bool)
            for cell in order:
                wrong[cell] = True
                now = wrong.sum() / (inside.ravel() | wrong).sum()
                rises.append(now - before)
                before = now
            lovasz[picture].append(float(np.dot(rises, errors[order])))
            if not channel:
                continue
            part = counts[picture, channel].double().numpy() / np.maximum(known[picture], 1)
            dice.append(1 - 2 * (drawn * part).sum() / ((drawn**2).sum() + (part**2).sum()))
            away = signed_distances(torch.from_numpy(inside)[None])[0].numpy()
            boundary.append((away * (drawn - inside)).mean())
    assert (len(dice), len(lovasz[0]), len(lovasz[1])) == (2, 3, 1)
    expected = {
        "class_map_dice": np.mean(dice) / 2,
        "class_map_lovasz": (np.mean(lovasz[0]) + np.mean(lovasz[1])) / 2,
        "class_map_boundary": np.mean(boundary) / 2,
    }
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name


def test_a_class_map_learns_where_its_best_classes_are_nearest() -> None:
    _, counts = _map_and_counts()
    logits = torch.zeros(2, 4, 24, 32)
    logits[:, 0] = 9.0  # sure of background, but for one column
    logits[:, :, :, 5] = 0.0
    logits.requires_grad_()
    torch.manual_seed(0)
    losses = class_map_losses(logits, counts, mask_loss="cross_entropy", num_cells=32)
    losses["class_map"].backward()
    learnt = logits.grad.abs().sum(dim=1) > 0
    assert learnt[0].sum() <= 32
    assert learnt[0, :22, 5].sum() == 22  # of 24 rows, the last of which are padding


@pytest.mark.parametrize("head", [_MASK_RCNN, _PROTOTYPES, _FCN, _DEEPLAB])
def test_a_loss_that_is_none_is_refused_before_anything_is_built(head: MaskHeadConfig) -> None:
    wrong = replace(head, mask_loss="dise")
    with pytest.raises(ConfigError, match="Did you mean 'dice'"):
        wrong.build(_CHANNELS, 3)
    config = replace(InstanceSegmenter.Config(), mask_head=wrong)
    with pytest.raises(ConfigError, match=r"mask_head.mask_loss: .* Did you mean 'dice'"):
        config.build(("disc",))
