from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.errors import AnnotationError, DataError
from maskwright.evaluation import evaluate
from maskwright.evaluation.truth import load_truth, read_truth

SQUARE = [[2.0, 2.0, 8.0, 2.0, 8.0, 8.0, 2.0, 8.0]]


def _truth(**changes: Any) -> dict[str, Any]:
    annotation = {"id": 31, "image_id": 1, "category_id": 1, "segmentation": SQUARE} | changes
    return {
        "images": [{"id": 1, "height": 10, "width": 12, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "coin"}],
        "annotations": [{key: value for key, value in annotation.items() if value is not None}],
    }


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"image_id": 9},
            "truth: annotation 31 of picture 9: image_id 9 is not among the file's images",
        ),
        ({"image_id": [1]}, r"image_id \[1\] is not among"),
        (
            {"category_id": 9},
            "annotation 31 of picture 'a.png': category_id 9 is not among the file's categories",
        ),
        ({"segmentation": None}, "annotation 31 of picture 'a.png' has no segmentation"),
        (
            {"segmentation": [[1, 2, 3, 4]]},
            "annotation 31 of picture 'a.png': a polygon needs at least three",
        ),
        ({"segmentation": [[1, 2, 3, 4, float("nan"), 6]]}, "must be 6 finite numbers"),
        ({"segmentation": [["1", "2", 3, 4, 5, 6]]}, "must be 6 finite numbers"),
        ({"segmentation": {"size": [12, 10], "counts": [120]}}, r"of size \[12, 10\]"),
        ({"segmentation": {"size": [10, 12], "counts": [7]}}, "annotation 31 of picture 'a.png': "),
        ({"bbox": [0, 0, 1]}, "annotation 31 of picture 'a.png': bbox must be 4 finite numbers"),
        ({"area": float("nan")}, "annotation 31 of picture 'a.png': area must be 1 finite numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_faulty_annotation_is_named(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(AnnotationError, match=match):
        evaluate([], _truth(**changes), kinds=("segm",))


def test_an_annotation_without_box_and_mask_is_refused() -> None:
    with pytest.raises(
        AnnotationError, match=r"annotation 31 of picture 'a\.png' has neither bbox"
    ):
        evaluate([], _truth(segmentation=None), kinds=("bbox",))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "truth.json: not json, or truncated"),
        ("[]", "truth must be a COCO dataset .* are predictions and truth swapped"),
        ('{"shapes": []}', r"truth.json: a COCO dataset has a list 'images', .*\['shapes'\]"),
        (
            '{"images": [{"id": 1}, {"id": 1}], "annotations": [], "categories": []}',
            "the picture id 1 is given twice",
        ),
        (
            '{"images": [{"id": 1}, {"id": "1"}], "annotations": [], "categories": []}',
            "some picture ids are numbers and some are text",
        ),
        ('{"images": [], "annotations": [], "categories": [{}]}', "a category without an id"),
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, content: str, match: str) -> None:
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(DataError, match=match):
        evaluate([], tmp_path / "truth.json")
    with pytest.raises(DataError, match=r"absent.json: cannot be read"):
        evaluate([], tmp_path / "absent.json")


def test_a_picture_of_unknown_size_is_refused_only_where_masks_are_scored() -> None:
    truth = _truth(bbox=[2, 2, 6, 6], area=36)
    del truth["images"][0]["height"]
    with pytest.raises(AnnotationError, match="does not say height and width"):
        evaluate([], truth, kinds=("segm",))
    assert evaluate([], truth, kinds=("bbox",))["bbox"]["AP"] == 0


def test_official_areas_and_boxes_are_kept_and_missing_ones_read_off_the_mask() -> None:
    kept = read_truth(load_truth(_truth(bbox=[1, 2, 3, 4], area=77.5)), need_masks=True).objects
    assert (kept.boxes.tolist(), kept.areas.tolist()) == ([[1, 2, 3, 4]], [77.5])
    filled = read_truth(load_truth(_truth()), need_masks=True).objects
    assert (filled.boxes.tolist(), filled.areas.tolist()) == ([[2, 2, 6, 6]], [36])
    box_only = read_truth(
        load_truth(_truth(segmentation=None, bbox=[1, 2, 3, 4])), need_masks=False
    ).objects
    assert box_only.areas.tolist() == [12]


def test_truth_without_any_mask_is_scored_by_box_and_a_note_says_so() -> None:
    metrics = evaluate([], _truth(segmentation=None, bbox=[1, 2, 3, 4]))
    assert list(metrics.numbers) == ["bbox"]
    assert "There are no masks in truth, so boxes alone are scored." in metrics.notes


def test_pictures_and_classes_are_ordered_by_id_and_names_made_unique() -> None:
    truth = {
        "images": [{"id": 5}, {"id": 2}],
        "categories": [{"id": 9, "name": "nut"}, {"id": 4, "name": "nut"}, {"id": 6}],
        "annotations": [],
    }
    read = read_truth(load_truth(truth), need_masks=True)
    assert read.image_ids == (2, 5)
    assert read.category_ids == (4, 6, 9)
    assert read.class_names == ("nut (id 4)", "6", "nut (id 9)")
    assert len(read.objects) == 0
    assert read.objects.boxes.dtype == np.float64


def test_truth_may_be_a_folder(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (12, 10)).save(tmp_path / "a.png")
    (tmp_path / "annotations.json").write_text(json.dumps(_truth(bbox=[2, 2, 6, 6], area=36)))
    assert evaluate([], tmp_path)["segm"]["AP"] == 0


@pytest.mark.parametrize("box", [[-3, 2, 6, 6], [2, 2, 12, 6], [2, 2, 6, 9.5], [2, 2, -1, 6]])
def test_a_box_beyond_the_picture_is_refused_as_by_an_import(box: list[float]) -> None:
    with pytest.raises(
        AnnotationError, match=r"bbox.*is not inside the 12 pixels wide and 10 high"
    ):
        evaluate([], _truth(bbox=box, area=36))
