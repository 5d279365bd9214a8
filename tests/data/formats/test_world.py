"""Exports as other tools write them, their pixels held against oracles that know nothing of us.

The files follow the tools' published descriptions of their formats: CVAT (XML annotation format
1.1 and its COCO export), Label Studio (task format, brush run lengths), LabelMe 5, VIA 2, Pascal
VOC, Cityscapes, YOLO's data.yaml and LVIS.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskwright.data import Dataset, open_dataset
from maskwright.data.report import ImportReport
from maskwright.errors import AnnotationError, ConfigError
from maskwright.masks.brush import encode_brush

pytestmark = pytest.mark.filterwarnings("ignore:__array__")  # pycocotools and NumPy 2

_H, _W = 90, 120


def _picture(path: Path, size: tuple[int, int] = (_H, _W)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1]).save(path)


def _dense(dataset: Dataset, i: int = 0) -> dict[str, np.ndarray]:
    """Masks of a picture by class name; every class once."""
    targets = dataset.targets(i)
    assert targets.masks is not None
    assert len(set(targets.names)) == len(targets)
    return dict(zip(targets.names, targets.masks.to_dense(), strict=True))


def _polygon(*rings: list[float]) -> np.ndarray:
    codes = coco_mask.frPyObjects(list(rings), _H, _W)
    decoded: np.ndarray = coco_mask.decode(coco_mask.merge(codes)).astype(bool)
    return decoded


def _ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float = 0.0) -> np.ndarray:
    """Pixel centres inside, by complex numbers: turned clockwise on a screen whose y runs down."""
    y, x = np.mgrid[:_H, :_W]
    place = (x + 0.5 - cx) + 1j * (y + 0.5 - cy)
    place = place * np.exp(-1j * np.radians(degrees))
    inside: np.ndarray = (place.real / rx) ** 2 + (place.imag / ry) ** 2 <= 1
    return inside


def _rectangle(cx: float, cy: float, width: float, height: float, degrees: float) -> np.ndarray:
    """Pixel centres inside a rectangle turned clockwise about its centre."""
    y, x = np.mgrid[:_H, :_W]
    place = ((x + 0.5 - cx) + 1j * (y + 0.5 - cy)) * np.exp(-1j * np.radians(degrees))
    inside: np.ndarray = (abs(place.real) <= width / 2) & (abs(place.imag) <= height / 2)
    return inside


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def _reasons(report: ImportReport) -> dict[str, int]:
    return {finding.reason: finding.count for finding in report.findings}


# ----------------------------------------------------------------------------------------- CVAT

_CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <{owner}>
      <id>4</id><name>parts</name><size>2</size><mode>annotation</mode><overlap>0</overlap>
      <created>2024-03-01 10:00:00+00:00</created>
      <labels>
        <label><name>box</name><color>#c06060</color><type>any</type><attributes>
          <attribute><name>worn</name><mutable>False</mutable><input_type>checkbox</input_type>
          <default_value>false</default_value><values>false</values></attribute>
        </attributes></label>
        <label><name>turned</name><type>rectangle</type></label>
        <label><name>poly</name><type>polygon</type></label>
        <label><name>round</name><type>ellipse</type></label>
        <label><name>brush</name><type>mask</type></label>
        <label><name>pair</name><type>polygon</type></label>
      </labels>
    </{owner}>
    <dumped>2024-03-02 10:00:00+00:00</dumped>
  </meta>
  <image id="0" name="lot 1/a.png" subset="default" task_id="4" width="120" height="90">
    <tag label="box" source="manual"></tag>
    <box label="box" source="manual" occluded="0" xtl="10.00" ytl="5.00" xbr="30.00" ybr="25.00"
      z_order="0"><attribute name="worn">true</attribute></box>
    <box label="turned" source="manual" occluded="0" xtl="50.0" ytl="20.0" xbr="90.0" ybr="40.0"
      rotation="30.0" z_order="1"></box>
    <polygon label="poly" source="manual" occluded="1"
      points="5.5,40.25;30.0,42.0;28.5,70.0;12.0,66.75" z_order="0"></polygon>
    <ellipse label="round" source="manual" occluded="0" cx="60.0" cy="60.5" rx="20.0" ry="9.0"
      rotation="325.0" z_order="0"></ellipse>
    <mask label="brush" source="semi-auto" occluded="0" rle="2, 3, 2, 5, 1, 5" left="100" top="70"
      width="6" height="3" z_order="0"></mask>
    <polygon label="pair" source="manual" occluded="0" group_id="3"
      points="95.0,5.0;110.0,5.0;110.0,12.0;95.0,12.0" z_order="0"></polygon>
    <polygon label="pair" source="manual" occluded="0" group_id="3"
      points="95.0,20.0;110.0,20.0;110.0,28.0;95.0,28.0" z_order="0"></polygon>
    <points label="box" source="manual" occluded="0" points="3.0,3.0" z_order="0"></points>
    <polyline label="poly" source="manual" occluded="0" points="1,1;9,9" z_order="0"></polyline>
  </image>
  <image id="1" name="lot 1/b.png" width="120" height="90"></image>
</annotations>
"""


