"""Detectors under the losses that are not their defaults."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest
import torch
from torchvision.ops import distance_box_iou_loss

from contracts.detector_contract import DetectorContract
from contracts.made_up import batch_of, ellipses, random_features
from maskwright.detectors import (
    RCNN,
    RPN,
    SSD,
    YOLO,
    BoxHead,
    DetectorConfig,
    FasterRCNN,
    FastRCNN,
)
from maskwright.detectors.default_boxes import match_default_boxes
from maskwright.detectors.task_alignment import align_cells
from maskwright.errors import ConfigError
from maskwright.ops import (
    BACKGROUND,
    CrossEntropy,
    Focal,
    QualityFocal,
    decode_boxes,
    decode_distances,
    expected_value,
    grid_cells,
    object_weights,
)
from maskwright.structures import Batch

_SIZES = (36.0, 40.0, 44.0, 48.0, 52.0)
_CHANNELS = {4: 16, 8: 16, 16: 16, 32: 16}
_PADDED = (96, 128)
_COUNTS = (50, 7, 5)
_BALANCED = Focal(gamma=1.5, balance=0.9, class_counts=_COUNTS)


class TestSSDWithFocalAndGIoU(DetectorContract):
    config = SSD.Config(
        sizes=_SIZES, num_convs=1, class_loss=_BALANCED, box_loss="giou", box_weight=2.0
    )


class TestSSDLiteWithFocal(DetectorContract):
    config = SSD.Config(
        sizes=_SIZES,
        aspect_ratios=((2.0, 3.0),),
        separable=True,
        norm="group",
        num_convs=1,
        class_loss=Focal(),
    )


class TestFasterRCNNWithFocalAndDIoU(DetectorContract):
    config = FasterRCNN.Config(
        rpn=RPN.Config(
            anchor_sizes=((32,),),
            pre_nms_train=100,
            post_nms_train=50,
            box_loss="giou",
            box_weight=10.0,
        ),
        box_head=BoxHead.Config(
            fc_channels=(64,),
            samples_per_image=64,
            class_loss=_BALANCED,
            box_loss="diou",
            box_weight=10.0,
        ),
    )


class TestYOLOWithCIoUAndBalance(DetectorContract):
    config = YOLO.Config(
        width=32,
        score_threshold=0.005,
        box_loss="ciou",
        class_loss=QualityFocal(gamma=1.5, balance=0.9, class_counts=_COUNTS),
    )


def _batch() -> Batch:
    targets = (
        ellipses((90, 120), [(10, 12, 50, 40), (60, 30, 110, 84)], [0, 2]),
        ellipses((96, 128), [], []),
    )
    return batch_of(targets, _PADDED)


def test_ssd_begins_with_background_under_focal_loss_and_learns_from_all_boxes() -> None:
    torch.manual_seed(0)
    config = SSD.Config(sizes=_SIZES, class_loss=Focal())
    detector = SSD(_CHANNELS, 3, config)
    for classifier in detector.classifiers:
        biases = classifier.bias.reshape(-1, 4)
        assert biases[:, 1:].eq(0).all()
        assert biases[:, 0].allclose(torch.tensor(log(0.99 / 0.01 * 3)))
        probs = biases.softmax(dim=1)
        assert probs[:, 0].allclose(torch.tensor(0.99))
    batch, features = _batch(), random_features(_CHANNELS, 2, _PADDED)
    logits, _, _ = detector(features)
    logits.retain_grad()
    matches = [torch.full((logits.shape[1],), BACKGROUND) for _ in range(2)]
    boxes = detector(features)[2]
    losses = detector._losses(logits, torch.zeros(2, len(boxes), 4), boxes, matches, batch.targets)
    losses["classification"].backward()
    assert (logits.grad.abs().sum(dim=2) > 0).all()


def test_boxes_of_ssd_learn_by_the_distance_iou_of_what_they_become() -> None:
    torch.manual_seed(0)
    detector = SSD(_CHANNELS, 3, SSD.Config(sizes=_SIZES, box_loss="diou", box_weight=3.0))
    batch, features = _batch(), random_features(_CHANNELS, 2, _PADDED)
    _, deltas, boxes = detector(features)
    matched = match_default_boxes(boxes, batch.targets[0], 0.5)
    positive = torch.where(matched >= 0)[0]
    moved = decode_boxes(deltas[0, positive], boxes[positive], (10.0, 10.0, 5.0, 5.0))
    expected = distance_box_iou_loss(moved, batch.targets[0].boxes[matched[positive]]).mean()
    losses, _ = detector.loss(features, batch)
    torch.testing.assert_close(losses["box"], 3.0 * expected / 2)  # of two pictures


def test_cells_of_a_rare_class_weigh_more_in_yolo() -> None:
    torch.manual_seed(0)
    plain = YOLO(_CHANNELS, 3, YOLO.Config(width=32))
    balance = QualityFocal(balance=0.9, class_counts=_COUNTS)
    balanced = YOLO(_CHANNELS, 3, replace(plain.config, class_loss=balance))
    balanced.load_state_dict(plain.state_dict())
    batch, features = _batch(), random_features(_CHANNELS, 2, _PADDED)
    grads = []
    for detector in (plain, balanced):
        logits, distances = detector.head(features)
        logits.retain_grad()
        cells = grid_cells({stride: features[stride] for stride in detector.strides})
        alignments = [
            align_cells(
                score,
                box,
                cells.centres,
                target,
                cells_per_object=13,
                score_power=1.0,
                iou_power=6.0,
            )
            for score, box, target in zip(
                logits.detach().sigmoid(),
                decode_distances(expected_value(distances.detach()), cells),
                batch.targets,
                strict=True,
            )
        ]
        losses = detector._losses(logits, distances, cells, alignments, batch.targets)
        losses["classification"].backward()
        grads.append(logits.grad[0])
    matched = alignments[0].matched
    weights = object_weights(_COUNTS, 0.9)[[0, 2]]
    for label, weight in enumerate(weights):
        own = matched == label
        assert own.any()
        torch.testing.assert_close(grads[1][own], weight * grads[0][own])
    torch.testing.assert_close(grads[1][matched < 0], grads[0][matched < 0])


@pytest.mark.parametrize(
    "config",
    [
        SSD.Config(class_loss=CrossEntropy(balance=0.99)),
        YOLO.Config(class_loss=QualityFocal(balance=0.99)),
        FasterRCNN.Config(box_head=BoxHead.Config(class_loss=Focal(balance=0.99))),
        FastRCNN.Config(box_head=BoxHead.Config(class_loss=Focal(balance=0.99))),
        RCNN.Config(class_loss=CrossEntropy(balance=0.99)),
    ],
)
def test_balance_without_counts_is_refused_with_a_way_out(config: DetectorConfig) -> None:
    with pytest.raises(ConfigError, match=r"0 numbers: give one per class .maskwright"):
        config.build(dict.fromkeys((4, 8, 16, 32, 64), 16), 3)
