"""Windows hold what `read_image` gives, cut out, without decoding the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from maskwright.data import read_image
from maskwright.data.tiff_windows import TiffWindows
from maskwright.data.windows import ArrayWindows, open_windows
from maskwright.errors import ImageError

_LAYOUTS: dict[str, dict[str, Any]] = {
    "one piece": {},
    "strips": {"rowsperstrip": 7},
    "tiles": {"tile": (16, 32)},
    "deflate strips": {"rowsperstrip": 5, "compression": "zlib"},
    "deflate tiles": {"tile": (32, 16), "compression": "zlib"},
    "predicted": {"tile": (32, 16), "compression": "zlib", "predictor": True},
    "big endian": {"byteorder": ">"},
    "big endian tiles": {"byteorder": ">", "tile": (16, 16)},
    "bigtiff": {"bigtiff": True, "tile": (16, 16)},
}
_FORMS = {
    "grey": (),
    "rgb": (3,),
    "rgba": (4,),
}


def _pixels(form: str, dtype: type, highest: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, highest + 1, (61, 83, *_FORMS[form])).astype(dtype)
    pixels[50, 70] = highest  # far from the first window
    return pixels


def _write(path: Path, pixels: np.ndarray, options: dict[str, Any]) -> None:
    colour = {} if pixels.ndim == 2 else {"extrasamples": ["unassalpha"] * (pixels.shape[2] - 3)}
    photometric = "minisblack" if pixels.ndim == 2 else "rgb"
    keywords = dict(options)
    with tifffile.TiffWriter(
        path, bigtiff=keywords.pop("bigtiff", False), byteorder=keywords.pop("byteorder", "<")
    ) as file:
        file.write(pixels, photometric=photometric, metadata=None, **colour, **keywords)


def _assert_windows_are_cut_out(path: Path, kind: type) -> None:
    whole = read_image(path)
    with open_windows(path) as windows:
        assert type(windows) is kind
        assert windows.image_size == whole.shape[:2]
        for x1, y1, x2, y2 in [(0, 0, 83, 61), (0, 0, 1, 1), (30, 12, 70, 40), (82, 60, 83, 61)]:
            window = windows.read((x1, y1, x2, y2))
            np.testing.assert_array_equal(window, whole[y1:y2, x1:x2])
            assert window.flags.writeable
            assert window.flags.c_contiguous


@pytest.mark.parametrize("form", _FORMS)
@pytest.mark.parametrize("layout", _LAYOUTS)
@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 255), (np.uint16, 4000), (np.uint16, 9)])
def test_windows_of_a_tiff_are_those_of_the_whole(
    tmp_path: Path, form: str, layout: str, dtype: type, highest: int
) -> None:
    _write(tmp_path / "a.tif", _pixels(form, dtype, highest), _LAYOUTS[layout])
    _assert_windows_are_cut_out(tmp_path / "a.tif", TiffWindows)


@pytest.mark.parametrize("layout", ["one piece", "strips", "deflate tiles"])
def test_the_scale_of_16_bits_is_that_of_the_whole_picture(tmp_path: Path, layout: str) -> None:
    pixels = _pixels("grey", np.uint16, 4000)
    pixels[60, 82] = 60_000  # one bright pixel at the end makes all of it 16-bit
    _write(tmp_path / "a.tif", pixels, _LAYOUTS[layout])
    _assert_windows_are_cut_out(tmp_path / "a.tif", TiffWindows)


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib"}])
def test_planes_are_put_together(tmp_path: Path, options: dict[str, Any]) -> None:
    pixels = _pixels("rgb", np.uint8, 255)
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    tifffile.imwrite(
        tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate", **options
    )
    with open_windows(tmp_path / "a.tif") as windows:
        assert type(windows) is TiffWindows
        np.testing.assert_array_equal(windows.read((9, 8, 70, 60)), pixels[8:60, 9:70])


def test_only_the_first_page_counts(tmp_path: Path) -> None:
    pages = np.random.default_rng(0).integers(0, 256, (3, 61, 83)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", compression="zlib")
    _assert_windows_are_cut_out(tmp_path / "a.tif", TiffWindows)


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "L", "RGB", "LA"])
@pytest.mark.parametrize("suffix", ["tif", "png", "jpg"])
def test_every_other_picture_is_read_whole(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    if (suffix, mode) in {("png", "CMYK"), ("jpg", "P"), ("jpg", "LA")}:
        pytest.skip("there is no such file")
    picture = Image.fromarray(_pixels("rgb", np.uint8, 255)).convert(mode)
    picture.save(path, **({"compression": "tiff_lzw"} if suffix == "tif" else {}))
    with open_windows(path) as windows:
        whole = read_image(path)
        np.testing.assert_array_equal(windows.read((3, 4, 50, 60)), whole[4:60, 3:50])


def test_turned_and_inverted_tiffs_are_read_as_read_image_does(tmp_path: Path) -> None:
    pixels = _pixels("grey", np.uint8, 255)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite", metadata=None)
    tifffile.imwrite(tmp_path / "b.tif", pixels, extratags=[(274, 3, 1, 6, True)], metadata=None)
    for name in ("a.tif", "b.tif"):
        with open_windows(tmp_path / name) as windows:
            assert isinstance(windows, ArrayWindows)
            whole = read_image(tmp_path / name)
            assert windows.image_size == whole.shape[:2]


def test_floats_and_damaged_files_are_refused_as_read_image_does(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9), np.float32))
    with pytest.raises(ImageError, match="wanted 8 or 16 bits"):
        open_windows(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="not a picture of a known kind"):
        open_windows(tmp_path / "b.tif")
    with pytest.raises(ImageError, match="no such picture"):
        open_windows(tmp_path / "c.tif")


@pytest.mark.parametrize("layout", ["one piece", "deflate tiles"])
def test_a_file_cut_short_is_an_error_that_names_it(tmp_path: Path, layout: str) -> None:
    _write(tmp_path / "a.tif", _pixels("rgb", np.uint8, 255), _LAYOUTS[layout])
    stored = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(stored[: len(stored) // 2])
    with pytest.raises(ImageError, match=r"a\.tif: damaged or truncated"):  # noqa: SIM117
        with open_windows(tmp_path / "a.tif") as windows:
            windows.read((0, 0, 83, 61))


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (-1, 0, 4, 4), (0, 0, 84, 5), (5, 5, 9, 62)])
def test_a_window_beyond_the_picture_is_refused(
    tmp_path: Path, box: tuple[int, int, int, int]
) -> None:
    _write(tmp_path / "a.tif", _pixels("rgb", np.uint8, 255), {"tile": (16, 16)})
    with open_windows(tmp_path / "a.tif") as windows:
        with pytest.raises(ImageError, match="must hold pixels of the 61 x 83 picture"):
            windows.read(box)
        with pytest.raises(ImageError, match="must hold pixels of the 61 x 83 picture"):
            ArrayWindows(np.zeros((61, 83, 3), np.uint8)).read(box)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_jpeg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_rasterio_reads_what_tifffile_does_not(tmp_path: Path, compression: str, mode: str) -> None:
    pytest.importorskip("rasterio")
    from maskwright.data.raster_windows import RasterWindows

    picture = Image.fromarray(_pixels("rgb", np.uint8, 255)).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression)
    _assert_windows_are_cut_out(tmp_path / "a.tif", RasterWindows)
