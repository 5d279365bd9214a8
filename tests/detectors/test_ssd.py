from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models.detection._utils import SSDMatcher
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from contracts.detector_contract import DetectorContract
from contracts.made_up import batch_of, ellipses, random_features
from maskwright.detectors import SSD
from maskwright.detectors.default_boxes import match_default_boxes
from maskwright.errors import ConfigError
from maskwright.ops import BACKGROUND, IGNORED, Setting, pairwise_iou
from maskwright.structures import Instances

# about as large as the objects on every level, so that each level has something to learn
_SIZES = (36.0, 40.0, 44.0, 48.0, 52.0)
_CHANNELS = {4: 16, 8: 16, 16: 16, 32: 16}
_PADDED = (96, 128)


class TestSSD(DetectorContract):
    config = SSD.Config(sizes=_SIZES, num_convs=1)


class TestSSDLite(DetectorContract):
    config = SSD.Config(
        sizes=_SIZES, aspect_ratios=((2.0, 3.0),), separable=True, norm="group", num_convs=1
    )


class TestSSDOnLevelsOfDifferentWidths(DetectorContract):
    config = SSD.Config(strides=(8, 16, 64), sizes=(36.0, 44.0, 50.0), num_convs=1)
    channels = {4: 8, 8: 24, 16: 32}  # noqa: RUF012


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (64, 128)}, r"asked for strides \[64, 128\], the features have \[4, 8, 16"),
        ({"sizes": (8.0, 16.0)}, "2 sizes for 4 levels of strides .*: give 5"),
        ({"aspect_ratios": ((2.0,), (3.0,))}, "2 lists for 4 levels"),
        ({"steps": (8.0,)}, "1 steps for 4 levels"),
    ],
)
def test_options_that_do_not_fit_the_levels_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SSD(_CHANNELS, 2, replace(SSD.Config(), **changes))


def test_default_boxes_are_torchvisions() -> None:
    """Of SSD300, with sizes in parts of the picture there and in pixels here."""
    ratios = ((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,))
    scales = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
    steps = (8.0, 16.0, 32.0, 64.0, 100.0, 300.0)
    config = SSD.Config(
        sizes=tuple(300 * scale for scale in scales),
        aspect_ratios=ratios,
        steps=steps,
        max_side=300.0,
    )
    grids = {8: 38, 16: 19, 32: 10, 64: 5, 128: 3, 256: 1}
    ours = SSD(dict.fromkeys(grids, 2), 1, config)
    features = {stride: torch.zeros(1, 2, cells, cells) for stride, cells in grids.items()}
    theirs = DefaultBoxGenerator(
        [list(each) for each in ratios], scales=list(scales), steps=[int(step) for step in steps]
    )
    (expected,) = theirs(
        ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]), list(features.values())
    )
    assert len(expected) == 8732  # section 3
    torch.testing.assert_close(ours(features)[2], expected, atol=1e-4, rtol=0)


def test_one_size_grows_from_level_to_level() -> None:
    detector = SSD({4: 8, 8: 8}, 1, SSD.Config(sizes=(10.0,), growth=3.0, aspect_ratios=((),)))
    _, _, boxes = detector({4: torch.zeros(1, 8, 1, 1), 8: torch.zeros(1, 8, 1, 1)})
    sides = (boxes[:, 2:] - boxes[:, :2])[:, 0]
    torch.testing.assert_close(sides, torch.tensor([10.0, 300**0.5, 30.0, 2700**0.5]))
    centres = (boxes[:, 2:] + boxes[:, :2])[:, 0] / 2
    torch.testing.assert_close(centres, torch.tensor([2.0, 2.0, 4.0, 4.0]))


@pytest.mark.parametrize("small_object", [3.0, 10.0, 24.0])
def test_the_finest_default_boxes_are_as_large_as_small_objects(small_object: float) -> None:
    setting = Setting(width=8, is_light=True, small_object=small_object, room=250)
    config = SSD.Config.for_setting(setting)
    detector = config.build(dict.fromkeys((4, 8, 16, 32, 64), 8), 3)
    assert detector.strides == ([8, 16, 32, 64] if small_object > 16 else [4, 8, 16, 32, 64])
    assert config.sizes == (max(small_object, 8.0),)
    assert config.detections_per_image == 250


def _targets(boxes: list[list[float]], crowd: list[bool] | None = None) -> Instances:
    return Instances(
        image_size=(100, 100),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        is_crowd=None if crowd is None else torch.tensor(crowd),
    )