@pytest.mark.parametrize("owner", ["task", "project", "job"])
def test_cvat_for_images_has_every_shape_with_an_area(tmp_path: Path, owner: str) -> None:
    for name in ("a.png", "b.png"):
        _picture(tmp_path / "images" / "lot 1" / name)
    (tmp_path / "annotations.xml").write_text(_CVAT.format(owner=owner))
    dataset = open_dataset(tmp_path)
    assert dataset.file_names == ("lot 1/a.png", "lot 1/b.png")
    found = _dense(dataset)
    np.testing.assert_array_equal(found["box"], _polygon([10, 5, 30, 5, 30, 25, 10, 25]))
    assert found["box"].sum() == 400
    poly = [5.5, 40.25, 30.0, 42.0, 28.5, 70.0, 12.0, 66.75]
    np.testing.assert_array_equal(found["poly"], _polygon(poly))
    np.testing.assert_array_equal(found["round"], _ellipse(60, 60.5, 20, 9, 325))
    assert found["round"].sum() == pytest.approx(np.pi * 20 * 9, rel=0.02)
    assert _iou(found["turned"], _rectangle(70, 30, 40, 20, 30)) > 0.96
    assert found["turned"].sum() == pytest.approx(800, rel=0.02)
    # Counts begin with background, row by row inside the box.
    flat = np.repeat([0, 1, 0, 1, 0, 1], [2, 3, 2, 5, 1, 5])
    brush = np.zeros((_H, _W), bool)
    brush[70:73, 100:106] = flat.reshape(3, 6)
    np.testing.assert_array_equal(found["brush"], brush)
    pair = _polygon([95, 5, 110, 5, 110, 12, 95, 12], [95, 20, 110, 20, 110, 28, 95, 28])
    np.testing.assert_array_equal(found["pair"], pair)
    assert _reasons(dataset.report) == {
        "a shape without area (points)": 1,
        "a shape without area (polyline)": 1,
    }


def test_cvat_for_video_says_what_to_export_instead(tmp_path: Path) -> None:
    (tmp_path / "annotations.xml").write_text(
        '<annotations><meta><task/></meta><track id="0" label="car"><box frame="0" xtl="1" ytl="1"'
        ' xbr="9" ybr="9" outside="0" occluded="0" keyframe="1"/></track></annotations>'
    )
    with pytest.raises(AnnotationError, match="video tracks; export it as 'CVAT for images'"):
        open_dataset(tmp_path)


