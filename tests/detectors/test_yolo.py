from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from contracts.detector_contract import DetectorContract
from contracts.made_up import batch_of, ellipses, random_features
from maskwright.detectors import YOLO
from maskwright.errors import ConfigError
from maskwright.ops import Setting, decode_distances, expected_value, grid_cells, pairwise_iou
from maskwright.structures import Instances

_SMALL = YOLO.Config(width=32, score_threshold=0.005)
_CHANNELS = {4: 16, 8: 16, 16: 16, 32: 16}
_PADDED = (96, 128)


class TestYOLO(DetectorContract):
    config = _SMALL


class TestYOLOOnOneLevelWithoutNorm(DetectorContract):
    config = replace(_SMALL, strides=(8,), norm=None, num_convs=1)


class TestYOLOOnLevelsOfDifferentWidths(DetectorContract):
    config = replace(_SMALL, strides=(4, 8, 16, 32), cells_per_object=5)
    channels = {4: 8, 8: 16, 64: 24}  # noqa: RUF012


def _detector(**changes: object) -> YOLO:
    torch.manual_seed(0)
    return YOLO(_CHANNELS, 3, replace(_SMALL, **changes)).eval()


def _target(boxes: list[tuple[int, int, int, int]], labels: list[int]) -> Instances:
    return ellipses(_PADDED, boxes, labels)


def test_levels_that_the_features_lack_are_left_out_and_none_is_an_error() -> None:
    assert YOLO({4: 8, 16: 8, 64: 8}, 2, YOLO.Config()).strides == [16]
    with pytest.raises(ConfigError, match=r"strides \[8, 16, 32\], the features have \[4, 64\]"):
        YOLO({4: 8, 64: 8}, 2, YOLO.Config())


@torch.no_grad()
def test_at_first_scores_are_low_and_boxes_about_five_cells_wide() -> None:
    detector = _detector()
    features = random_features(_CHANNELS, 1, _PADDED)
    logits, distances = detector.head(features)
    cells = grid_cells({stride: features[stride] for stride in (8, 16, 32)})
    assert logits.shape == (1, len(cells), 3)
    boxes = decode_distances(expected_value(distances[0]), cells)
    assert 0.002 < logits.sigmoid().mean() < 0.05
    widths = (boxes[:, 2] - boxes[:, 0]) / cells.strides
    assert 4 < widths.mean() < 6


def test_a_crowd_over_the_picture_leaves_nothing_to_learn() -> None:
    target = replace(_target([(0, 0, 128, 96)], [1]), is_crowd=torch.tensor([True]))
    losses, rois = _detector().loss(
        random_features(_CHANNELS, 1, _PADDED), batch_of((target,), _PADDED)
    )
    assert all(loss == 0 for loss in losses.values())
    assert len(rois[0]) == 0


@torch.no_grad()
def test_what_a_crowd_covers_is_no_background_and_the_rest_is() -> None:
    features = random_features(_CHANNELS, 1, _PADDED)
    detector = _detector()

    def loss(target: Instances) -> float:
        return float(detector.loss(features, batch_of((target,), _PADDED))[0]["classification"])

    crowd = replace(_target([(0, 0, 64, 96)], [1]), is_crowd=torch.tensor([True]))
    nothing = _target([], [])
    assert 0 < loss(crowd) < 0.6 * loss(nothing)


def test_rois_hold_every_true_box_until_there_are_too_many() -> None:
    boxes = [(x, y, x + 14, y + 14) for y in range(0, 80, 16) for x in range(0, 112, 16)]
    target = _target(boxes, [1] * len(boxes))
    features, batch = random_features(_CHANNELS, 1, _PADDED), batch_of((target,), _PADDED)
    (all_rois,) = _detector(rois_per_image=1000).loss(features, batch)[1]
    assert set(all_rois.matched.tolist()) == set(range(len(boxes)))
    truth = {tuple(box) for box in target.boxes.tolist()}
    assert truth <= {tuple(box) for box in all_rois.boxes.tolist()}
    (few,) = _detector(rois_per_image=7).loss(features, batch)[1]
    assert len(few) == 7
    assert len(set(few.matched.tolist())) == 7


def test_rois_of_predicted_boxes_overlap_their_object_well_and_lie_in_the_picture() -> None:
    detector = _detector(roi_iou=0.3, largest_distance=8)
    target = _target([(10, 12, 50, 40), (60, 30, 128, 96)], [0, 2])
    (rois,) = detector.loss(random_features(_CHANNELS, 1, _PADDED), batch_of((target,), _PADDED))[1]
    assert len(rois) > 2
    overlap = pairwise_iou(rois.boxes, target.boxes)[torch.arange(len(rois)), rois.matched]
    assert (overlap >= 0.3).all()
    assert (rois.boxes >= 0).all()
    assert (rois.boxes[:, 2] <= 128).all()
    assert (rois.boxes[:, 3] <= 96).all()


def test_objects_smaller_than_a_cell_are_learnt() -> None:
    detector = _detector(roi_iou=0.0)
    target = _target([(13, 13, 18, 18)], [0])  # between four centres of stride 8
    losses, (rois,) = detector.loss(
        random_features(_CHANNELS, 1, _PADDED), batch_of((target,), _PADDED)
    )
    assert losses["box"] > 0
    assert len(rois) == 2


@torch.no_grad()
def test_detections_come_from_the_best_cells() -> None:
    detector = _detector(score_threshold=0.0, nms_threshold=1.0)
    features = random_features(_CHANNELS, 1, _PADDED)
    batch = batch_of((_target([], []),), _PADDED)
    (found,) = detector.detect(features, batch)
    detector.config = replace(detector.config, pre_nms=4)
    (few,) = detector.detect(features, batch)
    assert len(few) == 4 * 3
    assert found.scores[0] == few.scores[0]


def test_the_setting_chooses_levels_width_and_room() -> None:
    setting = Setting(width=96, is_light=True, small_object=20.0, room=400)
    config = YOLO.Config.for_setting(setting)
    assert config.strides == (8, 16, 32)
    assert config.width == 64
    assert config.detections_per_image == 400
    assert config.pre_nms == 2000
    finer = YOLO.Config.for_setting(replace(setting, small_object=10.0))
    assert finer.strides == (4, 8, 16, 32)
    assert YOLO.Config.for_setting(replace(setting, width=256, is_light=False)).width == 256