def test_matches_are_torchvisions_where_no_two_objects_want_one_box() -> None:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand((300, 2), generator=generator) * 80
    boxes = torch.cat((corner, corner + 5 + torch.rand((300, 2), generator=generator) * 30), dim=1)
    truth = boxes[[3, 80, 200]] + torch.tensor([4.0, 3.0, 1.0, -2.0])
    found = match_default_boxes(boxes, _targets(truth.tolist()), 0.5)
    assert torch.equal(found, SSDMatcher(0.5)(pairwise_iou(truth, boxes)))
    assert (found >= 0).sum() >= 3


def test_objects_that_want_one_box_get_the_best_that_are_left() -> None:
    boxes = torch.tensor([[0.0, 0, 40, 40], [40.0, 0, 80, 40], [0.0, 40, 40, 80]])
    small = [[10.0, 10, 20, 20], [9.0, 9, 22, 22], [38.0, 10, 44, 20]]
    # the second covers more of box 0 than the first, which touches no other box
    assert match_default_boxes(boxes, _targets(small), 0.5).tolist() == [1, 2, BACKGROUND]
    equal = [[10.0, 10, 50, 50], [10.0, 10, 50, 50]]
    matched = match_default_boxes(boxes, _targets(equal), 0.5).tolist()
    assert sorted(matched) == [BACKGROUND, 0, 1]


def test_without_objects_all_is_background_and_an_object_far_away_claims_nothing() -> None:
    boxes = torch.tensor([[0.0, 0, 40, 40], [40.0, 0, 80, 40]])
    assert match_default_boxes(boxes, _targets([]), 0.5).tolist() == [BACKGROUND, BACKGROUND]
    far = _targets([[90.0, 90, 99, 99]])
    assert match_default_boxes(boxes, far, 0.5).tolist() == [BACKGROUND, BACKGROUND]
    assert match_default_boxes(boxes[:0], far, 0.5).tolist() == []


def test_crowds_are_ignored_and_other_targets_keep_their_numbers() -> None:
    boxes = torch.tensor([[0.0, 0, 40, 40], [40.0, 0, 80, 40], [0.0, 60, 40, 99]])
    targets = _targets([[0.0, 0, 40, 40], [40.0, 0, 80, 40]], crowd=[True, False])
    assert match_default_boxes(boxes, targets, 0.5).tolist() == [IGNORED, 1, BACKGROUND]
    only_crowd = _targets([[0.0, 0, 100, 50]], crowd=[True])
    assert match_default_boxes(boxes, only_crowd, 0.5).tolist() == [IGNORED, IGNORED, BACKGROUND]


def test_the_hardest_negatives_are_learnt_three_to_one() -> None:
    detector = SSD(_CHANNELS, 2, SSD.Config(sizes=_SIZES))
    matched = torch.tensor([0, BACKGROUND, IGNORED, BACKGROUND, BACKGROUND, BACKGROUND, BACKGROUND])
    logits = torch.zeros(7, 3)
    logits[:, 1] = torch.tensor([9.0, 1.0, 8.0, 4.0, -1.0, 3.0, 2.0])
    assert detector._hard_negatives(logits, matched).tolist() == [3, 5, 6]
    alone = torch.full((7,), BACKGROUND)
    assert detector._hard_negatives(logits, alone).tolist() == [0, 2, 3]


def test_inside_a_crowd_nothing_is_learnt() -> None:
    torch.manual_seed(0)
    detector = SSD(_CHANNELS, 3, SSD.Config(sizes=_SIZES))
    # larger than the picture, for default boxes stick out of it
    crowd = replace(_targets([[-99.0, -99, 300, 300]], crowd=[True]), image_size=_PADDED)
    losses, rois = detector.loss(_features(), batch_of((crowd,), _PADDED))
    assert losses == {"classification": 0, "box": 0}
    assert len(rois[0]) == 0


def _features() -> dict[int, torch.Tensor]:
    return random_features(_CHANNELS, 1, _PADDED)


def test_the_mask_head_learns_on_true_boxes_and_good_predictions() -> None:
    torch.manual_seed(0)
    target = ellipses(_PADDED, [(10, 12, 50, 40), (60, 30, 110, 84)], [0, 2])
    batch = batch_of((target,), _PADDED)
    _, (rois,) = SSD(_CHANNELS, 3, SSD.Config(sizes=_SIZES)).loss(_features(), batch)
    assert set(rois.matched.tolist()) == {0, 1}
    assert (pairwise_iou(rois.boxes, target.boxes)[range(len(rois)), rois.matched] >= 0.5).all()
    assert len(rois) > 2
    few = SSD(_CHANNELS, 3, SSD.Config(sizes=_SIZES, rois_per_image=2))
    _, (rois,) = few.loss(_features(), batch)
    assert rois.matched.tolist() == [0, 1]