def _cvat_coco(folder: Path, *, crowds: int, singles: int) -> Path:
    """CVAT's COCO export: polygons, and brush masks as uncompressed run lengths with iscrowd 1."""
    _picture(folder / "images" / "default" / "a.png")
    annotations: list[dict[str, Any]] = []
    for k in range(crowds + singles):
        dense = np.zeros((_H, _W), bool)
        dense[5 + k : 15 + k, 10 * k : 10 * k + 8] = True
        flat = dense.ravel(order="F")
        ends = np.append(np.flatnonzero(np.diff(flat)) + 1, flat.size)
        counts = np.diff(np.concatenate([[0], ends])).tolist()
        counts = counts if not flat[0] else [0, *counts]
        x, y = 10.0 * k, 5.0 + k
        ring = [x, y, x + 8, y, x + 8, y + 10, x, y + 10]
        is_brush = k < crowds
        annotations.append(
            {
                "id": k + 1,
                "image_id": 1,
                "category_id": 1,
                "segmentation": {"counts": counts, "size": [_H, _W]} if is_brush else [ring],
                "area": 80.0,
                "bbox": [x, y, 8.0, 10.0],
                "iscrowd": int(is_brush),
                "attributes": {"occluded": False},
            }
        )
    document = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "year": ""},
        "categories": [{"id": 1, "name": "leaf", "supercategory": ""}],
        "images": [
            {
                "id": 1,
                "width": _W,
                "height": _H,
                "file_name": "default/a.png",
                "license": 0,
                "flickr_url": "",
                "coco_url": "",
                "date_captured": 0,
            }
        ],
        "annotations": annotations,
    }
    path = folder / "annotations" / "instances_default.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(("crowds", "singles", "is_warned"), [(3, 1, True), (1, 3, False)])
def test_brush_masks_of_cvats_coco_export_are_counted_and_kept_by_one_word(
    tmp_path: Path, crowds: int, singles: int, is_warned: bool
) -> None:
    path = _cvat_coco(tmp_path, crowds=crowds, singles=singles)
    dataset = open_dataset(path)
    assert dataset.report.num_crowd == crowds
    assert f"{crowds}" in str(dataset.report)
    warning = [r for r in _reasons(dataset.report) if "marked as crowd" in r]
    assert bool(warning) is is_warned
    assert int(dataset.is_crowd.sum()) == crowds
    kept = open_dataset(path, crowd="object")
    assert int(kept.is_crowd.sum()) == 0
    assert kept.report.num_crowd == crowds
    masks = kept.targets(0).masks
    assert masks is not None
    oracle = [
        coco_mask.decode(
            coco_mask.merge(coco_mask.frPyObjects(segmentation, _H, _W))
            if isinstance(segmentation, list)
            else coco_mask.frPyObjects(segmentation, _H, _W)
        )
        for segmentation in (a["segmentation"] for a in json.loads(path.read_text())["annotations"])
    ]
    np.testing.assert_array_equal(masks.to_dense(), np.stack(oracle).astype(bool))
    assert len(open_dataset(path, crowd="drop").labels) == singles


# --------------------------------------------------------------------------------- Label Studio


def _bits_of_brush(mask: np.ndarray) -> list[int]:
    """Pack a mask as Label Studio does, with bit strings: runs of RGBA bytes, lengths of 16 bits.

    Our own encoder chooses shorter sizes; both are of the same stream format.
    """
    words = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    bits = f"{words.size:032b}" + f"{8 - 1:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    place = 0
    while place < words.size:
        end = place
        while end < words.size and words[end] == words[place] and end - place < 2**16:
            end += 1
        bits += "1" + "11" + f"{end - place - 1:016b}" + f"{words[place]:08b}"
        place = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def _mask_of_bits(code: list[int]) -> np.ndarray:
    """Unpack any brush code with a bit string: the oracle for our encoder."""
    bits = "".join(f"{byte:08b}" for byte in code)
    place = 0

    def take(length: int) -> int:
        nonlocal place
        place += length
        return int(bits[place - length : place], 2)

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        is_run = take(1)
        length = take(sizes[take(2)]) + 1
        values += [take(word)] * length if is_run else [take(word) for _ in range(length)]
    return np.array(values[3::4]) > 0


