"""Hostile files: refused by our error, quickly and without eating memory; nothing is followed."""

from __future__ import annotations

import base64
import io
import json
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from data.formats.conftest import make
from data.formats.mutating import write_panoptic
from maskwright.data import (
    convert,
    look_at_picture,
    open_dataset,
    open_windows,
    read_image,
    read_stored,
)
from maskwright.data.images import read_label_image, read_rgb_numbers
from maskwright.errors import AnnotationError, DataError, ImageError

_HUGE = 100_000


@contextmanager
def _bounded(megabytes: int = 100, seconds: float = 20) -> Iterator[None]:
    """Fail where Python and NumPy allocate more, or it takes longer (machines may be busy)."""
    tracemalloc.start()
    began = time.perf_counter()
    try:
        yield
        assert time.perf_counter() - began < seconds
        assert tracemalloc.get_traced_memory()[1] < megabytes * 2**20
    finally:
        tracemalloc.stop()


def _png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        code = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + code

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _bmp(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    data[18:26] = struct.pack("<II", width, height)
    return bytes(data)


def _jpeg(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", min(height, 65_500), min(width, 65_500))
    return bytes(data)


def _gif(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (4, 4)).save(buffer, "GIF")
    data = bytearray(buffer.getvalue())
    data[6:10] = struct.pack("<HH", min(width, 65_535), min(height, 65_535))
    return bytes(data)


def _tiff(width: int, height: int, dtype: str) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((16, 16), dtype), compression="zlib", metadata=None)
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        tags = file.pages.first.tags
        places = [(tags[256].offset, width), (tags[257].offset, height)]
    data = bytearray(buffer.getvalue())
    for offset, value in places:  # a tag: code, type, count, value
        data[offset + 2 : offset + 12] = struct.pack("<HII", 4, 1, value)
    return bytes(data)


_FILES: dict[str, Callable[[], bytes]] = {
    "a.png": lambda: _png(_HUGE, _HUGE),
    "a.bmp": lambda: _bmp(_HUGE, _HUGE),
    "a.jpg": lambda: _jpeg(_HUGE, _HUGE),
    "a.gif": lambda: _gif(_HUGE, _HUGE),
    "a8.tif": lambda: _tiff(_HUGE, _HUGE, "uint8"),
    "a16.tif": lambda: _tiff(_HUGE, _HUGE, "uint16"),
    "a32.tif": lambda: _tiff(_HUGE, _HUGE, "float32"),
}


@pytest.mark.parametrize("reader", [read_image, read_label_image, read_rgb_numbers, read_stored])
@pytest.mark.parametrize("name", _FILES)
def test_a_header_of_100_000_by_100_000_is_refused(
    tmp_path: Path, name: str, reader: Callable[[Path], object]
) -> None:
    (tmp_path / name).write_bytes(_FILES[name]())
    with _bounded(), pytest.raises(ImageError, match=rf"{name}: .*too many pixels"):
        reader(tmp_path / name)


def test_a_png_that_unpacks_to_gigabytes_gives_its_pixels_and_no_more(tmp_path: Path) -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**24)) for _ in range(16)) + packer.flush()  # 256 MB
    (tmp_path / "a.png").write_bytes(_png(50, 40, bomb))
    with _bounded(), suppress(ImageError):
        assert read_image(tmp_path / "a.png").shape == (40, 50, 3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("compression", ["zlib", "lzma"])
def test_a_tiff_strip_that_unpacks_to_gigabytes_is_refused_or_cut(
    tmp_path: Path, dtype: str, compression: str
) -> None:
    import lzma

    packer: Any = zlib.compressobj(9) if compression == "zlib" else lzma.LZMACompressor()
    bomb = b"".join(packer.compress(bytes(2**24)) for _ in range(16)) + packer.flush()  # 256 MB
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(
            iter([bomb]),
            shape=(64, 64),
            dtype=dtype,
            compression=compression,
            rowsperstrip=64,
            metadata=None,
        )
    with _bounded(150):
        for reader in (read_image, read_stored):
            try:
                reader(tmp_path / "a.tif")
            except ImageError as error:
                problem = str(error)
                assert "a.tif" in problem
        with suppress(ImageError), open_windows(tmp_path / "a.tif") as windows:
            windows.read((0, 0, 64, 64))


def _coco(**changes: Any) -> dict[str, Any]:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 4.0}
    annotation |= {"bbox": [0, 0, 2, 2], "segmentation": {"size": [10, 10], "counts": [0, 4, 96]}}
    image = {"id": 1, "file_name": "a.png", "height": 10, "width": 10}
    return {
        "images": [image | changes.get("image", {})],
        "annotations": [annotation | changes.get("annotation", {})],
        "categories": [{"id": 1, "name": "cat"}],
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"annotation": {"segmentation": {"size": [10, 10], "counts": [10**12]}}},
        {"annotation": {"segmentation": {"size": [10**6, 10**6], "counts": [0, 10**12]}}},
        {
            "image": {"height": 10**6, "width": 10**6},
            "annotation": {"segmentation": {"size": [10**6, 10**6], "counts": [0, 10**12]}},
        },
        {"annotation": {"segmentation": {"size": [10, 10], "counts": "o" * 10_000}}},
        {"annotation": {"segmentation": {"size": [10, 10], "counts": [2**63, -(2**63), 100]}}},
        {"annotation": {"segmentation": [[0, 0, 1e300, 0, 1e300, 1e300]]}},
        {"annotation": {"segmentation": [[float("nan")] * 6]}},
    ],
)
def test_masks_that_claim_10_to_the_12_pixels_are_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps(_coco(**changes)))
    with _bounded(), pytest.raises(DataError, match=r"a\.json: .*(picture|annotation)"):
        open_dataset(tmp_path / "a.json").targets(0)


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


