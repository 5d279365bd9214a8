"""What is put over pictures, and what becomes of the truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskwright.masks import Masks
from maskwright.structures import Instances, Sample
from maskwright.transforms.corruptions import OCCLUSIONS, occluded_truth

SIZE = (60, 80)
BOXES = np.array([[5, 5, 25, 25], [30, 10, 50, 40], [60, 40, 70, 50]], np.float32)


def _sample(colour: int, boxes: np.ndarray = BOXES, name: str = "a") -> Sample:
    masks = Masks.from_boxes(boxes, SIZE)
    targets = Instances(
        image_size=SIZE,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.arange(len(boxes)) % 2,
        masks=masks,
        is_crowd=torch.zeros(len(boxes), dtype=torch.bool),
        class_names=("coin", "nut"),
        category_ids=(1, 2),
    )
    image = np.full((*SIZE, 3), colour, np.uint8)
    return Sample(image=image, targets=targets, image_id=1, name=name)


def _apply(name: str, strength: int, sample: Sample, donor: Sample | None) -> Sample:
    occlusion = OCCLUSIONS[name]
    rng = np.random.default_rng(0)
    return occlusion.apply(sample, occlusion.levels[strength - 1], rng, lambda _: donor)


def test_covered_pixels_leave_the_masks_and_nearly_hidden_objects_are_ignored_whole() -> None:
    sample = _sample(50)
    cover = np.zeros(SIZE, bool)
    cover[:, :15] = True  # half of the first
    cover[10:38, 30:50] = True  # all but two of thirty rows of the second
    seen = occluded_truth(sample.targets, Masks.from_dense(cover[None]))
    assert seen.masks is not None
    assert seen.is_crowd is not None
    assert sample.targets.masks is not None
    dense = sample.targets.masks.to_dense()
    assert seen.is_crowd.tolist() == [False, True, False]
    np.testing.assert_array_equal(seen.masks.to_dense()[0], dense[0] & ~cover)
    np.testing.assert_array_equal(seen.masks.to_dense()[1:], dense[1:])
    assert seen.boxes.tolist() == [[15, 5, 25, 25], [30, 10, 50, 40], [60, 40, 70, 50]]


def test_no_objects_and_no_cover_change_nothing() -> None:
    none = _sample(50, BOXES[:0]).targets
    assert len(occluded_truth(none, Masks.from_dense(np.ones((1, *SIZE), bool)))) == 0
    all_seen = occluded_truth(_sample(50).targets, Masks.empty(SIZE).union())
    assert all_seen.masks == _sample(50).targets.masks
    assert _apply("objects", 5, _sample(50, BOXES[:0]), _sample(200)).image.max() == 50
    np.testing.assert_array_equal(_apply("objects", 5, _sample(50), None).image, _sample(50).image)


@pytest.mark.parametrize("strength", [1, 2, 3, 4, 5])
def test_patches_cover_their_share_of_the_picture_and_grow(strength: int) -> None:
    sample = _sample(50)
    covered = (_apply("patches", strength, sample, None).image != 50).any(axis=2)
    share = OCCLUSIONS["patches"].levels[strength - 1]
    assert share <= covered.mean() <= share + 0.25 * 0.25
    if strength > 1:
        before = (_apply("patches", strength - 1, sample, None).image != 50).any(axis=2)
        assert (covered | ~before).all()


@pytest.mark.parametrize("strength", [1, 3, 5])
def test_pasted_objects_hide_their_share_and_are_ignored_themselves(strength: int) -> None:
    sample, donor = _sample(50), _sample(200, np.array([[40, 20, 48, 26]], np.float32), "b")
    changed = _apply("objects", strength, sample, donor)
    assert changed.targets.masks is not None
    assert sample.targets.masks is not None
    assert changed.targets.is_crowd is not None
    is_pasted = (changed.image == 200).all(axis=2)
    foreground = sample.targets.masks.union().to_dense()[0]
    share = (is_pasted & foreground).sum() / foreground.sum()
    wanted = OCCLUSIONS["objects"].levels[strength - 1]
    assert wanted <= share < wanted + 48 / foreground.sum()
    own, pasted = changed.targets[:3], changed.targets[3:]
    assert pasted.is_crowd is not None
    assert own.is_crowd is not None
    assert pasted.masks is not None
    assert own.masks is not None
    assert bool(pasted.is_crowd.all())
    np.testing.assert_array_equal(pasted.masks.union().to_dense()[0], is_pasted)
    kept = ~own.is_crowd.numpy()
    expected = sample.targets.masks.to_dense()[kept] & ~is_pasted
    np.testing.assert_array_equal(own.masks.to_dense()[kept], expected)
    assert changed.targets.class_names == ("coin", "nut")
    np.testing.assert_array_equal(sample.image, _sample(50).image)
