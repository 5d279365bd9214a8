from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskwright.data import Dataset, Loader, open_dataset
from maskwright.errors import ConfigError, DataError, ImageError
from maskwright.structures import Batch, Sample
from maskwright.transforms import Augmentation, MixUp, Mosaic, resize_sample

Content = dict[str, Any]
Write = Callable[[Content], Path]
STRONG = Augmentation(
    vertical_flip=0.5, rotation=20, scale=(0.5, 1.5), translation=0.1, brightness=0.3, hue=0.1
)
MIXED = Augmentation(scale=(0.5, 1.0), mix_up=MixUp(probability=1))
SIZES = {"short_side": 24, "long_side": 40}


@pytest.fixture
def dataset(content: Content, write: Write) -> Dataset:
    return open_dataset(write(content))


def _same(left: Batch, right: Batch) -> bool:
    assert left.targets is not None
    assert right.targets is not None
    return (
        torch.equal(left.images, right.images)
        and left.image_sizes == right.image_sizes
        and left.original_sizes == right.original_sizes
        and left.names == right.names
        and all(
            a.masks == b.masks
            and torch.equal(a.boxes, b.boxes)
            and torch.equal(a.labels, b.labels)
            and a.is_crowd is not None
            and b.is_crowd is not None
            and torch.equal(a.is_crowd, b.is_crowd)
            and (a.class_names, a.category_ids) == (b.class_names, b.category_ids)
            for a, b in zip(left.targets, right.targets, strict=True)
        )
    )


@pytest.mark.parametrize("augmentation", [None, Augmentation(horizontal_flip=1.0)])
def test_a_fixed_size_does_not_keep_the_aspect(
    dataset: Dataset, augmentation: Augmentation | None
) -> None:
    loader = Loader(
        dataset,
        batch_size=3,
        shuffle=False,
        epochs=1,
        fixed_size=(16, 40),
        augmentation=augmentation,
        size_divisor=1,
    )
    (batch,) = loader
    assert batch.images.shape == (3, 3, 16, 40)
    assert batch.image_sizes == ((16, 40),) * 3
    assert batch.targets is not None
    assert all(target.image_size == (16, 40) for target in batch.targets)
    with pytest.raises(ConfigError, match="fixed_size must be at least 1, got 0"):
        Loader(dataset, batch_size=3, fixed_size=(0, 40))


def test_batches_hold_padded_pictures_and_targets_in_their_frame(dataset: Dataset) -> None:
    (batch,) = Loader(dataset, batch_size=3, shuffle=False, epochs=1, **SIZES)
    assert batch.images.dtype == torch.uint8
    assert batch.images.shape == (3, 3, 32, 32)
    assert batch.image_sizes == ((24, 30),) * 3
    assert batch.original_sizes == ((8, 10),) * 3
    assert batch.names == ("a.png", "b.png", "c.png")
    assert batch.targets is not None
    for i in range(3):
        expected = resize_sample(dataset.sample(i), **SIZES)
        image = batch.images[i, :, :24, :30].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(image, expected.image)
        assert batch.images[i, :, 24:].eq(0).all()
        assert batch.images[i, :, :, 30:].eq(0).all()
        assert batch.targets[i].masks == expected.targets.masks
        assert torch.equal(batch.targets[i].boxes, expected.targets.boxes)
    assert batch.targets[1].names == ["zebra", "apple"]


