"""Pictures as they are stored, held against what wrote them."""

from __future__ import annotations

import logging
import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from maskwright.data import (
    PixelFormat,
    convert,
    look_at_picture,
    measure_pixel_format,
    open_dataset,
    open_windows,
    read_image,
    read_picture,
    read_stored,
    write_coco_dataset,
)
from maskwright.data.images import split_page
from maskwright.data.stored_windows import StoredWindows
from maskwright.errors import ConfigError, ImageError
from maskwright.masks import Masks
from maskwright.structures import Instances, Sample

_RNG = np.random.default_rng(0)
_TYPES: dict[str, type] = {
    "uint8": np.uint8,
    "uint16": np.uint16,
    "int16": np.int16,
    "float32": np.float32,
    "float64": np.float64,
}
_LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deflate": {"compression": "zlib", "rowsperstrip": 7},
    "tiles": {"compression": "zlib", "tile": (16, 32)},
    "planes": {"planarconfig": "separate", "rowsperstrip": 7},
    "big endian": {"byteorder": ">"},
}


def _values(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    if np.issubdtype(dtype, np.floating):
        return _RNG.normal(0, 1e4, shape).astype(np.float32).astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return _RNG.integers(low, high, shape, endpoint=True).astype(dtype)


def _write(path: Path, pixels: np.ndarray, layout: str) -> None:
    options = dict(_LAYOUTS[layout])
    byteorder = options.pop("byteorder", None)
    if pixels.ndim == 3 and "planarconfig" in options:
        pixels = np.moveaxis(pixels, -1, 0)
    elif pixels.ndim == 3:
        options["planarconfig"] = "contig"
    else:
        options.pop("planarconfig", None)
    tifffile.imwrite(
        path, pixels, photometric="minisblack", metadata=None, byteorder=byteorder, **options
    )


@pytest.mark.parametrize("layout", _LAYOUTS)
@pytest.mark.parametrize("dtype", _TYPES)
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_tiff_gives_the_numbers_that_were_written_whole_and_in_windows(
    tmp_path: Path, layout: str, dtype: str, channels: int
) -> None:
    pixels = _values((37, 53) if channels == 1 else (37, 53, channels), _TYPES[dtype])
    _write(tmp_path / "a.tif", pixels, layout)
    stored = look_at_picture(tmp_path / "a.tif")
    image = read_stored(tmp_path / "a.tif")
    assert (stored.size, stored.channels, stored.values) == ((37, 53), channels, image.dtype.name)
    assert image.dtype == (dtype if dtype in ("uint8", "uint16") else "float32")
    np.testing.assert_array_equal(image, pixels.reshape(37, 53, channels))
    assert image.flags.writeable
    assert image.flags.c_contiguous
    with open_windows(tmp_path / "a.tif", PixelFormat.unscaled(stored)) as windows:
        window = windows.read((10, 5, 40, 30))
        assert window.dtype == image.dtype
        np.testing.assert_array_equal(window, image[5:30, 10:40])


@pytest.mark.filterwarnings("ignore:Use")  # rasterio's own
@pytest.mark.parametrize("compression", ["lzw", "zstd", "deflate", "packbits"])
def test_compressions_that_tifffile_lacks_are_read_by_rasterio(
    tmp_path: Path, compression: str
) -> None:
    pixels = _values((5, 20, 30), np.uint16)
    shape = {"width": 30, "height": 20, "count": 5, "dtype": "uint16"}
    transform = rasterio.transform.from_origin(5, 9, 2, 2)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", compress=compression, transform=transform, **shape
    ) as file:
        file.write(pixels)
    np.testing.assert_array_equal(read_stored(tmp_path / "a.tif"), np.moveaxis(pixels, 0, -1))


def test_pages_are_channels_or_by_their_number_pictures(tmp_path: Path) -> None:
    stack = _values((4, 20, 30), np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="minisblack")
    assert (look_at_picture(path).channels, look_at_picture(path).pages) == (4, 4)
    np.testing.assert_array_equal(read_stored(path), np.moveaxis(stack, 0, -1))
    with _windows(path) as windows:
        assert isinstance(windows, StoredWindows)
    for page in range(4):
        one = tmp_path / f"a.tif[{page}]"
        assert look_at_picture(one).channels == 1
        np.testing.assert_array_equal(read_stored(one)[:, :, 0], stack[page])
        with _windows(one) as windows:
            window = windows.read((3, 2, 9, 8))
        np.testing.assert_array_equal(window[:, :, 0], stack[page, 2:8, 3:9])
    with pytest.raises(ImageError, match=r"a\.tif: has 4 pages, page 4 was wanted"):
        read_stored(tmp_path / "a.tif[4]")
    (tmp_path / "a.tif[0]").write_bytes(b"")  # a file of that very name is itself
    assert split_page(tmp_path / "a.tif[0]") == (tmp_path / "a.tif[0]", None)


def _windows(path: Path) -> Any:
    return open_windows(path, PixelFormat.unscaled(look_at_picture(path)))


