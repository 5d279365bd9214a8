from __future__ import annotations

import numpy as np
import pytest
import torch

from maskwright.draw import overlay
from maskwright.masks import Masks
from maskwright.structures import Instances


def _drawn_labels(
    boxes: list[list[float]],
    size: tuple[int, int],
    *,
    names: tuple[str, ...] = ("cat", "dog"),
    labels: bool | None = None,
) -> np.ndarray:
    """Where label plates were drawn on a picture with these filled boxes."""
    masks = Masks.from_boxes(np.array(boxes, float).reshape(-1, 4), size)
    found = Instances(
        image_size=size,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.zeros(len(masks), dtype=torch.int64),
        scores=torch.linspace(0.9, 0.6, len(masks)),
        masks=masks,
        class_names=names,
    )
    image = np.full((*size, 3), 127, np.uint8)
    plain = overlay(image, found, labels=False)
    return (overlay(image, found, labels=labels) != plain).any(axis=2)


def test_a_label_stands_above_its_object_and_touches_it() -> None:
    plate = _drawn_labels([[100, 100, 300, 250]], (300, 400))
    rows, columns = np.nonzero(plate)
    assert rows.max() == 99
    assert columns.min() >= 100
    assert columns.max() < 300


@pytest.mark.parametrize(
    "box", [[0, 0, 200, 150], [350, 250, 400, 300], [0, 250, 60, 300], [0, 0, 400, 300]]
)
def test_labels_stay_inside_the_picture(box: list[float]) -> None:
    assert _drawn_labels([box], (300, 400)).any()


@pytest.mark.parametrize("size", [(300, 400), (1200, 1600), (3000, 4000)])
def test_text_grows_with_the_picture(size: tuple[int, int]) -> None:
    height, width = size
    plate = _drawn_labels([[width / 4, height / 3, width / 2, height / 1.5]], size)
    rows = np.nonzero(plate.any(axis=1))[0]
    assert 0.02 < len(rows) / height < 0.06


def test_labels_never_cover_each_other_by_themselves() -> None:
    boxes = [[10.0 + 6 * i, 50.0, 110.0 + 6 * i, 150.0] for i in range(20)]
    separate = _drawn_labels(boxes, (300, 400)).mean()
    assert 0 < separate < 0.12


def test_a_crowd_of_one_class_has_no_labels_unless_asked_for() -> None:
    boxes = [[x, y, x + 30.0, y + 30.0] for x in range(0, 380, 40) for y in range(0, 280, 40)]
    assert not _drawn_labels(boxes, (300, 400), names=("nucleus",)).any()
    assert _drawn_labels(boxes, (300, 400), names=("nucleus",), labels=True).any()


def test_plates_cover_little_of_a_crowded_picture() -> None:
    boxes = [[x, y, x + 50.0, y + 50.0] for x in range(0, 900, 60) for y in range(0, 900, 60)]
    assert _drawn_labels(boxes, (960, 960)).mean() < 0.12


def test_a_long_name_shrinks_to_a_narrow_picture() -> None:
    name = "a rather long class name"
    plate = _drawn_labels([[10, 60, 110, 190]], (200, 120), names=(name, "other"), labels=True)
    assert plate.any()


def test_a_picture_too_small_for_text_has_none() -> None:
    assert not _drawn_labels([[0, 0, 6, 6]], (6, 6), labels=True).any()


def test_no_objects_no_labels() -> None:
    assert not _drawn_labels([], (50, 50), labels=True).any()
