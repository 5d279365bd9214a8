"""Mosaic, copy-paste and mixup, against pictures in which every object has a colour of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskwright.errors import ConfigError
from maskwright.masks import Masks
from maskwright.structures import Instances, Sample
from maskwright.transforms import Augmentation, CopyPaste, MixUp, Mosaic

SIZES = {"short_side": 48, "long_side": 64}
EXACT = {"horizontal_flip": 0.5, "vertical_flip": 0.5}
"""Changes that copy pixels as they are, so that colours tell whose a pixel is."""


def _painted(first: int, num_objects: int, size: tuple[int, int] = (48, 64)) -> Sample:
    """Ellipses that do not overlap, object k of grey level `first + k`, on 0."""
    rng = np.random.default_rng(first)
    image = np.zeros(size, np.uint8)
    rows, columns = np.mgrid[: size[0], : size[1]]
    for k in range(num_objects):
        y, x = rng.uniform(5, size[0] - 5), rng.uniform(5, size[1] - 5)
        reach = rng.uniform(4, 14, 2)
        image[((rows - y) / reach[0]) ** 2 + ((columns - x) / reach[1]) ** 2 < 1] = first + k
    labels = [k for k in range(num_objects) if (image == first + k).any()]
    dense = np.stack([image == first + k for k in labels]) if labels else np.zeros((0, *size), bool)
    masks = Masks.from_dense(dense)
    targets = Instances(
        image_size=size,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.tensor([first + k for k in labels], dtype=torch.int64),
        masks=masks,
        is_crowd=torch.zeros(len(labels), dtype=torch.bool),
    )
    return Sample(image=np.dstack([image] * 3), targets=targets, image_id=first, name="a.png")


OWN = _painted(10, 6)
OTHERS = [_painted(first, 6) for first in (50, 90, 130)]


def _partner(rng: np.random.Generator) -> Sample:
    return OTHERS[rng.integers(len(OTHERS))]


def _dense_by_label(sample: Sample) -> dict[int, np.ndarray]:
    assert sample.targets.masks is not None
    dense = sample.targets.masks.to_dense()
    return dict(zip(sample.targets.labels.tolist(), dense, strict=True))


def _apply(augmentation: Augmentation, seed: int, sample: Sample = OWN) -> Sample:
    return augmentation.apply(sample, np.random.default_rng(seed), **SIZES, partner=_partner)


def _assert_masks_are_the_colours(sample: Sample) -> None:
    """Every mask is where its colour is, and no colour of an object is left without a mask."""
    grey, targets = sample.image[:, :, 0], sample.targets
    assert targets.masks is not None
    for label, dense in zip(targets.labels.tolist(), targets.masks.to_dense(), strict=True):
        assert dense.any()
        assert (grey[dense] == label).all()
    seen = set(np.unique(grey).tolist()) - {0, 200}
    assert seen == set(targets.labels.tolist())
    np.testing.assert_array_equal(targets.boxes.numpy(), targets.masks.boxes)


@pytest.mark.parametrize("seed", range(12))
def test_pasted_objects_cover_what_lies_below(seed: int) -> None:
    result = _apply(Augmentation(**EXACT, copy_paste=CopyPaste(probability=1)), seed)
    _assert_masks_are_the_colours(result)
    total = result.targets.masks.to_dense().sum(axis=0)
    assert total.max() <= 1  # objects that did not overlap do not overlap now
    assert result.image.shape == (48, 64, 3)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("amodal", [False, True])
def test_copy_paste_is_the_dense_one(seed: int, amodal: bool) -> None:
    # Nothing moves, so that every pasted object lies where it lay in its own picture.
    paste = CopyPaste(probability=1, objects=(1, 3), amodal=amodal)
    result = _apply(Augmentation(horizontal_flip=0.0, copy_paste=paste), seed)
    sources = {label: dense for each in OTHERS for label, dense in _dense_by_label(each).items()}
    image, cover = OWN.image.copy(), np.zeros((48, 64), bool)
    pasted = [label for label in result.targets.labels.tolist() if label in sources]
    assert 1 <= len(pasted) <= 3
    for label in pasted:
        image[sources[label]] = label
        cover |= sources[label]
    below = _dense_by_label(OWN)
    visible = {label: dense & ~cover for label, dense in below.items()}
    kept = [label for label in below if visible[label].any()]
    np.testing.assert_array_equal(result.image, image)
    assert result.targets.labels.tolist() == kept + pasted
    expected = [(below if amodal else visible)[label] for label in kept]
    expected += [sources[label] for label in pasted]
    np.testing.assert_array_equal(result.targets.masks.to_dense(), np.stack(expected))


@pytest.mark.parametrize("amodal", [False, True])
def test_wholly_covered_objects_drop(amodal: bool) -> None:
    everything = _painted(50, 0)
    masks = Masks.from_boxes([[0, 0, 64, 48]], (48, 64))
    everything = replace(
        everything,
        targets=replace(
            everything.targets,
            boxes=torch.from_numpy(masks.boxes),
            labels=torch.tensor([50]),
            masks=masks,
            is_crowd=torch.tensor([False]),
        ),
    )
    augmentation = Augmentation(copy_paste=CopyPaste(probability=1, amodal=amodal))
    rng = np.random.default_rng(0)
    result = augmentation.apply(OWN, rng, **SIZES, partner=lambda _: everything)
    assert result.targets.labels.tolist() == [50]
    np.testing.assert_array_equal(result.image, everything.image)


def test_crowds_are_never_pasted() -> None:
    crowd = replace(
        OTHERS[0],
        targets=replace(OTHERS[0].targets, is_crowd=torch.ones(len(OTHERS[0].targets), dtype=bool)),
    )
    augmentation = Augmentation(copy_paste=CopyPaste(probability=1))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        result = augmentation.apply(OWN, rng, **SIZES, partner=lambda _: crowd)
        assert result.targets.labels.tolist() == OWN.targets.labels.tolist()


@pytest.mark.parametrize("seed", range(12))
def test_a_mosaic_has_the_objects_of_its_four_pictures(seed: int) -> None:
    # A scale of 1 copies pixels; 200 is no object's colour.
    mosaic = Mosaic(probability=1, scale=(1.0, 1.0))
    result = _apply(Augmentation(**EXACT, mosaic=mosaic, fill=(200, 200, 200)), seed)
    _assert_masks_are_the_colours(result)
    assert result.image.shape == (48, 64, 3)
    assert result.name == OWN.name


def test_small_tiles_lie_at_the_point_and_the_rest_is_fill() -> None:
    mosaic = Mosaic(probability=1, scale=(0.25, 0.25), centre=(0.5, 0.5))
    result = _apply(Augmentation(horizontal_flip=0, mosaic=mosaic, fill=(200, 200, 200)), 0)
    inside = np.zeros((48, 64), bool)
    inside[12:36, 16:48] = True
    assert (result.image[~inside] == 200).all()
    assert not result.targets.masks.to_dense()[:, ~inside].any()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 40), (3, 2)])
def test_tiny_frames_have_room_for_what_they_can_hold(size: tuple[int, int]) -> None:
    strong = Augmentation(
        mosaic=Mosaic(probability=1),
        copy_paste=CopyPaste(probability=1),
        mix_up=MixUp(probability=1),
        quarter_turn=0.5,
    )
    for seed in range(5):
        sample = strong.apply(
            OWN, np.random.default_rng(seed), **SIZES, fixed_size=size, partner=_partner
        )
        assert sample.image.shape[:2] == size == sample.targets.image_size


def test_mixup_is_the_weighted_sum_with_the_objects_of_both() -> None:
    plain = Augmentation(horizontal_flip=0.0)
    mixed = _apply(replace(plain, mix_up=MixUp(probability=1, alpha=1.0)), 3)
    labels = set(mixed.targets.labels.tolist())
    (other,) = [s for s in OTHERS if set(s.targets.labels.tolist()) & labels]
    assert labels == set(OWN.targets.labels.tolist()) | set(other.targets.labels.tolist())
    first, second = OWN.image.astype(float), other.image.astype(float)
    only = (first > 0) & (second == 0)
    weight = np.median(mixed.image[only] / first[only])
    expected = weight * first + (1 - weight) * second
    assert np.abs(mixed.image - expected).max() < 1.6
    for sample in (OWN, other):
        for label, dense in zip(
            sample.targets.labels.tolist(), sample.targets.masks.to_dense(), strict=True
        ):
            position = mixed.targets.labels.tolist().index(label)
            np.testing.assert_array_equal(mixed.targets.masks.to_dense()[position], dense)


def test_pictures_without_objects_mix_with_others() -> None:
    empty = _painted(30, 0)
    every = Augmentation(
        mosaic=Mosaic(probability=0.5),
        copy_paste=CopyPaste(probability=1),
        mix_up=MixUp(probability=1),
    )
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assert len(every.apply(empty, rng, **SIZES, partner=lambda _: empty).targets) == 0
        rng = np.random.default_rng(seed)
        assert len(every.apply(empty, rng, **SIZES, partner=_partner).targets) > 0


def test_without_partners_only_the_rest_happens() -> None:
    mixing = Augmentation(mosaic=Mosaic(probability=1), brightness=0.4)
    alone = mixing.apply(OWN, np.random.default_rng(2), **SIZES)
    plain = replace(mixing, mosaic=Mosaic()).apply(OWN, np.random.default_rng(2), **SIZES)
    np.testing.assert_array_equal(alone.image, plain.image)


def test_senseless_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"CopyPaste.objects must be \(low, high\)"):
        CopyPaste(objects=(4, 2))
    with pytest.raises(ConfigError, match=r"Mosaic.centre: .* less than 1"):
        Mosaic(centre=(0.5, 1.0))
    with pytest.raises(ConfigError, match=r"MixUp.alpha: .* greater than 0"):
        MixUp(alpha=0)
