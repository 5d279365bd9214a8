from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskwright.errors import ConfigError
from maskwright.masks import Masks
from maskwright.structures import Instances, Sample
from maskwright.transforms import (
    AUGMENTATIONS,
    JPEG,
    Augmentation,
    Blur,
    CopyPaste,
    CutOut,
    MixUp,
    Mosaic,
    Noise,
    augmentation_named,
    resize_sample,
)

SIZES = {"short_side": 40, "long_side": 60}
NOTHING = Augmentation(horizontal_flip=0.0)


def _sample(size: tuple[int, int] = (20, 30)) -> Sample:
    rng = np.random.default_rng(0)
    masks = Masks.from_boxes([[2, 3, 9, 11], [15, 5, 28, 19]], size)
    targets = Instances(
        image_size=size,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.tensor([0, 1]),
        masks=masks,
        is_crowd=torch.tensor([False, True]),
    )
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    return Sample(image=image, targets=targets, image_id=1, name="a.png")


def test_nothing_asked_is_the_plain_resize() -> None:
    augmented = NOTHING.apply(_sample(), np.random.default_rng(0), **SIZES)
    resized = resize_sample(_sample(), **SIZES)
    np.testing.assert_array_equal(augmented.image, resized.image)
    assert augmented.targets.masks == resized.targets.masks
    assert augmented.image.shape == (40, 60, 3)


def test_a_sure_flip_is_the_resized_picture_mirrored() -> None:
    flip = Augmentation(horizontal_flip=1.0, vertical_flip=1.0)
    augmented = flip.apply(_sample(), np.random.default_rng(0), **SIZES)
    resized = resize_sample(_sample(), **SIZES)
    np.testing.assert_array_equal(augmented.image, resized.image[::-1, ::-1])
    assert resized.targets.masks is not None
    mirrored = resized.targets.masks.flip_horizontal().flip_vertical()
    assert augmented.targets.masks == mirrored


def test_equal_generators_give_equal_samples() -> None:
    strong = Augmentation(rotation=30, scale=(0.3, 3), translation=0.2, brightness=0.5, hue=0.5)
    first, again, other = (
        strong.apply(_sample(), np.random.default_rng(seed), **SIZES) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first.image, again.image)
    assert first.targets.masks == again.targets.masks
    assert first.image.shape != other.image.shape or (first.image != other.image).any()


EVERYTHING = Augmentation(
    vertical_flip=0.5,
    quarter_turn=0.5,
    rotation=30,
    scale=(0.3, 2),
    translation=0.2,
    perspective=0.2,
    brightness=0.5,
    contrast=0.5,
    saturation=0.5,
    hue=0.5,
    mosaic=Mosaic(probability=0.5),
    copy_paste=CopyPaste(probability=0.5),
    cut_out=CutOut(probability=0.5),
    mix_up=MixUp(probability=0.5),
    blur=Blur(probability=0.5),
    noise=Noise(probability=0.5),
    jpeg=JPEG(probability=0.5),
)


@pytest.mark.parametrize("seed", range(25))
def test_everything_at_once_gives_sound_samples_and_is_decided_by_the_seed(seed: int) -> None:
    others = [_sample((18, 40)), _sample((33, 21))]

    def partner(rng: np.random.Generator) -> Sample:
        return others[rng.integers(2)]

    first, again = (
        EVERYTHING.apply(_sample(), np.random.default_rng(seed), **SIZES, partner=partner)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.image, again.image)
    assert first.targets.masks is not None
    assert first.targets.masks == again.targets.masks
    assert first.image.dtype == np.uint8
    assert first.image.shape[:2] == first.targets.image_size == first.targets.masks.image_size
    assert (first.targets.masks.area > 0).all()
    np.testing.assert_array_equal(first.targets.boxes.numpy(), first.targets.masks.boxes)


def test_sources_are_never_written_to() -> None:
    sample = _sample()
    sample.image.flags.writeable = False
    before = sample.image.copy()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        EVERYTHING.apply(sample, rng, **SIZES, partner=lambda _: sample)
    np.testing.assert_array_equal(sample.image, before)


def test_turning_one_option_on_leaves_the_draws_of_the_others() -> None:
    plain = Augmentation(scale=(0.5, 1.0), noise=Noise(probability=0.5))
    for seed in range(10):
        alone = plain.draw_map((20, 30), (40, 60), np.random.default_rng(seed))
        for other in ({"perspective": 0.3}, {"rotation": 90.0}, {"quarter_turn": 0.5}):
            changed = replace(plain, **other, jpeg=JPEG(probability=1.0))
            size = changed.draw_map((20, 30), (40, 60), np.random.default_rng(seed))[1]
            assert sorted(size) == sorted(alone[1])


def test_probabilities_are_those_of_many_draws() -> None:
    half = Augmentation(
        horizontal_flip=0.0, scale=(0.5, 0.5), scale_probability=0.3, quarter_turn=0.25
    )
    sizes = [
        half.draw_map((20, 30), (40, 60), np.random.default_rng(seed))[1] for seed in range(2000)
    ]
    turned = np.mean([height > width for height, width in sizes])
    small = np.mean([max(size) == 30 for size in sizes])
    assert turned == pytest.approx(0.25, abs=0.04)
    assert small == pytest.approx(0.3, abs=0.04)


