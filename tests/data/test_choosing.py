from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.data import Dataset, open_dataset
from maskwright.data.choosing import (
    SampleOrder,
    choose_objects,
    choose_pictures,
    object_samples,
    picture_samples,
)
from maskwright.errors import ConfigError, DataError

_Content = dict[str, Any]


@pytest.fixture
def dataset(content: _Content, write: Callable[[_Content], Path]) -> Dataset:
    """a.png: an apple of 3 x 1; b.png: a zebra of 4 x 3 and an apple of 1 x 3; c.png: nothing."""
    content["annotations"][1]["iscrowd"] = 0
    return open_dataset(write(content))


@pytest.mark.parametrize(
    ("sort", "classes", "names"),
    [
        ("objects", (), ["b.png", "a.png", "c.png"]),
        ("smallest", (), ["a.png", "b.png", "c.png"]),
        ("smallest", ("zebra",), ["b.png"]),
        ("objects", ("zebra", "apple"), ["b.png", "a.png"]),
    ],
)
def test_pictures_come_in_the_order_that_was_asked_for(
    dataset: Dataset, sort: SampleOrder, classes: tuple[str, ...], names: list[str]
) -> None:
    chosen = choose_pictures(dataset, 9, sort=sort, classes=classes)
    assert [dataset.file_names[i] for i in chosen] == names


def test_a_random_choice_follows_its_seed(discs: Path) -> None:
    dataset = open_dataset(discs)
    choices = [choose_pictures(dataset, 5, seed=seed).tolist() for seed in (1, 1, 2)]
    assert choices[0] == choices[1] != choices[2]
    assert len(set(choices[0])) == 5
    objects = [choose_objects(dataset, 5, seed=seed).tolist() for seed in (1, 1, 2)]
    assert objects[0] == objects[1] != objects[2]
    assert len(choose_pictures(dataset, 99)) == 12


def test_the_smallest_objects_come_first(discs: Path) -> None:
    dataset = open_dataset(discs)
    chosen = choose_objects(dataset, 20, sort="smallest")
    assert (np.diff(dataset.areas[chosen]) >= 0).all()


def test_only_objects_of_the_classes_are_shown(dataset: Dataset) -> None:
    shown = list(picture_samples(dataset, [1, 2], classes=("apple",)))
    assert [sample.targets.names for sample in shown] == [["apple"], []]
    both = next(picture_samples(dataset, [1]))
    assert both.targets.names == ["zebra", "apple"]


def test_an_object_is_cut_out_with_its_own_mask(discs: Path) -> None:
    dataset = open_dataset(discs)
    items = choose_objects(dataset, 20, seed=3)
    for item, sample in zip(items.tolist(), object_samples(dataset, items), strict=True):
        assert sample.name == dataset.file_names[dataset.object_image[item]]
        assert sample.image.shape[:2] == sample.targets.image_size
        assert sample.targets.masks is not None
        assert sample.targets.masks.area.tolist() == [dataset.areas[item]]
        # The discs are of one bright colour: the mask lies on it.
        inside = sample.image[sample.targets.masks.to_dense()[0]]
        assert (inside == (220, 180, 60)).all()


def test_objects_without_a_pixel_do_not_shift_the_others(
    content: _Content, write: Callable[[_Content], Path]
) -> None:
    nothing = content["annotations"][2] | {
        "id": 1,
        "segmentation": {"size": [8, 10], "counts": [80]},
    }
    content["annotations"].insert(0, nothing)
    dataset = open_dataset(write(content))
    items = choose_objects(dataset, 9)
    names = [sample.targets.names[0] for sample in object_samples(dataset, items)]
    assert names == [dataset.class_names[dataset.labels[item]] for item in items]


def test_what_cannot_be_chosen_is_said(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"no class 'aple'.*Did you mean 'apple'"):
        choose_pictures(dataset, 3, classes=("aple",))
    with pytest.raises(ConfigError, match="1 or more, got 0"):
        choose_objects(dataset, 0)
    with pytest.raises(ConfigError, match="seed must be 0 or more"):
        choose_objects(dataset, 1, seed=-1)
    with pytest.raises(DataError, match="no pictures"):
        choose_pictures(dataset.subset([2]), 3, classes=("apple",))
    with pytest.raises(DataError, match="no objects"):
        choose_objects(dataset.subset([2]), 3)