def _label_studio(folder: Path, brush: np.ndarray) -> Path:
    common = {
        "original_width": _W,
        "original_height": _H,
        "image_rotation": 0,
        "to_name": "image",
        "origin": "manual",
    }

    def region(kind: str, name: str, **value: Any) -> dict[str, Any]:
        return common | {
            "id": f"id-{name}",
            "from_name": "tool",
            "type": kind,
            "value": value | {kind: [name]},
        }

    result = [
        region("rectanglelabels", "plain", x=10.0, y=10.0, width=25.0, height=20.0, rotation=0),
        region("rectanglelabels", "turned", x=50.0, y=20.0, width=30.0, height=20.0, rotation=25.0),
        region("ellipselabels", "round", x=50.0, y=70.0, radiusX=20.0, radiusY=10.0, rotation=40),
        region(
            "polygonlabels", "poly", points=[[5, 50], [20, 55], [18.5, 80], [6, 75]], closed=True
        ),
        region("brushlabels", "brush", format="rle", rle=_bits_of_brush(brush)),
        region("keypointlabels", "point", x=3.0, y=3.0, width=0.5),
        {
            "from_name": "quality",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": ["a"]},
        },
    ]
    tasks = [
        {
            "id": 7,
            "data": {"image": "/data/upload/3/0a1b2c3d-a.png"},
            "annotations": [
                {"id": 1, "was_cancelled": True, "result": []},
                {"id": 2, "was_cancelled": False, "ground_truth": False, "result": result},
            ],
            "predictions": [],
            "meta": {},
        },
        {
            "id": 8,
            "data": {"image": "/data/local-files/?d=photos/b.png"},
            "annotations": [{"id": 3, "was_cancelled": False, "result": []}],
        },
    ]
    _picture(folder / "images" / "a.png")
    _picture(folder / "images" / "b.png")
    path = folder / "project-3-at-2024.json"
    path.write_text(json.dumps(tasks))
    return path