_CLAIMS = {
    "cvat": ("annotations.xml", 'height="37"', 'height="999999999999"'),
    "labelstudio": ("annotations.json", '"original_height": 37', '"original_height": 1000000'),
    "labelme": ("p1.json", '"imageHeight": 37', '"imageHeight": 1000000000000'),
    "csv": ("annotations.csv", "p1.png,37,", "p1.png,1000000000000,"),
    "voc": ("Annotations/p1.xml", "<height>37<", "<height>100000000<"),
    "lvis": ("annotations.json", '"height": 37', '"height": 1000000000000'),
}


@pytest.mark.parametrize("name", _CLAIMS)
def test_sizes_beyond_reason_are_refused_in_every_format_that_states_them(
    tmp_path: Path, name: str
) -> None:
    make(tmp_path / "source", ["simple", "hole"])
    convert(tmp_path / "source", tmp_path / "out", to=name)
    file, old, new = _CLAIMS[name]
    _replace(tmp_path / "out" / file, old, new)
    with _bounded(), pytest.raises(DataError, match=r"out.*([hH]eight|size)"):
        open_dataset(tmp_path / "out")


def test_a_cvat_mask_of_a_huge_box_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "source", ["simple", "hole"])
    convert(tmp_path / "source", tmp_path / "out", to="cvat")
    path = tmp_path / "out" / "annotations.xml"
    _replace(path, 'rle="', 'rle="1000000000000, ')
    with _bounded(), pytest.raises(AnnotationError, match=r"p1\.png: mask rle has counts"):
        open_dataset(path.parent)
    _replace(path, 'rle="1000000000000, ', 'left="0" rle="')
    with pytest.raises(AnnotationError, match="not XML"):  # an attribute twice
        open_dataset(path.parent)


def test_a_labelme_mask_with_a_huge_header_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "source", ["hole"])
    convert(tmp_path / "source", tmp_path / "out", to="labelme")
    path = tmp_path / "out" / "p1.json"
    document = json.loads(path.read_text())
    document["shapes"][0]["mask"] = base64.b64encode(_png(_HUGE, _HUGE)).decode()
    path.write_text(json.dumps(document))
    with _bounded(), pytest.raises(AnnotationError, match=r'p1\.json: shape 0: "mask" is no PNG'):
        open_dataset(tmp_path / "out")


@pytest.mark.parametrize("name", ["coco", "labelme", "labelstudio", "via", "geojson", "lvis"])
@pytest.mark.parametrize("text", ["[" * 10_000, "[" * 10_000 + "]" * 10_000, '{"a":' * 10_000])
def test_json_nested_10_000_deep_is_refused(tmp_path: Path, name: str, text: str) -> None:
    make(tmp_path / "source", ["simple"])
    convert(tmp_path / "source", tmp_path / "out", to=name)
    for path in (tmp_path / "out").rglob("*json"):
        path.write_text(text)
    with _bounded(), pytest.raises(DataError, match=r"json: not JSON"):
        open_dataset(tmp_path / "out", format=name)
    with _bounded(), pytest.raises(DataError, match="out"):
        open_dataset(tmp_path / "out")


_ENTITIES = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><annotations>&b;</annotations>"""
_EXTERNAL = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<annotations>&x;</annotations>"""


@pytest.mark.parametrize("text", [_ENTITIES, _EXTERNAL])
@pytest.mark.parametrize("name", ["cvat", "voc"])
def test_xml_entities_are_refused_unread(tmp_path: Path, name: str, text: str) -> None:
    make(tmp_path / "source", ["simple"])
    convert(tmp_path / "source", tmp_path / "out", to=name)
    for path in (tmp_path / "out").rglob("*.xml"):
        path.write_text(text)
    with _bounded(), pytest.raises(AnnotationError, match=r"\.xml: declares a document type"):
        open_dataset(tmp_path / "out")


def test_xml_nested_deep_is_an_error_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<annotations>" + "<image>" * 100_000)
    with pytest.raises(AnnotationError, match=r"a\.xml: not XML"):
        open_dataset(tmp_path, format="cvat")
    text = "<annotations>" + "<image>" * 50_000 + "</image>" * 50_000 + "</annotations>"
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(AnnotationError, match=r"a\.xml"):
        open_dataset(tmp_path, format="cvat")