def test_pictures_of_different_sizes_share_a_batch(content: Content, write: Write) -> None:
    content["images"][2] |= {"height": 12, "width": 4}
    (batch,) = Loader(open_dataset(write(content)), batch_size=3, shuffle=False, epochs=1, **SIZES)
    assert batch.image_sizes == ((24, 30), (24, 30), (40, 13))
    assert batch.images.shape == (3, 3, 64, 32)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(dataset: Dataset, num_workers: int) -> None:
    def load(num_workers: int) -> list[Batch]:
        loader = Loader(
            dataset, batch_size=2, augmentation=STRONG, num_workers=num_workers, seed=3, **SIZES
        )
        return list(islice(loader, 5))

    alone, together = load(0), load(num_workers)
    assert all(_same(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_mixed_batches_do_not_depend_on_workers_cache_or_start(
    dataset: Dataset, num_workers: int
) -> None:
    options = {"batch_size": 2, "augmentation": MIXED, "seed": 7, **SIZES}
    options["is_mixing"] = lambda step: step < 4
    whole = list(islice(Loader(dataset, **options), 7))
    later = islice(
        Loader(dataset, start_step=3, num_workers=num_workers, cache_bytes=500, **options), 4
    )
    assert all(_same(a, b) for a, b in zip(whole[3:], later, strict=True))


def test_mixing_ends_with_the_step_that_is_said(dataset: Dataset) -> None:
    options = {"batch_size": 3, "seed": 7, "epochs": 6, **SIZES}
    plain = list(Loader(dataset, augmentation=replace(MIXED, mix_up=MixUp()), **options))
    mixed = Loader(dataset, augmentation=MIXED, is_mixing=lambda step: step < 2, **options)
    assert [_same(a, b) for a, b in zip(plain, mixed, strict=True)] == [False] * 2 + [True] * 4


def test_a_transform_before_the_resize_reaches_partners_too(dataset: Dataset) -> None:
    def darken(sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, image=np.full_like(sample.image, rng.integers(10)))

    mosaic = Augmentation(mosaic=Mosaic(probability=1), fill=(0, 0, 0))
    loader = Loader(
        dataset, batch_size=3, augmentation=mosaic, before_resize=darken, epochs=1, **SIZES
    )
    (batch,) = loader
    assert batch.images.max() < 10
    assert batch.original_sizes == ((8, 10),) * 3


def test_a_transform_that_returns_no_sample_is_an_error(dataset: Dataset) -> None:
    loader = Loader(dataset, batch_size=1, before_resize=lambda sample, _: sample.image, **SIZES)
    with pytest.raises(ConfigError, match=r"must return a Sample with masks, got ndarray for"):
        next(iter(loader))


@pytest.mark.parametrize("start_step", [1, 4, 5])
def test_starting_at_a_step_gives_the_batches_from_there_on(
    dataset: Dataset, start_step: int
) -> None:
    def load(start_step: int, count: int) -> list[Batch]:
        loader = Loader(
            dataset, batch_size=2, augmentation=STRONG, start_step=start_step, seed=1, **SIZES
        )
        return list(islice(loader, count))

    whole, later = load(0, 8), load(start_step, 8 - start_step)
    assert all(_same(a, b) for a, b in zip(whole[start_step:], later, strict=True))


def test_each_epoch_holds_every_picture_once_in_an_order_of_its_own(dataset: Dataset) -> None:
    many = dataset.subset(list(range(3)) * 7)
    loader = Loader(many, batch_size=4, epochs=2, seed=5, **SIZES)
    batches = list(loader)
    assert len(loader) == len(batches) == 11
    assert [len(batch) for batch in batches] == [4] * 10 + [2]
    names = [name for batch in batches for name in batch.names]
    first, second = names[:21], names[21:]
    assert sorted(first) == sorted(second) == sorted(many.file_names)
    assert first != second
    assert loader.steps_per_epoch == 6


def test_augmentation_differs_between_epochs_and_seeds(dataset: Dataset) -> None:
    def load(seed: int) -> list[Batch]:
        return list(
            Loader(
                dataset,
                batch_size=3,
                shuffle=False,
                epochs=2,
                augmentation=STRONG,
                seed=seed,
                **SIZES,
            )
        )

    one, other = load(0), load(1)
    assert not _same(one[0], one[1])
    assert not _same(one[0], other[0])
    assert _same(one[0], load(0)[0])


def test_iterating_twice_gives_the_same_batches(dataset: Dataset) -> None:
    loader = Loader(dataset, batch_size=2, augmentation=STRONG, **SIZES)
    assert _same(next(iter(loader)), next(iter(loader)))


def test_the_global_generators_are_left_alone(dataset: Dataset) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(Loader(dataset, batch_size=2, epochs=2, augmentation=STRONG, **SIZES))
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


def test_a_batch_may_be_larger_than_the_dataset(dataset: Dataset) -> None:
    batch = next(iter(Loader(dataset, batch_size=7, **SIZES)))
    assert len(batch) == 7


def test_a_loader_that_ends_resumes_to_its_end(dataset: Dataset) -> None:
    assert len(list(Loader(dataset, batch_size=2, epochs=1, start_step=1, **SIZES))) == 1
    assert list(Loader(dataset, batch_size=2, epochs=1, start_step=9, **SIZES)) == []


def test_a_transform_takes_the_place_of_resize_and_augmentation(dataset: Dataset) -> None:
    def darken(sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, image=np.full_like(sample.image, rng.integers(10)))

    (batch,) = Loader(dataset, batch_size=3, transform=darken, epochs=1)
    assert batch.image_sizes == ((8, 10),) * 3
    assert batch.images.max() < 10


@pytest.mark.parametrize("num_workers", [0, 1])
def test_cached_pictures_give_the_same_batches(dataset: Dataset, num_workers: int) -> None:
    options = {"batch_size": 2, "augmentation": STRONG, "epochs": 3, **SIZES}
    plain = list(Loader(dataset, **options))
    # Room for two of the three pictures of 240 bytes each.
    cached = list(Loader(dataset, cache_bytes=500, num_workers=num_workers, **options))
    assert all(_same(a, b) for a, b in zip(plain, cached, strict=True))


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_unreadable_picture_is_named_by_its_own_error(
    dataset: Dataset, num_workers: int
) -> None:
    path = dataset.image_path(1)
    path.write_bytes(path.read_bytes()[:60])
    loader = Loader(dataset, batch_size=1, shuffle=False, num_workers=num_workers, **SIZES)
    with pytest.raises(ImageError, match=r"^.*b\.png: damaged or truncated"):
        list(loader)


def test_senseless_options_are_refused(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="batch_size must be at least 1, got 0"):
        Loader(dataset, batch_size=0)
    with pytest.raises(ConfigError, match="seed must be at least 0"):
        Loader(dataset, batch_size=1, seed=-1)
    with pytest.raises(ConfigError, match="give one of them"):
        Loader(dataset, batch_size=1, augmentation=STRONG, transform=lambda sample, _: sample)
    with pytest.raises(DataError, match="has no pictures"):
        Loader(dataset.subset([]), batch_size=1)
    with pytest.raises(TypeError, match="steps_per_epoch"):
        len(Loader(dataset, batch_size=1))