def test_label_studio_has_every_region_with_an_area(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    brush = rng.random((_H, _W)) < 0.3
    dataset = open_dataset(_label_studio(tmp_path, brush))
    assert dataset.file_names == ("a.png", "b.png")
    found = _dense(dataset)
    np.testing.assert_array_equal(found["brush"], brush)
    np.testing.assert_array_equal(found["plain"], _polygon([12, 9, 42, 9, 42, 27, 12, 27]))
    np.testing.assert_array_equal(found["round"], _ellipse(60, 63, 24, 9, 40))
    ring = [6, 45, 24, 49.5, 22.2, 72, 7.2, 67.5]
    np.testing.assert_array_equal(found["poly"], _polygon(ring))
    # Turned about its first corner (60, 18): the centre moves along.
    centre = complex(60, 18) + complex(18, 9) * np.exp(1j * np.radians(25))
    expected = _rectangle(centre.real, centre.imag, 36, 18, 25)
    assert _iou(found["turned"], expected) > 0.96
    assert found["turned"].sum() == pytest.approx(36 * 18, rel=0.02)
    assert _reasons(dataset.report) == {"a region without area (keypointlabels)": 1}


def test_our_brush_codes_are_read_by_another_decoder() -> None:
    rng = np.random.default_rng(1)
    for share in (0.0, 0.05, 0.5, 1.0):
        mask = rng.random((_H, _W)) < share
        decoded = _mask_of_bits(encode_brush(mask).tolist())
        np.testing.assert_array_equal(decoded.reshape(_H, _W), mask)


def test_label_studios_coco_export_is_coco(tmp_path: Path) -> None:
    _picture(tmp_path / "images" / "0a1b2c3d-a.png")
    ring = [5, 40, 30, 42, 28, 70, 12, 66]
    document = {
        "images": [{"width": _W, "height": _H, "id": 0, "file_name": "images/0a1b2c3d-a.png"}],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
        "annotations": [
            {
                "id": 0,
                "image_id": 0,
                "category_id": 1,
                "segmentation": [ring],
                "bbox": [5.0, 40.0, 25.0, 30.0],
                "ignore": 0,
                "iscrowd": 0,
                "area": 583.0,
            }
        ],
        "info": {"year": 2024, "version": "1.0", "contributor": "Label Studio"},
    }
    (tmp_path / "result.json").write_text(json.dumps(document))
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("cat", "dog")
    np.testing.assert_array_equal(_dense(dataset)["dog"], _polygon(ring))


# -------------------------------------------------------------------------------------- LabelMe


def test_labelme_has_every_shape_with_an_area_and_joins_groups(tmp_path: Path) -> None:
    bitmap = np.random.default_rng(0).random((12, 20)) < 0.5
    buffer = io.BytesIO()
    Image.fromarray((bitmap * 255).astype(np.uint8)).save(buffer, "PNG")

    def shape(kind: str, label: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
        common = {"group_id": None, "description": "", "flags": {}, "mask": None}
        return common | {"label": label, "shape_type": kind, "points": points} | more

    shapes = [
        shape("polygon", "poly", [[5.5, 40.0], [30.0, 42.0], [28.0, 70.5]]),
        shape("rectangle", "box", [[40.0, 30.0], [20.0, 10.0]]),
        shape("circle", "disc", [[70.0, 30.0], [82.0, 21.0]]),
        shape(
            "mask",
            "paint",
            [[95.0, 60.0], [114.0, 71.0]],
            mask=base64.b64encode(buffer.getvalue()).decode(),
        ),
        shape("polygon", "bird", [[40, 60], [50, 60], [50, 70], [40, 70]], group_id=1),
        shape("circle", "bird", [[60.0, 75.0], [65.0, 75.0]], group_id=1),
        shape("linestrip", "wire", [[1, 1], [5, 5], [9, 2]]),
        shape("line", "wire", [[1, 1], [5, 5]]),
        shape("point", "tip", [[1, 1]]),
    ]
    document = {
        "version": "5.4.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": _H,
        "imageWidth": _W,
    }
    _picture(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps(document))
    dataset = open_dataset(tmp_path)
    found = _dense(dataset)
    np.testing.assert_array_equal(found["poly"], _polygon([5.5, 40, 30, 42, 28, 70.5]))
    np.testing.assert_array_equal(found["box"], _polygon([40, 30, 20, 30, 20, 10, 40, 10]))
    np.testing.assert_array_equal(found["disc"], _ellipse(70, 30, 15, 15))
    assert found["disc"].sum() == pytest.approx(np.pi * 15**2, rel=0.02)
    paint = np.zeros((_H, _W), bool)
    paint[60:72, 95:115] = bitmap
    np.testing.assert_array_equal(found["paint"], paint)
    bird = _polygon([40, 60, 50, 60, 50, 70, 40, 70]) | _ellipse(60, 75, 5, 5)
    np.testing.assert_array_equal(found["bird"], bird)
    assert _reasons(dataset.report) == {
        "a shape without area (linestrip)": 1,
        "a shape without area (line)": 1,
        "a shape without area (point)": 1,
    }


# ------------------------------------------------------------------------------------------ VIA


@pytest.mark.parametrize("form", ["bare", "project", "numbered regions"])
def test_via_has_every_region_with_an_area(tmp_path: Path, form: str) -> None:
    shapes: dict[str, dict[str, Any]] = {
        "poly": {
            "name": "polygon",
            "all_points_x": [5, 30, 28, 12],
            "all_points_y": [40, 42, 70, 66],
        },
        "box": {"name": "rect", "x": 20, "y": 10, "width": 30, "height": 12},
        "disc": {"name": "circle", "cx": 70, "cy": 30, "r": 14.5},
        "round": {"name": "ellipse", "cx": 85, "cy": 65, "rx": 22, "ry": 8, "theta": 0.6},
        "tip": {"name": "point", "cx": 3, "cy": 4},
        "wire": {"name": "polyline", "all_points_x": [1, 9, 5], "all_points_y": [1, 9, 3]},
    }
    regions: Any = [
        {"shape_attributes": shape, "region_attributes": {"type": name}}
        for name, shape in shapes.items()
    ]
    if form == "numbered regions":
        regions = {str(i): region for i, region in enumerate(regions)}
    entry = {"filename": "a.png", "size": 351, "regions": regions, "file_attributes": {}}
    content: dict[str, Any] = {"a.png351": entry}
    if form == "project":
        content = {
            "_via_settings": {"project": {"name": "p"}},
            "_via_img_metadata": content,
            "_via_attributes": {"region": {"type": {"type": "text"}}, "file": {}},
        }
    _picture(tmp_path / "a.png")
    (tmp_path / "via.json").write_text(json.dumps(content))
    found = _dense(open_dataset(tmp_path))
    assert found.keys() == {"poly", "box", "disc", "round"}
    np.testing.assert_array_equal(found["poly"], _polygon([5, 40, 30, 42, 28, 70, 12, 66]))
    np.testing.assert_array_equal(found["box"], _polygon([20, 10, 50, 10, 50, 22, 20, 22]))
    np.testing.assert_array_equal(found["disc"], _ellipse(70, 30, 14.5, 14.5))
    np.testing.assert_array_equal(found["round"], _ellipse(85, 65, 22, 8, np.degrees(0.6)))
    assert found["round"].sum() == pytest.approx(np.pi * 22 * 8, rel=0.02)


# -------------------------------------------------------------------------- VOC and Cityscapes


def test_voc_counts_pixels_from_one_and_takes_objects_from_its_map(tmp_path: Path) -> None:
    object_map = np.zeros((_H, _W), np.uint8)
    object_map[10:30, 20:50], object_map[40:80, 60:100] = 1, 2
    object_map[9, 20:50] = object_map[39, 60:100] = 255  # void borders
    objects = "".join(
        f"<object><name>{name}</name><pose>Left</pose><truncated>0</truncated>"
        f"<difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, difficult, x1, y1, x2, y2 in [
            ("dog", 0, 21, 11, 50, 30),
            ("person", 1, 61, 41, 100, 80),
        ]
    )
    for stem in ("2007_000001", "2007_000002"):
        _picture(tmp_path / "JPEGImages" / f"{stem}.jpg")
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"{stem}.xml").write_text(
            f"<annotation><folder>VOC2007</folder><filename>{stem}.jpg</filename><size>"
            f"<width>{_W}</width><height>{_H}</height><depth>3</depth></size>"
            f"<segmented>1</segmented>{objects}</annotation>"
        )
    (tmp_path / "SegmentationObject").mkdir()
    indexed = Image.fromarray(object_map).convert("P")
    indexed.putdata(object_map.ravel().tolist())
    indexed.save(tmp_path / "SegmentationObject" / "2007_000001.png")
    dataset = open_dataset(tmp_path)
    with_map, boxes_only = _dense(dataset, 0), _dense(dataset, 1)
    np.testing.assert_array_equal(with_map["dog"], object_map == 1)
    np.testing.assert_array_equal(with_map["person"], object_map == 2)
    np.testing.assert_array_equal(boxes_only["dog"], object_map == 1)  # its map is its box
    assert dataset.is_crowd.sum() == 2  # difficult
    assert _reasons(dataset.report)["a box only: its mask is the box"] == 2