def test_yaml_aliases_and_deep_yaml_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (tmp_path / "data.yaml").write_text("\n".join([*lines, "names: *a11", "train: images"]))
    with _bounded(), pytest.raises(AnnotationError, match=r"data\.yaml: .*aliases"):
        open_dataset(tmp_path)
    (tmp_path / "data.yaml").write_text("names: " + "[" * 10_000 + "]" * 10_000)
    with pytest.raises(AnnotationError, match=r"data\.yaml: not YAML"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("outside", ["../secret.png", "/etc/passwd", "C:\\secret.png", "a/../../b"])
@pytest.mark.parametrize("name", ["coco", "lvis", "via", "cvat", "csv", "labelme", "yolo"])
def test_names_that_lead_out_of_the_folder_are_refused(
    tmp_path: Path, name: str, outside: str
) -> None:
    make(tmp_path / "source", ["simple"])
    Image.new("RGB", (53, 37)).save(tmp_path / "secret.png")
    convert(tmp_path / "source", tmp_path / "out", to=name)
    quoted = json.dumps(outside)[1:-1]
    file, old, new = {
        "cvat": ("annotations.xml", 'name="p1.png"', f'name="{outside}"'),
        "csv": ("annotations.csv", "p1.png", outside),
        "via": ("annotations.json", '"filename": "p1.png"', f'"filename": "{quoted}"'),
        "labelme": ("p1.json", '"imagePath": "p1.png"', f'"imagePath": "{quoted}"'),
        "yolo": ("data.yaml", "train: images", f"train: '{outside}'"),
    }.get(name, ("annotations.json", "p1.png", quoted))
    _replace(tmp_path / "out" / file, old, new)
    with pytest.raises(DataError, match=r"(out of|inside|missing|no such)"):
        open_dataset(tmp_path / "out")


def test_a_panoptic_map_outside_the_folder_is_refused(tmp_path: Path) -> None:
    write_panoptic(tmp_path / "data")
    Image.new("RGB", (53, 37)).save(tmp_path / "data" / "p1_map.png")
    _replace(tmp_path / "data" / "panoptic.json", '"p1_map.png"', '"../p1_map.png"')
    with pytest.raises(AnnotationError, match="leads out of"):
        open_dataset(tmp_path / "data")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that is no part of a dataset."""
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "elsewhere" / "p1.png"
    Image.new("RGB", (53, 37)).save(path)
    return path


@pytest.mark.parametrize("name", ["coco", "voc", "yolo", "labelme", "via", "masks", "cityscapes"])
def test_links_out_of_the_folder_are_followed_only_when_told(
    tmp_path: Path, name: str, outside: Path
) -> None:
    make(tmp_path / "source", ["simple"])
    convert(tmp_path / "source", tmp_path / "data", to=name)
    picture = next(
        p
        for p in sorted((tmp_path / "data").rglob("*p1*.png"))
        if not {"masks", "gtFine"} & set(p.parts)
    )
    picture.unlink()
    picture.symlink_to(outside)
    with pytest.raises(DataError, match=r"is a link out of .*follow_links=True \(--follow-links\)"):
        open_dataset(tmp_path / "data")
    dataset = open_dataset(tmp_path / "data", follow_links=True)
    assert any(not dataset.image(i).any() for i in range(len(dataset)))


def test_links_are_checked_for_a_json_too_and_for_folders_on_the_way(
    tmp_path: Path, outside: Path
) -> None:
    make(tmp_path / "data", ["simple"])
    pictures = tmp_path / "data" / "images"
    pictures.rename(tmp_path / "elsewhere" / "images")
    pictures.symlink_to(tmp_path / "elsewhere" / "images")
    path = tmp_path / "data" / "annotations.json"
    with pytest.raises(DataError, match=r"images: is a link out of"):
        open_dataset(path.parent)
    # the user who names a folder, or a link to one, has told us where to look
    assert len(open_dataset(path, images=pictures)) == 3
    assert len(open_dataset(path.parent, follow_links=True)) == 3
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(open_dataset(tmp_path / "link", follow_links=True)) == 3
    del outside


def test_links_that_stay_inside_and_a_linked_top_are_nothing_special(tmp_path: Path) -> None:
    make(tmp_path / "data", ["simple"])
    images = tmp_path / "data" / "images"
    (images / "p1.png").rename(images / "real.png")
    (images / "p1.png").symlink_to("real.png")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(open_dataset(tmp_path / "data")) == len(open_dataset(tmp_path / "link")) == 3


def test_a_link_that_leads_to_itself_is_an_error(tmp_path: Path) -> None:
    make(tmp_path / "data", ["simple"])
    picture = tmp_path / "data" / "images" / "p1.png"
    picture.unlink()
    picture.symlink_to(picture)
    for follow in (False, True):
        with pytest.raises(DataError, match=r"p1\.png"):
            open_dataset(tmp_path / "data", follow_links=follow)
    assert issubclass(ImageError, DataError)
    with pytest.raises(ImageError):
        look_at_picture(picture)