def test_a_quarter_turn_is_numpys_and_changes_sides() -> None:
    turn = Augmentation(horizontal_flip=0.0, quarter_turn=1.0)
    sample = _sample((40, 60))
    turned = turn.apply(sample, np.random.default_rng(0), **SIZES)
    np.testing.assert_array_equal(turned.image, np.rot90(sample.image))
    assert turned.targets.masks == sample.targets.masks.rotate90()
    fixed = turn.apply(sample, np.random.default_rng(0), **SIZES, fixed_size=(16, 24))
    assert fixed.image.shape == (16, 24, 3)


def test_large_scale_jitter_is_uniform_where_that_is_asked() -> None:
    jitter = Augmentation(scale=(0.1, 2.0), scale_draw="uniform", crop=(4000, 6000))
    factors = np.array(
        [
            jitter.draw_map((1000, 1000), (1000, 1000), np.random.default_rng(seed))[1][1] / 1000
            for seed in range(1000)
        ]
    )
    counts, _ = np.histogram(factors, bins=4, range=(0.1, 2.0))
    assert counts.sum() == 1000
    assert counts.min() > 200


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_every_preset_gives_sound_samples(name: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        changed = AUGMENTATIONS[name].apply(_sample(), rng, **SIZES, partner=lambda _: _sample())
        assert changed.targets.masks is not None
        assert (changed.targets.masks.area > 0).all()
        assert changed.image.shape[:2] == changed.targets.image_size


def test_unknown_presets_are_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'arial'. Did you mean 'aerial'\? There are: none, dr"):
        augmentation_named("arial")


def test_one_range_does_not_change_the_draws_of_another() -> None:
    for seed in range(20):
        sizes = [
            augmentation.apply(_sample(), np.random.default_rng(seed), **SIZES).image.shape
            for augmentation in (
                Augmentation(scale=(0.3, 1.0)),
                Augmentation(scale=(0.3, 1.0), rotation=40, vertical_flip=0.5, contrast=0.3),
            )
        ]
        assert sizes[0] == sizes[1]


def test_small_scales_give_small_pictures_and_large_ones_windows() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        small = Augmentation(scale=(0.5, 0.5)).apply(_sample(), rng, **SIZES)
        assert small.image.shape == (20, 30, 3)
        large = Augmentation(scale=(2.0, 2.0)).apply(_sample(), rng, **SIZES)
        assert large.image.shape == (40, 60, 3)
        assert large.targets.image_size == (40, 60)
        cropped = Augmentation(scale=(2.0, 2.0), crop=(50, 70)).apply(_sample(), rng, **SIZES)
        assert cropped.image.shape == (50, 70, 3)


def test_windows_reach_every_border() -> None:
    large = Augmentation(horizontal_flip=0, scale=(2.0, 2.0))
    maps = [
        large.draw_map((20, 30), (40, 60), np.random.default_rng(seed))[0] for seed in range(2000)
    ]
    shifts = np.array([(matrix[0, 2], matrix[1, 2]) for matrix in maps])
    assert shifts.max(0).tolist() == [0, 0]
    assert shifts.min(0).tolist() == [-60, -40]


def test_scales_are_drawn_evenly_in_their_logarithm() -> None:
    jitter = Augmentation(scale=(0.25, 4.0), crop=(4000, 6000))
    widths = np.array(
        [
            jitter.draw_map((1000, 1000), (1000, 1000), np.random.default_rng(seed))[1][1]
            for seed in range(1000)
        ]
    )
    counts, _ = np.histogram(np.log2(widths / 1000), bins=4, range=(-2, 2))
    assert counts.min() > 200


def test_crowds_and_labels_follow_their_masks() -> None:
    strong = Augmentation(rotation=45, scale=(0.5, 2.0), translation=0.3)
    for seed in range(30):
        targets = strong.apply(_sample(), np.random.default_rng(seed), **SIZES).targets
        assert targets.is_crowd is not None
        assert targets.is_crowd.tolist() == targets.labels.bool().tolist()
        assert targets.masks is not None
        assert (targets.masks.area > 0).all()
        np.testing.assert_array_equal(targets.boxes.numpy(), targets.masks.boxes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizontal_flip": 1.5}, r"Augmentation.horizontal_flip: .* equal to 1, got 1.5"),
        ({"rotation": -3.0}, r"rotation: .* greater than or equal to 0, got -3"),
        ({"hue": 0.6}, r"hue: .* less than or equal to 0.5"),
        ({"brightness": float("nan")}, r"brightness: .*, got nan"),
        ({"scale": (0.0, 1.0)}, r"scale: .* greater than 0"),
        ({"scale": (2.0, 1.0)}, r"scale must be \(low, high\)"),
        ({"crop": (0, 5)}, r"crop: .* greater than or equal to 1"),
        ({"perspective": 0.5}, r"perspective: .* less than or equal to 0.4"),
    ],
)
def test_values_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Augmentation(**options)


def test_resizing_to_the_same_size_returns_the_sample() -> None:
    sample = _sample()
    assert resize_sample(sample, short_side=20, long_side=30) is sample
