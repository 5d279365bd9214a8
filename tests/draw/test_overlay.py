from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from maskwright.data import save_image
from maskwright.draw import overlay
from maskwright.draw.colours import distinct_colours
from maskwright.errors import ImageError
from maskwright.masks import Masks
from maskwright.structures import Instances


def _instances(
    masks: Masks, scores: list[float] | None = None, names: tuple[str, ...] = ("a", "b")
) -> Instances:
    return Instances(
        image_size=masks.image_size,
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.zeros(len(masks), dtype=torch.int64),
        scores=None if scores is None else torch.tensor(scores),
        masks=masks,
        class_names=names,
    )


def test_only_pixels_of_objects_change_without_labels() -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (60, 80, 3), np.uint8)
    dense = generator.random((3, 60, 80)) > 0.9
    drawn = overlay(image, _instances(Masks.from_dense(dense)), labels=False)
    outside = ~dense.any(axis=0)
    np.testing.assert_array_equal(drawn[outside], image[outside])


def test_fill_blends_and_outline_is_pure() -> None:
    image = np.full((40, 40, 3), 100, np.uint8)
    drawn = overlay(
        image,
        _instances(Masks.from_boxes([[10, 10, 30, 30]], (40, 40))),
        opacity=0.25,
        labels=False,
    )
    colour = distinct_colours(1)[0]
    np.testing.assert_array_equal(drawn[10, 10:30], np.tile(colour, (20, 1)))
    np.testing.assert_allclose(drawn[20, 20], 75 + 0.25 * colour, atol=0.51)


def test_holes_stay_open() -> None:
    dense = np.ones((1, 30, 30), bool)
    dense[0, 10:20, 10:20] = False
    drawn = overlay(
        np.zeros((30, 30, 3), np.uint8), _instances(Masks.from_dense(dense)), labels=False
    )
    assert not drawn[10:20, 10:20].any()
    np.testing.assert_array_equal(drawn[9, 12], distinct_colours(1)[0])


def test_small_objects_are_painted_over_large_ones() -> None:
    masks = Masks.from_boxes([[15, 15, 18, 18], [0, 0, 40, 40]], (40, 40))
    drawn = overlay(np.zeros((40, 40, 3), np.uint8), _instances(masks), labels=False)
    np.testing.assert_array_equal(drawn[15, 15], distinct_colours(2)[0])


def test_the_picture_given_is_left_alone() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    overlay(image, _instances(Masks.from_boxes([[5, 5, 30, 30]], (40, 40)), [0.9]))
    assert not image.any()


def test_no_objects_give_a_copy_of_a_grey_picture_in_rgb() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    drawn = overlay(grey, Instances.empty((3, 4), masks=Masks.empty((3, 4))))
    np.testing.assert_array_equal(drawn, np.dstack([grey] * 3))
    assert overlay(grey, Instances.empty((3, 4))).shape == (3, 4, 3)


def test_empty_masks_and_pictures_of_one_pixel_are_drawn() -> None:
    masks = Masks.from_dense(np.array([[[0]], [[1]]]))
    drawn = overlay(np.zeros((1, 1, 3), np.uint8), _instances(masks, [0.9, 0.8]), boxes=True)
    assert drawn.shape == (1, 1, 3)


def test_objects_without_masks_are_framed_inside_the_picture() -> None:
    found = Instances(
        image_size=(20, 30),
        boxes=torch.tensor([[-5.0, 2.4, 40.0, 17.5]]),
        labels=torch.zeros(1, dtype=torch.int64),
    )
    drawn = overlay(np.zeros((20, 30, 3), np.uint8), found, labels=False)
    rows, columns = np.nonzero(drawn.any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 17, 0, 29)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((1, 20, 20, 3), np.uint8), r"got \(1, 20, 20, 3\) uint8"),
        (np.zeros((20, 20, 3), complex), "complex128"),
        (np.full((20, 20), np.nan), "not finite"),
        (np.zeros((20, 30, 3), np.uint8), r"this one is \(20, 30\)"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(image: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        overlay(image, Instances.empty((20, 20)))


def test_memory_follows_the_picture_and_not_the_number_of_objects() -> None:
    size = (1500, 2000)
    boxes = [[x, y, x + 40, y + 40] for x in range(0, 1900, 100) for y in range(0, 1400, 100)]
    instances = _instances(Masks.from_boxes(boxes, size), [0.9] * len(boxes))
    image = np.zeros((*size, 3), np.uint8)
    overlay(image, instances[:1])  # fonts and compiled loops are loaded once
    tracemalloc.start()
    overlay(image, instances)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < image.nbytes + 8 * 2**20  # the canvas; n x h x w would be 800 MB


def test_saved_pictures_read_back_equal(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    labels = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1800
    save_image(tmp_path / "new" / "colour.png", colour)
    save_image(tmp_path / "labels.png", labels)
    read = cv2.imread(str(tmp_path / "new" / "colour.png"))
    np.testing.assert_array_equal(read[..., ::-1], colour)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "labels.png"), -1), labels)


def test_an_unknown_picture_format_is_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"\.txt is no picture format, try \.png"):
        save_image(tmp_path / "a.txt", np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
