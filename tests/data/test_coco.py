from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from rich.console import Console

from maskwright.data import open_annotations
from maskwright.data.coco import read_coco
from maskwright.errors import AnnotationError, ConfigError

Content = dict[str, Any]
Write = Callable[[Content], Path]


def _findings(dataset: Any) -> dict[tuple[str, str], int]:
    return {(f.action, f.reason): f.count for f in dataset.report.findings}


def test_classes_stand_in_the_order_of_their_ids(content: Content, write: Write) -> None:
    dataset = open_annotations(write(content))
    assert dataset.class_names == ("apple", "zebra")
    assert dataset.category_ids == (4, 90)
    assert dataset.labels.tolist() == [0, 1, 0]


@pytest.mark.filterwarnings("ignore:__array__")  # pycocotools 2.0 under NumPy 2
def test_every_form_of_segmentation_decodes_as_pycocotools_decodes_it(
    content: Content, write: Write
) -> None:
    dataset = open_annotations(write(content))
    by_id = {annotation["id"]: annotation for annotation in content["annotations"]}
    for i in range(len(dataset)):
        targets = dataset.targets(i)
        ids = dataset.annotation_ids[dataset.object_image == i]
        assert len(ids) == len(targets)
        assert targets.masks is not None
        for annotation_id, dense in zip(ids.tolist(), targets.masks.to_dense(), strict=True):
            segmentation = by_id[annotation_id]["segmentation"]
            coded = (
                coco_mask.merge(coco_mask.frPyObjects(segmentation, 8, 10))
                if isinstance(segmentation, list)
                else coco_mask.frPyObjects(segmentation, 8, 10)
                if isinstance(segmentation["counts"], list)
                else segmentation
            )
            np.testing.assert_array_equal(dense, coco_mask.decode(coded))


def test_what_goes_in_comes_out_to_the_last_bit(content: Content, write: Write) -> None:
    content["annotations"][0]["segmentation"][0][0] = 1.1 + 1e-15
    written = open_annotations(write(content)).to_coco()
    by_id = {annotation["id"]: annotation for annotation in written["annotations"]}
    assert by_id == {annotation["id"]: annotation for annotation in content["annotations"]}
    assert written["images"] == content["images"]
    assert written["categories"] == sorted(content["categories"], key=lambda c: c["id"])


def test_a_file_written_anew_reads_the_same(content: Content, write: Write, tmp_path: Path) -> None:
    first = open_annotations(write(content)).to_coco()
    (tmp_path / "again.json").write_text(json.dumps(first))
    assert open_annotations(tmp_path / "again.json").to_coco() == first


def test_pictures_without_objects_stay(content: Content, write: Write) -> None:
    dataset = open_annotations(write(content))
    assert dataset.file_names == ("a.png", "b.png", "c.png")
    assert dataset.report.num_images_without_objects == 1
    targets = dataset.targets(2)
    assert len(targets) == 0
    assert targets.masks is not None
    assert targets.masks.image_size == (8, 10)


