from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.errors import ImageError
from maskwright.inference.pictures import as_picture, read_pictures


def _pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def test_every_form_of_a_picture_gives_the_same_pixels(tmp_path: Path) -> None:
    image = _pixels()
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), image[..., ::-1])
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    forms = [
        path,
        str(path),
        Image.fromarray(image),
        Image.open(path),
        image,
        image / 255.0,
        (image / 255.0).astype(np.float32),
        np.asfortranarray(image),
        tensor,
        tensor / 255,
        tensor.double() / 255,
    ]
    for form in forms:
        found = as_picture(form)
        np.testing.assert_array_equal(found.image, image)
        assert found.image.flags.c_contiguous
    assert as_picture(path).source == path
    assert as_picture(image).source is image


def test_grey_becomes_rgb_in_every_form() -> None:
    grey = _pixels()[..., 0]
    forms = [
        grey,
        grey[..., None],
        grey / 255.0,
        torch.from_numpy(grey),
        torch.from_numpy(grey)[None],
        Image.fromarray(grey),
    ]
    for form in forms:
        np.testing.assert_array_equal(as_picture(form).image, np.dstack([grey] * 3))


def test_a_tensor_three_pixels_high_is_not_taken_for_channels_last() -> None:
    tensor = torch.arange(27, dtype=torch.uint8).reshape(3, 3, 3)
    np.testing.assert_array_equal(as_picture(tensor).image, tensor.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((4, 5, 4), np.uint8), r"\(4, 5, 4\): four channels.*image\[\.\.\., :3\]"),
        (np.zeros((3, 4, 5), np.uint8), r"channels first\? use image\.transpose\(1, 2, 0\)"),
        (np.zeros((2, 4, 5, 3), np.uint8), r"a batch\? pass list\(images\)"),
        (np.zeros(7, np.uint8), r"got \(7,\)"),
        (np.zeros((0, 5, 3), np.uint8), "has no pixels"),
        (np.full((4, 5, 3), 200.0), r"from 0 to 1, got 200 to 200: divide by 255"),
        (np.full((4, 5, 3), -0.5), "got -0.5 to -0.5"),
        (np.full((4, 5, 3), np.nan), "got nan to nan"),
        (np.zeros((4, 5, 3), np.uint16), "got uint16: scale it first"),
        (np.zeros((4, 5), bool), "got bool"),
        (torch.zeros(2, 3, 4, 5), r"got a batch \(2, 3, 4, 5\): pass list\(batch\)"),
        (torch.zeros(4, 5, 3), r"\(4, 5, 3\): permute\(2, 0, 1\) first"),
        (torch.zeros(4, 5, 6), r"must be \(3, h, w\) or \(1, h, w\), got \(4, 5, 6\)$"),
        (torch.zeros(3, 0, 6), "has no pixels"),
        (torch.full((3, 4, 5), 255.0), "divide by 255"),
        (torch.zeros(3, 4, 5, dtype=torch.int64), "got int64"),
        (Image.new("F", (4, 5)), "mode F has no range"),
        (Image.new("I;16", (4, 5)), "mode I;16 has no range"),
        (17, "got int"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_remedy(source: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        as_picture(source)  # type: ignore[arg-type]


def test_missing_damaged_and_folder_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    with pytest.raises(ImageError, match=r"broken\.png"):
        as_picture(tmp_path / "broken.png")
    with pytest.raises(ImageError, match=r"missing\.png"):
        as_picture(tmp_path / "missing.png")
    with pytest.raises(ImageError, match=r"is a folder.*stream"):
        as_picture(tmp_path)


def test_unreadable_files_are_reported_and_passed_over(tmp_path: Path) -> None:
    image = _pixels()
    for name in ("a.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), image[..., ::-1])
    (tmp_path / "b.png").write_text("no picture")
    paths = sorted(tmp_path.iterdir())
    told: list[Path] = []
    read = list(read_pictures(paths, on_error=lambda path, error: told.append(path)))
    assert [picture.path for picture in read] == [paths[0], paths[2]]
    assert told == [paths[1]]
    with pytest.raises(ImageError, match=r"b\.png"):
        list(read_pictures(paths))
    assert list(read_pictures([])) == []
