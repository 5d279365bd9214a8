from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.data import (
    Dataset,
    ImportReport,
    fold_dataset,
    open_annotations,
    split_dataset,
)
from maskwright.data.builder import IndexBuilder
from maskwright.data.report import ImportReportBuilder
from maskwright.errors import ConfigError, DataError


def _dataset(labels_by_image: list[list[int]], num_classes: int) -> Dataset:
    builder = IndexBuilder("made", [str(k) for k in range(num_classes)], range(num_classes))
    number = 0
    for image, labels in enumerate(labels_by_image):
        builder.add_image(image, f"{image}.png", 4, 4)
        for label in labels:
            builder.add_object(
                image=image,
                annotation_id=number,
                label=label,
                is_crowd=False,
                area=16.0,
                xywh=(0, 0, 4, 4),
                rings=[[0, 0, 4, 0, 4, 4, 0, 4]],
            )
            number += 1
    report = ImportReport(
        source="made",
        num_images=len(labels_by_image),
        num_images_without_objects=0,
        num_objects=number,
        num_crowd=0,
        num_classes=num_classes,
    )
    return Dataset(builder.build(ImportReportBuilder()), report)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=40), st.integers(0, 5))
def test_every_picture_lands_in_exactly_one_part(labels: list[list[int]], seed: int) -> None:
    dataset = _dataset(labels, 5)
    parts = split_dataset(dataset, seed=seed)
    ids = np.concatenate([part.image_ids for part in parts])
    assert sorted(ids.tolist()) == list(range(len(labels)))
    assert all((np.diff(part.image_ids) > 0).all() for part in parts)
    if len(labels) >= 3:
        assert min(len(part) for part in parts) >= 1
    again = split_dataset(dataset, seed=seed)
    assert [p.file_names for p in again] == [p.file_names for p in parts]


@pytest.mark.parametrize(
    ("num_images", "sizes"),
    [(0, [0, 0, 0]), (1, [1, 0, 0]), (3, [1, 1, 1]), (4, [2, 1, 1]), (20, [14, 3, 3])],
)
def test_parts_have_the_rounded_sizes(num_images: int, sizes: list[int]) -> None:
    parts = split_dataset(_dataset([[0]] * num_images, 1))
    assert [len(part) for part in parts] == sizes


def test_classes_are_spread_like_the_whole() -> None:
    rng = np.random.default_rng(0)
    # Class k is on a fraction of 2**-(k + 1) of the pictures, independently; some have none.
    labels = [np.flatnonzero(rng.random(6) < 0.5 ** np.arange(1, 7)).tolist() for _ in range(400)]
    parts = split_dataset(_dataset(labels, 6), seed=1)
    for label in range(6):
        total = sum(label in entry for entry in labels)
        for part, share in zip(parts, (0.7, 0.15, 0.15), strict=True):
            here = len(np.unique(part.object_image[part.labels == label]))
            assert abs(here - share * total) < 2
    num_empty = [len(part) - len(np.unique(part.object_image)) for part in parts]
    total = sum(num_empty)
    assert np.abs(np.array(num_empty) - np.array([0.7, 0.15, 0.15]) * total).max() < 2


def test_another_seed_gives_another_split() -> None:
    dataset = _dataset([[0]] * 30, 1)
    assert (
        split_dataset(dataset, seed=1)[2].file_names != split_dataset(dataset, seed=2)[2].file_names
    )


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.5, -0.5), (), (1.0, 0.0)])
def test_fractions_that_do_not_divide_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="positive and sum to 1"):
        split_dataset(_dataset([[0]], 1), fractions)


def test_crowded_pictures_of_one_class_are_spread_better_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    counts = np.minimum(rng.geometric(0.05, 120), 120)
    dataset = _dataset([[0] * count for count in counts.tolist()], 1)
    wanted = np.array([0.7, 0.15, 0.15]) * counts.sum()

    def unevenness(sizes: list[int]) -> float:
        return float(np.abs(np.array(sizes) - wanted).sum())

    dealt = [
        unevenness([len(part.labels) for part in split_dataset(dataset, seed=k)]) for k in range(10)
    ]
    by_chance = [
        unevenness([counts[part].sum() for part in np.split(rng.permutation(120), [84, 102])])
        for _ in range(100)
    ]
    assert np.mean(dealt) < 0.7 * np.mean(by_chance)


_LABELS = st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=3, max_size=40)


@settings(deadline=None, max_examples=60)
@given(_LABELS, st.randoms(use_true_random=False), st.integers(3, 20), st.integers(0, 3))
def test_a_group_never_straddles_parts(
    labels: list[list[int]], random: Random, num_groups: int, seed: int
) -> None:
    groups = [random.randrange(100, 100 + num_groups) for _ in labels]
    groups[:3] = [1, 2, 3]  # as many groups as parts, at least
    dataset = _dataset(labels, 5)
    parts = split_dataset(dataset, seed=seed, groups=groups)
    homes: dict[int, set[int]] = {}
    for number, part in enumerate(parts):
        assert len(part) >= 1
        for image_id in part.image_ids.tolist():
            homes.setdefault(groups[image_id], set()).add(number)
    assert all(len(home) == 1 for home in homes.values())
    assert sorted(np.concatenate([part.image_ids for part in parts])) == list(range(len(labels)))
    again = split_dataset(dataset, seed=seed, groups=groups)
    assert [p.file_names for p in again] == [p.file_names for p in parts]