def test_cityscapes_codes_class_and_number_in_one_value(tmp_path: Path) -> None:
    ids = np.zeros((_H, _W), np.uint16)
    ids[:20], ids[30:50, 10:40], ids[30:50, 50:80] = 23, 26_000, 26_001  # sky, two cars
    ids[60:80, 10:30], ids[60:80, 60:110] = 24_000, 24  # a person, a group of persons
    stem = "aachen_000000_000019"
    _picture(tmp_path / "leftImg8bit" / "train" / "aachen" / f"{stem}_leftImg8bit.png")
    maps = tmp_path / "gtFine" / "train" / "aachen"
    maps.mkdir(parents=True)
    Image.fromarray(ids).save(maps / f"{stem}_gtFine_instanceIds.png")
    dataset = open_dataset(tmp_path)
    targets = dataset.targets(0)
    assert targets.masks is not None
    assert targets.is_crowd is not None
    found = sorted(
        (name, bool(crowd), int(area))
        for name, crowd, area in zip(
            targets.names, targets.is_crowd.tolist(), targets.masks.area.tolist(), strict=True
        )
    )
    assert found == [
        ("car", False, 600),
        ("car", False, 600),
        ("person", False, 400),
        ("person", True, 1000),
    ]
    assert len(dataset.class_names) == 10  # with caravan and trailer, which are not scored


# --------------------------------------------------------------------------- YOLO and LVIS


_YAMLS = {
    "list of names": "train: images/train\nval: images/val\nnames: [cat, dog]\n",
    "names by number": "path: .\ntrain: images/train\nval: images/val\nnames: {0: cat, 1: dog}\n",
    "count beside names": "train: ./images/train\nval: ./images/val\nnc: 2\nnames: [cat, dog]\n",
    "path of another machine": (
        "path: /home/me/datasets/pets\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n"
    ),
    "counts from above": "train: ../images/train\nval: ../images/val\nnames: [cat, dog]\n",
    "list of folders": "train: [images/train, images/val]\nval: images/val\nnames: [cat, dog]\n",
    "texts that list": "train: train.txt\nval: val.txt\ntest:\nnames: [cat, dog]\n",
}


