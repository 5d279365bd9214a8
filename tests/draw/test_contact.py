from __future__ import annotations

import numpy as np

from maskwright.draw import contact_sheet


def test_cells_hold_the_pictures_in_their_places() -> None:
    red = np.full((10, 10, 3), (255, 0, 0), np.uint8)
    blue = np.full((20, 20, 3), (0, 0, 255), np.uint8)
    sheet = contact_sheet([[red, blue]], cell=(20, 20))
    assert sheet.shape == (36, 64, 3)
    np.testing.assert_array_equal(sheet[18, 18], (255, 0, 0))
    np.testing.assert_array_equal(sheet[18, 46], (0, 0, 255))


def test_small_pictures_grow_without_new_colours() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (3, 3, 3), np.uint8)
    sheet = contact_sheet([[picture]], cell=(30, 30))
    known = {tuple(c) for c in picture.reshape(-1, 3).tolist()} | {(255, 255, 255)}
    assert {tuple(c) for c in sheet.reshape(-1, 3).tolist()} == known


def test_rows_may_differ_in_length_and_carry_captions() -> None:
    picture = np.zeros((10, 20, 3), np.uint8)
    with_words = contact_sheet(
        [[picture], [picture, picture], []],
        headings=["truth", "found"],
        captions=["first", "second"],
        cell=(40, 40),
    )
    without = contact_sheet([[picture], [picture, picture], []], cell=(40, 40))
    assert with_words.shape[1] == without.shape[1]
    assert with_words.shape[0] > without.shape[0]


def test_no_rows_give_a_sheet_of_one_pixel() -> None:
    assert contact_sheet([]).shape == (1, 1, 3)


def test_titles_stand_under_each_picture_and_keep_their_end() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    rows = [[picture, picture], [picture]]
    plain = contact_sheet(rows, cell=(40, 80))
    titled = contact_sheet(rows, titles=[["a.png", "b.png\nsecond line"], ["c.png"]], cell=(40, 80))
    assert titled.shape[0] == plain.shape[0] + 3 * 23
    below = titled[52:72]
    assert (below[:, 8:88] < 100).any()
    assert (below[:, 96:176] < 100).any()
    long = "a very long name of a folder/"
    ends = [
        contact_sheet([[picture]], titles=[[t + "end.png"]], cell=(40, 80))
        for t in (long, "x" + long)
    ]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert (ends[0][:, 88:] == 255).all()
