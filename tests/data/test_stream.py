from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskwright.data import Loader, open_dataset
from maskwright.data.stream import Stream, repeat_factors, repeated
from maskwright.errors import ConfigError

Content = dict[str, Any]
Write = Callable[[Content], Path]


def stream(num_images: int, batch_size: int, **options: Any) -> Stream:
    plain = {"seed": 3, "shuffle": True, "epochs": None, "start_step": 0}
    return Stream(num_images, batch_size, **(plain | options))


def test_factors_follow_the_formula_of_lvis(content: Content, write: Write) -> None:
    content["annotations"] = [
        annotation | {"iscrowd": 0} for annotation in content["annotations"]
    ]  # apple on two of three pictures, zebra on one
    dataset = open_dataset(write(content))
    names = dataset.file_names
    wanted = {"a.png": np.sqrt(0.9 / (2 / 3)), "b.png": np.sqrt(0.9 / (1 / 3)), "c.png": 1.0}
    np.testing.assert_allclose(repeat_factors(dataset, 0.9), [wanted[name] for name in names])
    np.testing.assert_array_equal(repeat_factors(dataset, 0.1), np.ones(3))


def test_crowds_do_not_count_for_factors(content: Content, write: Write) -> None:
    dataset = open_dataset(write(content))  # the crowd is the only object of a.png
    assert repeat_factors(dataset, 1.0)[dataset.file_names.index("a.png")] == 1


def test_pictures_come_floor_or_ceil_of_their_factor_and_their_factor_in_the_mean() -> None:
    factors = np.array([1.0, 1.25, 2.5, 3.75, 1.0, 1.5])
    rng = np.random.default_rng(0)
    totals = np.zeros(6)
    for _ in range(2000):
        images, copies = repeated(factors, 11, rng)
        counts = np.bincount(images, minlength=6)
        assert counts.sum() == 11
        assert (np.abs(counts - factors) < 1).all()
        assert len(set(zip(images.tolist(), copies.tolist(), strict=True))) == 11
        assert (copies < counts[images]).all()
        totals += counts
    np.testing.assert_allclose(totals / 2000, factors, atol=0.04)


@pytest.mark.parametrize("factors", [None, np.array([1.0, 1.2, 2.3, 1.0, 1.0, 3.1, 1.0])])
@pytest.mark.parametrize("aspects", [None, np.array([1.5, 0.7, 1.5, 0.7, 1.0, 1.4, 0.8])])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 16])
def test_any_step_is_found_without_those_before(
    factors: np.ndarray | None, aspects: np.ndarray | None, batch_size: int
) -> None:
    options = {"factors": factors, "aspects": aspects}
    whole = list(islice(stream(7, batch_size, **options), 25))
    for step in (1, 2, 7, 19):
        later = stream(7, batch_size, start_step=step, **options)
        assert list(islice(later, 25 - step)) == whole[step:]


@pytest.mark.parametrize("batch_size", [1, 4, 7, 30])
def test_every_picture_still_comes_once_in_each_epoch(batch_size: int) -> None:
    aspects = np.random.default_rng(0).uniform(0.5, 2, 23)
    places = [p for batch in stream(23, batch_size, epochs=4, aspects=aspects) for p in batch]
    assert Counter((p.epoch, p.index) for p in places) == Counter(
        (epoch, image) for epoch in range(4) for image in range(23)
    )


def test_batches_hold_one_shape_where_there_are_two() -> None:
    aspects = np.where(np.arange(1000) % 3 == 0, 0.75, 1.5)

    def mixed(aspects_given: np.ndarray | None) -> int:
        batches = list(stream(1000, 8, epochs=4, aspects=aspects_given))
        return sum(len({aspects[p.index] for p in batch}) > 1 for batch in batches)

    # Of 500 batches only those are mixed where an epoch ends or two shapes meet in a pool.
    assert mixed(aspects) <= 20
    assert mixed(None) > 400


def test_batches_of_an_epoch_have_other_members_in_the_next() -> None:
    aspects = np.random.default_rng(0).uniform(0.5, 2, 2000)
    batches = list(stream(2000, 4, epochs=2, aspects=aspects))
    first, second = (
        {frozenset(p.index for p in batch) for batch in part}
        for part in (batches[:500], batches[500:])
    )
    assert len(first & second) < 5


def test_equal_shapes_leave_the_order_as_it_was() -> None:
    plain = list(islice(stream(9, 2), 20))
    assert list(islice(stream(9, 2, aspects=np.ones(9)), 20)) == plain


def test_copies_of_a_picture_are_augmented_differently_and_by_any_number_of_workers(
    content: Content, write: Write
) -> None:
    dataset = open_dataset(write(content))
    options = {
        "batch_size": 2,
        "short_side": 24,
        "long_side": 40,
        "repeat_threshold": 1.0,
        "aspect_batches": True,
        "epochs": 3,
        "seed": 5,
        "transform": _stamp,
    }
    batches = list(Loader(dataset, **options))
    names = [name for batch in batches for name in batch.names]
    assert len(names) == 3 * round(repeat_factors(dataset, 1.0).sum()) > 9
    stamps = [float(image[0, 0, 0]) for batch in batches for image in batch.images]
    assert len(set(stamps)) > len(names) * 0.8
    for other in (Loader(dataset, num_workers=2, **options),):
        for a, b in zip(batches, other, strict=True):
            assert a.names == b.names
            assert torch.equal(a.images, b.images)
    later = list(Loader(dataset, start_step=2, **options))
    assert [b.names for b in later] == [b.names for b in batches[2:]]
    assert len(Loader(dataset, **options)) == len(batches)


def _stamp(sample: Any, rng: np.random.Generator) -> Any:
    sample.image[...] = rng.integers(0, 256)
    return sample


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeat_threshold": 0.0}, "repeat_threshold must be above 0"),
        ({"repeat_threshold": 2.0}, "repeat_threshold must be above 0"),
        ({"aspect_batches": True, "shuffle": False}, "need shuffle=True"),
    ],
)
def test_impossible_options_are_refused(
    content: Content, write: Write, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Loader(open_dataset(write(content)), batch_size=1, **options)