def test_groups_are_spread_better_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    # Forty plates of 1 to 12 crops; most plates show one or two of six classes.
    sizes = rng.integers(1, 13, 40)
    groups = np.repeat(np.arange(40), sizes)
    likely = rng.dirichlet(np.full(6, 0.4), 40)
    labels = [rng.choice(6, 2, p=likely[group]).tolist() for group in groups]
    dataset = _dataset(labels, 6)
    has_class = np.zeros((len(labels), 7))
    for image, found in enumerate(labels):
        has_class[image, found] = 1
    has_class[:, 6] = 1  # the pictures
    wanted = np.outer([0.7, 0.15, 0.15], has_class.sum(0))

    def unevenness(parts: list[np.ndarray]) -> float:
        counts = np.array([has_class[part].sum(0) for part in parts])
        return float(np.abs(counts - wanted).sum())

    dealt = unevenness([part.image_ids for part in split_dataset(dataset, groups=groups)])
    by_chance = []
    for _ in range(200):
        order = rng.permutation(40)
        ends = np.searchsorted(np.cumsum(sizes[order]), [0.7 * len(labels), 0.85 * len(labels)])
        chosen = np.split(order, ends)
        by_chance.append(unevenness([np.flatnonzero(np.isin(groups, part)) for part in chosen]))
    assert dealt < min(by_chance)


def test_a_group_larger_than_a_part_goes_where_it_fits() -> None:
    groups = [0] * 60 + list(range(1, 41))
    parts = split_dataset(_dataset([[0]] * 100, 1), groups=groups)
    assert [len(part) for part in parts] == [70, 15, 15]


def test_groups_of_one_picture_are_dealt_into_the_rounded_sizes() -> None:
    dataset = _dataset([[k % 3] for k in range(40)], 3)
    parts = split_dataset(dataset, groups=range(40))
    assert [len(part) for part in parts] == [28, 6, 6]


def test_fewer_groups_than_parts_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"10 pictures in 2 groups \(of 7, 3 pictures\) cannot make 3"
    ):
        split_dataset(_dataset([[0]] * 10, 1), groups=[0] * 7 + [1] * 3)


def test_no_pictures_make_empty_parts_with_groups_too() -> None:
    parts = split_dataset(_dataset([], 1), groups=[])
    assert [len(part) for part in parts] == [0, 0, 0]


def test_one_group_per_picture_is_wanted() -> None:
    with pytest.raises(ConfigError, match="one per picture"):
        split_dataset(_dataset([[0]] * 10, 1), groups=[0, 1])


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 6), st.integers(0, 3), st.booleans())
def test_folds_hold_every_picture_out_once(num_folds: int, seed: int, is_grouped: bool) -> None:
    dataset = _dataset([[k % 3] * (k % 4) for k in range(31)], 3)
    groups = [k // 2 for k in range(31)] if is_grouped else None
    folds = fold_dataset(dataset, num_folds, seed=seed, groups=groups)
    assert len(folds) == num_folds
    held_out = np.concatenate([validation.image_ids for _, validation in folds])
    assert sorted(held_out) == list(range(31))
    for training, validation in folds:
        assert sorted([*training.image_ids, *validation.image_ids]) == list(range(31))
        assert abs(len(validation) - 31 / num_folds) <= (2 if is_grouped else 1)
        if groups:
            assert not {groups[i] for i in training.image_ids} & {
                groups[i] for i in validation.image_ids
            }


def test_folds_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 folds or more, got 1"):
        fold_dataset(_dataset([[0]] * 4, 1), 1)
    with pytest.raises(DataError, match="4 pictures cannot make 5 folds"):
        fold_dataset(_dataset([[0]] * 4, 1), 5)


@pytest.mark.shared_data
def test_real_pictures_are_spread_better_than_by_chance(shared_data: Path) -> None:
    dataset = open_annotations(shared_data / "coco128" / "instances.json")
    shares = (0.7, 0.15, 0.15)
    has_class = np.zeros((len(dataset), 80), bool)
    has_class[dataset.object_image, dataset.labels] = True

    def unevenness(parts: list[np.ndarray]) -> float:
        counts = np.array([has_class[part].sum(0) for part in parts])
        return float(np.abs(counts - np.outer(shares, has_class.sum(0))).sum())

    position = {name: i for i, name in enumerate(dataset.file_names)}
    dealt = [
        np.array([position[name] for name in part.file_names]) for part in split_dataset(dataset)
    ]
    assert [len(part) for part in dealt] == [90, 19, 19]
    by_chance = [
        unevenness(np.split(np.random.default_rng(seed).permutation(128), [90, 109]))
        for seed in range(50)
    ]
    assert unevenness(dealt) < 0.8 * min(by_chance)