@pytest.mark.parametrize("form", _YAMLS)
def test_yolos_yaml_in_all_its_forms(tmp_path: Path, form: str) -> None:
    for split in ("train", "val"):
        _picture(tmp_path / "images" / split / f"{split}.jpg")
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / f"{split}.txt").write_text(f"./images/{split}/{split}.jpg\n")
    ring = np.array([[5, 40], [30, 42], [28, 70], [12, 66]]) / [_W, _H]
    line = " ".join(f"{value:.6f}" for value in ring.ravel())
    (tmp_path / "labels" / "train" / "train.txt").write_text(f"1 {line}\n0 0.5 0.5 0.25 0.2\n")
    (tmp_path / "data.yaml").write_text(_YAMLS[form])
    dataset = open_dataset(tmp_path)
    assert sorted(dataset.file_names) == ["images/train/train.jpg", "images/val/val.jpg"]
    assert dataset.class_names == ("cat", "dog")
    found = _dense(dataset, dataset.file_names.index("images/train/train.jpg"))
    assert _iou(found["dog"], _polygon([5, 40, 30, 42, 28, 70, 12, 66])) > 0.99
    np.testing.assert_array_equal(found["cat"], _polygon([45, 36, 75, 36, 75, 54, 45, 54]))


def test_a_part_of_a_yolo_or_cityscapes_dataset_is_opened_by_its_name(tmp_path: Path) -> None:
    for part in ("train", "val"):
        _picture(tmp_path / "yolo" / "images" / part / f"{part}.jpg")
        stem = tmp_path / "city" / "leftImg8bit" / part / "ulm" / f"{part}_leftImg8bit.png"
        _picture(stem)
        maps = tmp_path / "city" / "gtFine" / part / "ulm"
        maps.mkdir(parents=True)
        ids = np.full((_H, _W), 26_000, np.uint16)
        Image.fromarray(ids).save(maps / f"{part}_gtFine_instanceIds.png")
    (tmp_path / "yolo" / "data.yaml").write_text(_YAMLS["list of names"])
    assert open_dataset(tmp_path / "yolo", split="val").file_names == ("images/val/val.jpg",)
    city = open_dataset(tmp_path / "city", split="train")
    assert city.file_names == ("train/ulm/train_leftImg8bit.png",)
    with pytest.raises(AnnotationError, match="has no part 'test'; it has train, val"):
        open_dataset(tmp_path / "yolo", split="test")
    with pytest.raises(AnnotationError, match="has no part 'test'; it has train, val"):
        open_dataset(tmp_path / "city", split="test")
    _cvat_coco(tmp_path / "coco", crowds=0, singles=1)
    with pytest.raises(ConfigError, match="COCO json names no parts"):
        open_dataset(tmp_path / "coco", split="train")


def test_lvis_finds_its_pictures_by_their_addresses(tmp_path: Path) -> None:
    _picture(tmp_path / "train2017" / "000000000009.jpg")
    ring = [5, 40, 30, 42, 28, 70, 12, 66]
    second = [50, 10, 80, 10, 80, 30]
    document = {
        "info": {"version": "v1.0"},
        "images": [
            {
                "id": 9,
                "height": _H,
                "width": _W,
                "license": 1,
                "coco_url": "http://images.cocodataset.org/train2017/000000000009.jpg",
                "neg_category_ids": [3],
                "not_exhaustive_category_ids": [7],
            }
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 9,
                "category_id": 7,
                "segmentation": [ring, second],
                "area": 900.0,
                "bbox": [5.0, 10.0, 75.0, 60.0],
            }
        ],
        "categories": [
            {
                "id": 7,
                "name": "aerosol_can",
                "synset": "aerosol.n.02",
                "synonyms": ["aerosol_can", "spray_can"],
                "def": "a dispenser",
                "frequency": "c",
                "image_count": 64,
                "instance_count": 109,
            },
            {"id": 3, "name": "aardvark", "synset": "aardvark.n.01", "frequency": "r"},
        ],
    }
    (tmp_path / "lvis_v1_train.json").write_text(json.dumps(document))
    dataset = open_dataset(tmp_path)
    assert dataset.file_names == ("train2017/000000000009.jpg",)
    assert dataset.category_ids == (3, 7)
    np.testing.assert_array_equal(_dense(dataset)["aerosol_can"], _polygon(ring, second))
