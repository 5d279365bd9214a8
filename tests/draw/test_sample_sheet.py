from __future__ import annotations

from pathlib import Path

import numpy as np

from maskwright.data import open_dataset
from maskwright.data.choosing import object_samples, picture_samples
from maskwright.draw import overlay
from maskwright.draw.sample_sheet import sample_sheet


def test_a_cell_shows_the_overlay_of_its_sample(discs: Path) -> None:
    dataset = open_dataset(discs)
    samples = list(picture_samples(dataset, [0, 1, 2]))
    sheet = sample_sheet(samples, columns=2, cell=(64, 64))
    for k, (top, left) in enumerate([(8, 8), (8, 80), (103, 8)]):
        drawn = overlay(samples[k].image, samples[k].targets)
        np.testing.assert_array_equal(sheet[top : top + 64, left : left + 64], drawn)


def test_names_stand_below_the_pictures(discs: Path) -> None:
    samples = list(picture_samples(open_dataset(discs), [0]))
    sheet = sample_sheet(samples, columns=1, cell=(64, 200))
    assert (sheet[76:] < 100).any()


def test_large_pictures_are_drawn_near_the_size_of_their_cell(discs: Path) -> None:
    samples = list(picture_samples(open_dataset(discs), [0]))
    sheet = sample_sheet(samples, columns=1, cell=(16, 16))
    # Drawn at 16 x 16 with a line of one pixel: the outline's colour is there in full.
    outline = overlay(samples[0].image, samples[0].targets)
    colours = {tuple(c) for c in outline.reshape(-1, 3).tolist()}
    assert colours & {tuple(c) for c in sheet[8:24, 8:24].reshape(-1, 3).tolist()}


def test_objects_are_drawn_one_to_a_cell(discs: Path) -> None:
    dataset = open_dataset(discs)
    sheet = sample_sheet(object_samples(dataset, [0, 1, 2]), columns=3, as_objects=True)
    assert sheet.shape[1] == 8 + 3 * 328


def test_no_samples_give_a_sheet_of_one_pixel() -> None:
    assert sample_sheet([]).shape == (1, 1, 3)
