from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from contracts.detector_contract import DetectorContract
from contracts.made_up import batch_of, ellipses, random_features
from maskwright.detectors import RPN, BoxHead, FasterRCNN
from maskwright.errors import ConfigError

_ALL = 100_000
"""More samples than there are boxes: all are learnt from, and nothing is random."""

_RPN = RPN.Config(
    anchor_sizes=((16,), (32,), (48,), (64,)),
    samples_per_image=_ALL,
    positive_fraction=1.0,
    pre_nms_train=100,
    pre_nms_test=100,
    post_nms_train=100,
    post_nms_test=100,
)
_BOX_HEAD = BoxHead.Config(
    fc_channels=(64,), pool_size=5, samples_per_image=_ALL, positive_fraction=1.0
)
_SMALL = FasterRCNN.Config(rpn=_RPN, box_head=_BOX_HEAD, score_threshold=0.01)


class TestFasterRCNN(DetectorContract):
    config = _SMALL


class TestFasterRCNNOnOneLevelWithMaxPooling(DetectorContract):
    config = FasterRCNN.Config(
        rpn=replace(_RPN, strides=(8,), anchor_sizes=((16, 32, 48, 64),), num_convs=2),
        box_head=replace(_BOX_HEAD, strides=(8,), pool="max", class_agnostic=True),
        score_threshold=0.01,
    )
    channels = {4: 8, 8: 16, 16: 32}  # noqa: RUF012


class TestFasterRCNNWithConvolutionsInItsHead(DetectorContract):
    config = replace(
        _SMALL,
        box_head=replace(_BOX_HEAD, conv_channels=(16,), norm="group", pool="align_half_pixel"),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (4, 128)}, r"\[128\]; the features have strides \[4, 8\]"),
        ({"anchor_sizes": ((8,), (8,), (8,))}, "3 lists for 2 levels"),
        ({"anchor_sizes": ((8,), (8, 16))}, "as many anchor sizes"),
    ],
)
def test_levels_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RPN({4: 16, 8: 16}, replace(RPN.Config(), **changes))


def test_levels_of_different_widths_need_a_neck() -> None:
    with pytest.raises(ConfigError, match="add a neck"):
        RPN({4: 16, 8: 32}, RPN.Config(anchor_sizes=((8,),)))
    with pytest.raises(ConfigError, match="add a neck"):
        BoxHead({4: 16, 8: 32}, 2, BoxHead.Config())


def test_background_inside_a_crowd_is_not_learnt() -> None:
    """With a crowd over the whole picture, no anchor is background: both losses are zero."""
    torch.manual_seed(0)
    channels = {4: 16, 8: 16, 16: 16, 32: 16}
    detector = FasterRCNN(channels, 3, _SMALL)
    target = ellipses((96, 128), [(0, 0, 128, 96)], [1])
    crowd = replace(target, is_crowd=torch.tensor([True]))
    features = random_features(channels, 1, (96, 128))
    losses, _ = detector.loss(features, batch_of((crowd,), (96, 128)))
    assert losses["classification"] == 0
    # anchors that stick out of the picture by more than 30 % remain background
    inside, _ = detector.loss(features, batch_of((target,), (96, 128)))
    assert 0 < losses["objectness"] < inside["objectness"]


def test_samples_are_drawn_by_the_sampler_that_is_set() -> None:
    torch.manual_seed(0)
    channels = {8: 16}
    rpn = RPN(channels, RPN.Config(anchor_sizes=((16,),)))
    seen = []

    def none_at_all(matched: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(len(matched))
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)

    rpn.sampler = none_at_all
    target = ellipses((96, 128), [(10, 10, 30, 30)], [0])
    features = random_features(channels, 1, (96, 128))
    losses, _ = rpn.loss(features, (target,), [(96, 128)], (96, 128))
    assert seen == [12 * 16 * 3]
    assert losses["objectness"] == 0
    assert losses["rpn_box"] == 0


def test_a_box_head_without_proposals_and_objects_has_a_loss_of_zero() -> None:
    config = replace(_BOX_HEAD, conv_channels=(16,), norm="batch")
    head = BoxHead({8: 16}, 3, config).train()
    features = random_features({8: 16}, 1, (96, 128))
    losses, rois = head.loss(features, [torch.zeros(0, 4)], [ellipses((96, 128), [], [])])
    (losses["classification"] + losses["box"]).backward()
    assert losses["classification"] == losses["box"] == 0
    assert [len(each) for each in rois] == [0]
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert all(buffer.isfinite().all() for buffer in head.buffers())


@pytest.mark.parametrize("norm", ["batch", "group"])
@torch.no_grad()
def test_a_box_head_without_proposals_finds_nothing(norm: str) -> None:
    head = BoxHead({8: 16}, 3, replace(_BOX_HEAD, conv_channels=(16,), norm=norm)).eval()
    ((boxes, scores),) = head.predict(random_features({8: 16}, 1, (96, 128)), [torch.zeros(0, 4)])
    assert boxes.shape == (0, 3, 4)
    assert scores.shape == (0, 3)
