from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.data import Dataset, ImportReport, open_annotations, split_dataset
from maskwright.data.builder import IndexBuilder
from maskwright.data.report import ImportReportBuilder
from maskwright.errors import ConfigError


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
