from __future__ import annotations

import random
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from maskwright.data import images
from maskwright.data.images import is_turned_by_exif, read_image, read_image_header
from maskwright.errors import ImageError, ReducedDepthWarning

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def _save_with_orientation(path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


def test_rgb_pictures_come_as_they_are_and_writable(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, PIXELS)


@pytest.mark.filterwarnings("default")
def test_cutting_16_bits_to_8_is_never_silent(tmp_path: Path) -> None:
    Image.fromarray(np.full((6, 9), 40_000, np.uint16)).save(tmp_path / "a.png")
    images._warn_of_reduced_depth.cache_clear()
    with pytest.warns(ReducedDepthWarning, match="16 bits per channel are scaled"):
        read_image(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(tmp_path / "a.png")  # said once


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_opencv_applies_it(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.jpg"
    pixels = cv2.resize(PIXELS, (90, 60), interpolation=cv2.INTER_LINEAR)
    _save_with_orientation(path, pixels, orientation)
    image = read_image(path)
    np.testing.assert_array_equal(image, cv2.imread(str(path), cv2.IMREAD_COLOR_RGB))
    assert image.shape[:2] == ((90, 60) if orientation >= 5 else (60, 90))
    assert read_image_header(path) == ((60, 90), orientation)


def test_png_and_webp_carry_exif_too(tmp_path: Path) -> None:
    for suffix in ("png", "webp", "tif"):
        path = tmp_path / f"a.{suffix}"
        _save_with_orientation(path, PIXELS, 6)
        assert read_image(path).shape == (9, 6, 3), suffix


def test_the_expected_size_decides_whether_exif_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    _save_with_orientation(path, PIXELS, 8)
    np.testing.assert_array_equal(read_image(path, expected_size=(9, 6)), np.rot90(PIXELS))
    np.testing.assert_array_equal(read_image(path, expected_size=(6, 9)), PIXELS)


def test_a_half_turn_is_applied_although_both_frames_have_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    _save_with_orientation(path, PIXELS, 3)
    np.testing.assert_array_equal(read_image(path, expected_size=(6, 9)), PIXELS[::-1, ::-1])
    assert is_turned_by_exif((6, 9), 3, (6, 9)) is True


def test_a_picture_of_another_size_than_expected_is_refused(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: is 6 x 9 .* for 60 x 90"):
        read_image(tmp_path / "a.png", expected_size=(60, 90))


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[:, :, 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), PIXELS[:, :, :1].repeat(3, 2))


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_is_dropped_and_the_stored_colours_kept(tmp_path: Path, mode: str) -> None:
    alpha = np.arange(54, dtype=np.uint8).reshape(6, 9, 1)
    colours = PIXELS[:, :, :1] if mode == "LA" else PIXELS
    Image.fromarray(np.concatenate([colours, alpha], axis=2)).save(tmp_path / "a.png")
    expected = colours.repeat(3, 2) if mode == "LA" else PIXELS
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


def test_palette_and_bilevel_pictures_get_their_colours(tmp_path: Path) -> None:
    palette = Image.fromarray(PIXELS).quantize(256)
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), palette.convert("RGB"))
    bilevel = PIXELS[:, :, 0] > 127
    Image.fromarray(bilevel).save(tmp_path / "b.png")
    expected = (bilevel * np.uint8(255))[:, :, None].repeat(3, 2)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), expected)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), PIXELS)


@pytest.mark.parametrize(("top", "used"), [(4095, 4095), (4096, 65535), (65535, 65535)])
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_16_bits_are_scaled_from_12_or_16_bits(
    tmp_path: Path, top: int, used: int, suffix: str, num_channels: int
) -> None:
    shape = (6, 9) if num_channels == 1 else (6, 9, 3)
    values = np.random.default_rng(1).integers(0, top, shape).astype(np.uint16)
    values[0, 0] = top
    path = tmp_path / f"a.{suffix}"
    cv2.imwrite(str(path), values[..., ::-1] if num_channels == 3 else values)
    expected = np.rint(values.astype(np.float64) * 255 / used)
    if num_channels == 1:
        expected = expected[:, :, None].repeat(3, 2)
    np.testing.assert_array_equal(read_image(path), expected)


def test_floating_point_pictures_are_refused_with_their_range(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(-1, 2, 54, dtype=np.float32).reshape(6, 9)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match=r"a\.tif: pixels are float32 from -1\.0 to 2\.0"):
        read_image(tmp_path / "a.tif")


def test_missing_files_folders_and_other_kinds_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png: no such picture"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="this is a folder"):
        read_image(tmp_path)
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(ImageError, match=r"text\.png: not a picture of a known kind"):
        read_image(tmp_path / "text.png")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"empty\.jpg"):
        read_image_header(tmp_path / "empty.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp", "gif"])
def test_truncated_pictures_are_errors_never_half_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"whole.{suffix}"
    Image.fromarray(np.tile(PIXELS, (20, 20, 1))).save(path)
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ImageError, match=rf"cut\.{suffix}"):
        read_image(cut)


def test_a_header_that_claims_an_absurd_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    Image.fromarray(PIXELS).save(path)
    data = bytearray(path.read_bytes())
    data[18:26] = (100_000).to_bytes(4, "little") * 2
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.bmp: refused, its header claims too many pixels"):
        read_image(path)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged EXIF, TIFF tags and the like
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp", "bmp", "gif"])
def test_mutated_files_are_read_or_refused_by_our_error(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)  # mutated sizes cost time
    source = tmp_path / f"a.{suffix}"
    _save_with_orientation(source, PIXELS, 6) if suffix not in ("bmp", "gif") else Image.fromarray(
        PIXELS
    ).save(source)
    rng = random.Random(0)
    mutated = tmp_path / f"m.{suffix}"
    for _ in range(100):
        data = bytearray(source.read_bytes())
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        mutated.write_bytes(data)
        try:
            image = read_image(mutated)
        except ImageError:
            continue
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