def test_a_byte_order_mark_is_read_over(content: Content, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8-sig")
    assert len(open_annotations(tmp_path / "a.json")) == 3


def test_a_dataset_without_any_object_opens(content: Content, write: Write) -> None:
    content["annotations"] = []
    dataset = open_annotations(write(content))
    assert len(dataset.labels) == len(dataset.boxes) == 0
    assert dataset.to_coco()["annotations"] == []
    assert [len(dataset.targets(i)) for i in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("rule", "is_crowd", "finding"),
    [
        ("ignore", [True, False, False], None),
        ("object", [False] * 3, ("changed", 'a crowd, taken for an object (crowd="object")')),
        ("drop", [False] * 2, ("dropped", 'a crowd (crowd="drop")')),
    ],
)
def test_crowds_follow_the_rule_and_are_always_counted(
    content: Content, write: Write, rule: Any, is_crowd: list[bool], finding: Any
) -> None:
    dataset = open_annotations(write(content), crowd=rule)
    assert dataset.is_crowd.tolist() == is_crowd
    assert dataset.report.num_crowd == 1
    assert finding is None or _findings(dataset)[finding] == 1


def test_an_unknown_crowd_rule_is_refused(content: Content, write: Write) -> None:
    with pytest.raises(ConfigError, match='"ignore", "object" or "drop", got \'keep\''):
        read_coco(write(content), crowd="keep")  # type: ignore[arg-type]


def test_a_class_that_is_mostly_crowd_is_noted(content: Content, write: Write) -> None:
    content["annotations"][2]["iscrowd"] = 1
    report = open_annotations(write(content)).report
    assert any("most objects of a class" in f.reason for f in report.findings)
    assert "apple: 2 of 2" in str(report)


def test_official_areas_and_boxes_are_kept_beside_the_masks(content: Content, write: Write) -> None:
    dataset = open_annotations(write(content))
    assert dataset.areas.tolist() == [2.5, 12.0, 3.0]
    assert dataset.boxes.tolist()[0] == [1, 2, 2, 4]  # a pixel short, as COCO's crowd boxes are
    assert dataset.targets(0).boxes.tolist() == [[1, 2, 2, 5]]


def test_missing_boxes_areas_and_ids_are_filled_and_counted(content: Content, write: Write) -> None:
    polygon, coded, _ = content["annotations"]
    del polygon["bbox"], coded["area"], coded["id"]
    dataset = open_annotations(write(content))
    assert dataset.boxes.tolist()[1] == [1, 1, 5, 4]
    assert dataset.areas.tolist()[0] == 3
    assert dataset.annotation_ids.tolist() == [101, 100, 99]
    assert _findings(dataset) == {
        ("changed", "box or area missing: measured on the mask"): 2,
        ("changed", "id missing: numbered"): 1,
    }


def test_objects_without_segmentation_are_dropped_and_counted(
    content: Content, write: Write
) -> None:
    content["annotations"][0]["segmentation"] = []
    del content["annotations"][1]["segmentation"]
    dataset = open_annotations(write(content))
    assert dataset.annotation_ids.tolist() == [99]
    assert dataset.report.num_objects == 3
    assert dataset.report.num_dropped == 2
    assert "annotation 100 of picture 'b.png'" in str(dataset.report)


def test_a_file_of_boxes_alone_is_refused(content: Content, write: Write) -> None:
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    with pytest.raises(AnnotationError, match="none of its 3 annotations has a segmentation"):
        open_annotations(write(content))


@pytest.mark.parametrize(
    "segmentation",
    [
        [[2.0, 2.0, 2.2, 2.0, 2.2, 2.2]],  # between pixel centres
        [[1.0, 1.0, 7.0, 7.0, 4.0, 4.0]],  # a line
        [[30.0, 30.0, 40.0, 30.0, 40.0, 40.0]],  # outside
        {"size": [8, 10], "counts": [80]},
        {"size": [8, 10], "counts": "`2"},
    ],
)
def test_masks_without_pixels_are_kept_but_not_trained(
    content: Content, write: Write, segmentation: Any
) -> None:
    content["annotations"][0]["segmentation"] = segmentation
    dataset = open_annotations(write(content))
    assert dataset.is_empty.tolist() == [False, True, False]
    assert len(dataset.targets(1)) == 1
    assert len(dataset.to_coco()["annotations"]) == 3
    assert _findings(dataset) == {("dropped", "its mask has no pixel"): 1}


def test_emptiness_found_at_opening_is_the_emptiness_of_the_masks(
    content: Content, write: Write
) -> None:
    rng = np.random.default_rng(0)
    content["annotations"] = [
        {
            "id": i,
            "image_id": 7,
            "category_id": 4,
            "bbox": [0, 0, 1, 1],
            "area": 1,
            "segmentation": [
                (rng.uniform(-2, 11) + rng.normal(0, scale, 2 * rng.integers(3, 6))).tolist()
                for _ in range(rng.integers(1, 3))
            ],
        }
        for i, scale in enumerate(np.geomspace(0.05, 5, 400))
    ]
    dataset = open_annotations(write(content))
    for annotation, is_empty in zip(content["annotations"], dataset.is_empty, strict=True):
        coded = coco_mask.merge(coco_mask.frPyObjects(annotation["segmentation"], 8, 10))
        assert (coco_mask.area(coded) == 0) == is_empty
    assert 20 < dataset.is_empty.sum() < 380


def test_fields_that_are_not_cocos_are_noted(content: Content, write: Write) -> None:
    content["annotations"][0]["attributes"] = {"occluded": True}
    report = open_annotations(write(content)).report
    assert "field 'attributes' is not one of COCO's" in str(report)
    assert (report.num_changed, report.num_dropped) == (0, 0)


def test_a_box_may_reach_a_pixel_outside(content: Content, write: Write) -> None:
    content["annotations"][0]["bbox"] = [-1.0, 0.0, 12.0, 9.0]
    assert len(open_annotations(write(content)).labels) == 3


def _set(*path: Any, to: Any) -> Callable[[Content], None]:
    def bend(content: Content) -> None:
        entry: Any = content
        for key in path[:-1]:
            entry = entry[key]
        entry[path[-1]] = to

    return bend


def _remove(*path: Any) -> Callable[[Content], None]:
    def bend(content: Content) -> None:
        entry: Any = content
        for key in path[:-1]:
            entry = entry[key]
        del entry[path[-1]]

    return bend


OBJECT = "annotation 100 of picture 'b.png'"
POLYGON = ("annotations", 0, "segmentation")
RLE = {"size": [8, 10], "counts": "3:2S"}


@pytest.mark.parametrize(
    ("bend", "message"),
    [
        (_remove("images"), 'has no list "images"'),
        (_set("annotations", to={}), 'has no list "annotations"'),
        (_remove("categories"), 'has no list "categories"'),
        (_set("categories", to=[]), '"categories" is empty'),
        (_set("images", to=[]), '"images" is empty'),
        (_set("images", 0, to=3), "picture 0 of the list has no whole-number id"),
        (_set("images", 0, "id", to="7"), "picture 0 of the list has no whole-number id"),
        (_set("images", 1, "id", to=7), "picture id 7 is used twice, the second time by 'b.png'"),
        (_set("images", 1, "file_name", to="a.png"), "picture 'a.png' is listed twice"),
        (_remove("images", 0, "file_name"), "picture 7 has no file_name"),
        (_set("images", 0, "file_name", to="../a.png"), "'../a.png' leads out of"),
        (_set("images", 0, "file_name", to="/etc/a.png"), "'/etc/a.png' leads out of"),
        (_set("images", 0, "file_name", to="C:\\a.png"), "leads out of"),
        (_remove("images", 0, "height"), "'a.png' has no whole-number height and width"),
        (_set("images", 0, "width", to=0), "'a.png' is said to be 8 x 0"),
        (_set("images", 0, "width", to=10**12), "'a.png' is said to be 8 x 1000000000000"),
        (_set("categories", 0, to="zebra"), "category 0 of the list has no whole-number id"),
        (_remove("categories", 0, "name"), "category 90 has no name"),
        (_set("categories", 0, "id", to=4), r"category ids used twice: 4 \('zebra' and 'apple'\)"),
        (_set("categories", 0, "name", to="apple"), "names used twice: apple"),
        (_set("annotations", 0, to=[]), "annotation 0 of the list is not an object"),
        (_set("annotations", 0, "id", to="x"), "annotation id 'x' is not a whole number"),
        (_set("annotations", 0, "id", to=99), "annotation id 99 is used twice"),
        (_set("annotations", 0, "image_id", to=1), "annotation 100 is of picture 1, which is not"),
        (_set("annotations", 0, "image_id", to=[7]), "annotation 100 is of picture .7., which"),
        (_set("annotations", 0, "category_id", to=1), f"{OBJECT}: category 1 is not in"),
        (_set("annotations", 0, "iscrowd", to=2), f"{OBJECT}: iscrowd is 2"),
        (_set("annotations", 0, "area", to="1"), f"{OBJECT}: area is '1'"),
        (_set("annotations", 0, "area", to=float("nan")), f"{OBJECT}: area is nan"),
        (_set("annotations", 0, "area", to=-1.0), f"{OBJECT}: area is -1.0"),
        (_set("annotations", 0, "bbox", to=[1, 2, 3]), f"{OBJECT}: bbox is"),
        (
            _set("annotations", 0, "bbox", to=[1, 2, 3, "4"]),
            f"{OBJECT}: a coordinate .* not a number",
        ),
        (_set("annotations", 0, "bbox", 0, to=float("nan")), f"{OBJECT}: box .nan.* not finite"),
        (_set("annotations", 0, "bbox", 0, to=8), f"{OBJECT}: box .8, 1, 4, 3.* is not inside"),
        (_set("annotations", 0, "bbox", 1, to=-3), f"{OBJECT}: box .* is not inside the 10 pixels"),
        (_set("annotations", 0, "bbox", 2, to=-2), f"{OBJECT}: box .* is not inside"),
        (_set("annotations", 0, "bbox", to=[50, 50, 5, 5]), f"{OBJECT}: box .* is not inside"),
        (_set(*POLYGON, to="here"), f"{OBJECT}: the segmentation is a str"),
        (_set(*POLYGON, to=[1, 2, 3, 4, 5, 6]), f"{OBJECT}: .* one bracket short"),
        (_set(*POLYGON, 0, to=[1, 1, 2, 2]), f"{OBJECT}: a polygon has 2 points"),
        (_set(*POLYGON, 0, to=[]), f"{OBJECT}: a polygon has 0 points"),
        (_set(*POLYGON, to=[[1, 1, 5, 1, 5, 5], [1, 1]]), f"{OBJECT}: a polygon has 1 points"),
        (_set(*POLYGON, 0, to=[1, 2, 3, 4, 5, 6, 7]), f"{OBJECT}: .* odd number .*7"),
        (_set(*POLYGON, 0, 3, to=float("nan")), f"{OBJECT}: a polygon coordinate is nan"),
        (_set(*POLYGON, 0, 3, to=float("inf")), f"{OBJECT}: a polygon coordinate is inf"),
        (_set(*POLYGON, 0, 3, to="4"), f"{OBJECT}: a coordinate or a count is not a number"),
        (_set(*POLYGON, 0, 3, to=10**400), f"{OBJECT}: a coordinate or a count is not a number"),
        (_set(*POLYGON, to=RLE | {"size": [10, 8]}), f"{OBJECT}: .* size .10, 8., the picture is"),
        (_set(*POLYGON, to={"counts": "3"}), f"{OBJECT}: .* size None"),
        (_set(*POLYGON, to={"size": [8, 10]}), f"{OBJECT}: its run-length code has no counts"),
        (_set(*POLYGON, to=RLE | {"counts": ""}), f"{OBJECT}: its run-length code has no counts"),
        (_set(*POLYGON, to=RLE | {"counts": [3, 4]}), f"{OBJECT}: .*80, got a sum of 7"),
        (_set(*POLYGON, to=RLE | {"counts": [-3, 83]}), f"{OBJECT}: "),
        (_set(*POLYGON, to=RLE | {"counts": [10**30]}), f"{OBJECT}: .* is not a number"),
        (_set(*POLYGON, to=RLE | {"counts": [0.5, 79.5]}), f"{OBJECT}: .* is not a number"),
        (_set(*POLYGON, to=RLE | {"counts": "\u00e9"}), f"{OBJECT}: "),
        (_set(*POLYGON, to=RLE | {"counts": "zzzz"}), f"{OBJECT}: "),
    ],
)
def test_a_defect_is_an_error_naming_file_picture_and_annotation(
    content: Content, tmp_path: Path, bend: Callable[[Content], None], message: str
) -> None:
    bend(content)
    path = tmp_path / "bent.json"
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=f"bent.json: .*{message}"):
        open_annotations(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ('{"images": [', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\xff\xfe", "not JSON"),
        ("[]", "like COCO .results."),
        ("3", 'has no list "images"'),
        ('{"images": {}}', 'has no list "images"'),
    ],
)
def test_text_that_is_not_coco_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="latin-1")
    with pytest.raises(AnnotationError, match=rf"a\.json: .*{message}"):
        open_annotations(tmp_path / "a.json")


def test_mutated_files_are_read_or_refused_by_our_error(content: Content, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = [None, -1, 0, 2**70, 1.5, float("nan"), "x", [], [[]], {}, [[1]], True, {"size": 3}]
    path = tmp_path / "a.json"
    num_read = 0
    for _ in range(400):
        bent = copy.deepcopy(content)
        entry: Any = bent
        while True:
            keys = list(entry) if isinstance(entry, dict) else list(range(len(entry)))
            key = keys[rng.integers(len(keys))]
            if not isinstance(entry[key], dict | list) or not entry[key] or rng.random() < 0.1:
                break
            entry = entry[key]
        entry[key] = values[rng.integers(len(values))]
        path.write_text(json.dumps(bent))
        try:
            dataset = open_annotations(path)
        except AnnotationError:
            continue
        num_read += 1
        for i in range(len(dataset)):
            dataset.targets(i)
        json.dumps(dataset.to_coco())
    assert 20 < num_read < 380


def test_a_report_without_findings_is_its_line_and_no_empty_table(
    content: Content, write: Write
) -> None:
    content["annotations"] = []
    report = open_annotations(write(content)).report
    console = Console(width=400, file=io.StringIO(), record=True)
    console.print(report)
    assert console.export_text().strip() == str(report)
