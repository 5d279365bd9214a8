from __future__ import annotations

import numpy as np

from maskwright.draw.thumbnails import object_thumbnail, picture_thumbnail
from maskwright.masks import Masks

_PINK = np.array([255, 59, 130])
_GREY = np.full((100, 200, 3), 90, np.uint8)


def _is_pink(image: np.ndarray) -> np.ndarray:
    return (np.abs(image.astype(int) - _PINK) < 40).all(axis=2)


def test_the_longer_side_of_a_picture_becomes_the_wanted_one() -> None:
    assert picture_thumbnail(_GREY, 50).shape == (25, 50, 3)
    assert picture_thumbnail(_GREY[:4, :4], 100).shape == (32, 32, 3)  # eightfold at most


def test_the_object_is_outlined_where_it_lies_in_the_part_that_is_shown() -> None:
    masks = Masks.from_boxes(np.array([[150, 40, 170, 60]]), (100, 200))
    thumbnail = object_thumbnail(_GREY, masks, side=96)
    # 48 pixels around the centre (160, 50), doubled: the object is at 28 to 68.
    assert thumbnail.shape == (96, 96, 3)
    rows, columns = np.nonzero(_is_pink(thumbnail))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (28, 67, 28, 67)


def test_without_a_pixel_the_whole_picture_is_shown_as_it_is() -> None:
    between_centres = Masks.from_polygons([[[1.6, 1.6, 1.9, 1.6, 1.9, 1.9]]], (100, 200))
    for masks in (Masks.empty((100, 200)), between_centres):
        thumbnail = object_thumbnail(_GREY, masks, side=200)
        np.testing.assert_array_equal(thumbnail, _GREY)


def test_polygons_and_boxes_are_drawn_as_lines_also_where_nothing_is_covered() -> None:
    ring = np.array([[20.6, 30.6], [20.9, 30.6], [20.9, 30.9]])
    thumbnail = object_thumbnail(_GREY, Masks.empty((100, 200)), side=96, rings=[ring])
    assert _is_pink(thumbnail).any()
    box = np.array([[10.0, 10, 60, 50]])
    framed = object_thumbnail(_GREY, Masks.empty((100, 200)), side=96, boxes=box)
    assert (framed == (0, 190, 255)).all(axis=2).any()


def test_an_object_beyond_the_edge_shows_the_nearest_place_inside() -> None:
    ring = np.array([[300.0, 50], [320, 50], [310, 60]])
    thumbnail = object_thumbnail(_GREY, Masks.empty((100, 200)), side=96, rings=[ring])
    assert min(thumbnail.shape[:2]) > 10