def test_thumbnails_and_levels_of_a_pyramid_are_no_channels(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        whole = _values((40, 60), np.uint16)
        file.write(whole, photometric="minisblack", metadata=None)
        file.write(whole[::2, ::2], photometric="minisblack", metadata=None, subfiletype=1)
        file.write(whole[:9, :9], photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(read_stored(tmp_path / "a.tif")[:, :, 0], whole)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_png_keeps_its_values(tmp_path: Path, channels: int) -> None:
    values = _values((6, 9, channels), np.uint16)
    order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    cv2.imwrite(str(tmp_path / "a.png"), values[:, :, order])
    stored = look_at_picture(tmp_path / "a.png")
    assert (stored.channels, stored.values, stored.has_alpha) == (channels, "uint16", channels == 4)
    np.testing.assert_array_equal(read_stored(tmp_path / "a.png"), values)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_common_pictures_are_as_pillow_has_them(tmp_path: Path, mode: str, suffix: str) -> None:
    if (mode, suffix) in (("CMYK", "png"), ("LA", "tif")):
        pytest.skip("not a picture of that format")
    picture = Image.fromarray(_values((6, 9, 3), np.uint8)).convert(mode)
    picture.save(tmp_path / f"a.{suffix}")
    image = read_stored(tmp_path / f"a.{suffix}")
    expected = np.asarray(picture if mode in ("L", "LA", "RGB", "RGBA") else picture.convert("RGB"))
    if mode == "1":
        expected = expected[:, :, :1]
    np.testing.assert_array_equal(image, expected.reshape(6, 9, -1))
    assert look_at_picture(tmp_path / f"a.{suffix}").is_8_bit_colour


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_them_as_read_image_does(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(_values((6, 9, 3), np.uint8)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_stored(tmp_path / "a.png"), read_image(tmp_path / "a.png"))
    deep = _values((6, 9), np.uint16)
    tifffile.imwrite(tmp_path / "b.tif", deep, extratags=[(274, 3, 1, orientation, True)])
    upright = read_stored(tmp_path / "b.tif")
    low = np.asarray(Image.fromarray((deep >> 8).astype(np.uint8)))
    Image.fromarray(low).save(tmp_path / "c.png", exif=exif)
    np.testing.assert_array_equal(upright[:, :, 0] >> 8, read_image(tmp_path / "c.png")[:, :, 0])
    np.testing.assert_array_equal(
        read_stored(tmp_path / "b.tif", expected_size=(6, 9)).shape[:2],
        (6, 9),
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_an_error_that_counts_them(
    tmp_path: Path, bad: float
) -> None:
    pixels = np.zeros((6, 9), np.float32)
    pixels[2, 3] = pixels[4, 4] = bad
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(ImageError, match=r"a\.tif: 2 of its 54 values are NaN or infinite"):
        read_stored(tmp_path / "a.tif")
    with (
        _windows(tmp_path / "a.tif") as windows,
        pytest.raises(ImageError, match=r"a\.tif: 1 of its 4 values"),
    ):
        windows.read((3, 2, 5, 4))


def test_whole_numbers_that_floats_cannot_hold_are_an_error(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((6, 9), 2**24 + 1, np.uint32))
    with pytest.raises(ImageError, match=r"a\.tif: pixels are uint32 .* cannot hold exactly"):
        read_stored(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", np.full((6, 9), 1e300))
    with pytest.raises(ImageError, match=r"a\.tif: .*beyond the range of 32-bit floats"):
        read_stored(tmp_path / "a.tif")


def test_alpha_is_dropped_where_the_model_has_no_place_for_it(tmp_path: Path) -> None:
    values = _values((6, 9, 4), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    measured = measure_pixel_format([tmp_path / "a.tif"])
    assert measured is not None
    assert (measured.channels, measured.values) == (3, "uint16")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", measured), values[:, :, :3])
    with open_windows(tmp_path / "a.tif", measured) as windows:
        np.testing.assert_array_equal(windows.read((0, 0, 9, 6)), values[:, :, :3])
    kept = measure_pixel_format([tmp_path / "a.tif"], "stored")
    assert kept is not None
    assert kept.channels == 4
    # red, green, blue and near infrared: a fourth channel that is no alpha is kept
    tifffile.imwrite(
        tmp_path / "b.tif", (values >> 8).astype(np.uint8), photometric="rgb", extrasamples=[0]
    )
    infrared = measure_pixel_format([tmp_path / "b.tif"])
    assert infrared is not None
    assert (infrared.channels, infrared.values) == (4, "uint8")


def test_the_statistics_are_numpys_and_constant_channels_are_not_divided_by_nothing(
    tmp_path: Path,
) -> None:
    stacks = _values((3, 6, 9, 2), np.float32)
    stacks[..., 1] = 0.1
    for i, stack in enumerate(stacks):
        _write(tmp_path / f"{i}.tif", stack, "plain")
    measured = measure_pixel_format([tmp_path / f"{i}.tif" for i in range(3)])
    assert measured is not None
    flat = stacks.reshape(-1, 2).astype(np.float64)
    np.testing.assert_allclose(measured.mean, flat.mean(axis=0))
    np.testing.assert_allclose(measured.std, [flat[:, 0].std(), 1.0])
    assert measure_pixel_format([]) is None


def test_a_format_whose_statistics_do_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 channels with 1 means and 2 standard deviations"):
        PixelFormat(channels=2, values="uint8", mean=(0.0,), std=(1.0, 1.0))


def test_a_dataset_may_name_pages_and_its_writers_save_them_as_pictures(tmp_path: Path) -> None:
    stack = _values((2, 8, 10), np.uint16)
    masks = Masks.from_dense(np.eye(8, 10, dtype=bool)[None])
    targets = Instances(
        image_size=(8, 10),
        boxes=_boxes(masks),
        labels=_labels(1),
        masks=masks,
        class_names=("cell",),
    )
    blank = np.zeros((8, 10, 3), np.uint8)
    samples = [Sample(image=blank, targets=targets, image_id=i, name=f"{i}.png") for i in (1, 2)]
    path = write_coco_dataset(tmp_path / "data", samples)
    text = path.read_text()
    for number in (1, 2):
        text = text.replace(f"{number}.png", f"stack.tif[{number - 1}]")
    path.write_text(text)
    tifffile.imwrite(path.parent / "images" / "stack.tif", stack, photometric="minisblack")
    dataset = open_dataset(path)
    pixels = measure_pixel_format([dataset.image_path(i) for i in range(2)])
    read = dataset.with_pixels(pixels)
    for i in range(2):
        np.testing.assert_array_equal(read.image(i)[:, :, 0], stack[i])
    for target in ("coco", "labelme", "yolo", "cityscapes"):
        convert(path, tmp_path / target, to=target)
        again = open_dataset(tmp_path / target).with_pixels(pixels)
        assert len(again) == 2
        for i in range(2):
            np.testing.assert_array_equal(again.image(i)[:, :, 0], stack[i])


def _boxes(masks: Masks) -> Any:
    import torch

    return torch.from_numpy(masks.boxes)


def _labels(count: int) -> Any:
    import torch

    return torch.zeros(count, dtype=torch.int64)


def test_headers_that_claim_too_much_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(
            np.zeros((64, 64), np.uint16), photometric="minisblack", metadata=None, compression=8
        )
    data = (tmp_path / "a.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        places = [file.pages[0].tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
    changed = bytearray(data)
    for place in places:
        changed[place - 0 : place + 2] = b"\xff\xff"
    (tmp_path / "a.tif").write_bytes(changed)
    with pytest.raises(ImageError, match=r"a\.tif: refused, its header claims too many pixels"):
        read_stored(tmp_path / "a.tif")


def test_more_pages_than_channels_can_be_say_how_to_name_them(tmp_path: Path) -> None:
    stack = np.zeros((600, 2, 2), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    with pytest.raises(ImageError, match=r"channels .*name a\.tif\[0\], a\.tif\[1\]"):
        look_at_picture(tmp_path / "a.tif")
    assert read_stored(tmp_path / "a.tif[599]").shape == (2, 2, 1)


def test_a_strip_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    import zlib

    packer = zlib.compressobj(9)
    zeros = bytes(2**24)
    bomb = b"".join(packer.compress(zeros) for _ in range(16)) + packer.flush()  # 256 MB
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(
            iter([bomb]),
            shape=(64, 64),
            dtype=np.uint16,
            compression=8,
            rowsperstrip=64,
            metadata=None,
        )
    with pytest.raises(ImageError, match="unpacks to more than"):
        read_stored(tmp_path / "a.tif")


_SOURCES = ["deflate", "tiles", "planes", "plain", "pages", "png"]


@pytest.mark.filterwarnings("ignore")  # tifffile and Pillow warn of damaged files
@pytest.mark.parametrize("source", _SOURCES)
def test_mutated_stored_pictures_are_read_or_refused_by_our_error(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)  # mutated sizes cost time
    monkeypatch.setattr(logging.getLogger("tifffile"), "disabled", True)
    path = tmp_path / ("a.png" if source == "png" else "a.tif")
    if source == "png":
        cv2.imwrite(str(path), _values((6, 9, 3), np.uint16))
    elif source == "pages":
        tifffile.imwrite(path, _values((3, 6, 9), np.uint16), photometric="minisblack")
    else:
        _write(path, _values((37, 53, 5), np.float32), source)
    whole = path.read_bytes()
    rng = random.Random(0)
    for _ in range(int(os.environ.get("MASKWRIGHT_FUZZ", "60"))):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 2, 8))):
            # most of what a file says of itself stands at its head
            last = len(data) if rng.random() < 0.3 else min(len(data), 400)
            data[rng.randrange(last)] = rng.randrange(256)
        path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)
        with suppress(ImageError):
            stored = look_at_picture(path)
            image = read_stored(path)
            assert image.shape[2] == stored.channels
            with open_windows(path, PixelFormat.unscaled(stored)) as windows:
                windows.read((0, 0, 1, 1))
