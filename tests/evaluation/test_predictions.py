from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskwright.errors import EvaluationError
from maskwright.evaluation import coco_results, evaluate
from maskwright.evaluation.prediction_sources import load_results
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.truth import load_truth, read_truth
from maskwright.masks import Masks
from maskwright.structures import Instances


def _square(size: tuple[int, int] = (40, 50), x: int = 10) -> dict[str, Any]:
    mask = np.zeros(size, np.uint8, order="F")
    mask[5:20, x : x + 20] = 1
    rle = coco_mask.encode(mask)
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def _truth() -> dict[str, Any]:
    return {
        "images": [
            {"id": 1, "height": 40, "width": 50, "file_name": "plates/a.png"},
            {"id": 2, "height": 40, "width": 50, "file_name": "plates/b.png"},
        ],
        "categories": [{"id": 5, "name": "coin"}, {"id": 9, "name": "button"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 5, "segmentation": _square()},
            {"id": 2, "image_id": 2, "category_id": 9, "segmentation": _square()},
        ],
    }


def _result(**changes: Any) -> dict[str, Any]:
    entry = {"image_id": 1, "category_id": 5, "segmentation": _square(), "score": 0.5} | changes
    return {key: value for key, value in entry.items() if value is not None}


def _refuse(match: str, *results: Any, kinds: Any = ("segm",)) -> None:
    with pytest.raises(EvaluationError, match=match):
        evaluate(list(results), _truth(), kinds=kinds)


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        (
            _result(image_id=7),
            r"entry 1 of picture 7: image_id 7 is no picture of truth. Its 2 ids go from 1",
        ),
        (
            _result(image_id="1"),
            "entry 1 of picture '1': image_id '1' is no picture .* There it is a number",
        ),
        (_result(image_id=[1]), r"image_id \[1\] is no picture of truth"),
        (_result(category_id={}), "category_id {} is no class of truth"),
        (_result(image_id=None), "entry 1: it has neither image_id nor file_name"),
        (_result(file_name="plates/aa.png"), r"no picture of truth. Did you mean 'plates/a.png'\?"),
        (_result(category_id=1), r"category_id 1 is no class of truth \(5 = coin, 9 = button\)"),
        (_result(category_id=None), "it has neither category_id nor category_name"),
        (_result(category_name="coins"), r"category_name 'coins' is no class .* mean 'coin'\?"),
        (
            _result(score=None),
            "entry 1 of picture 1: score must be a finite number from 0 up, got None",
        ),
        (_result(score=float("nan")), "entry 1 of picture 1: score must be .*, got nan"),
        (_result(score=-0.1), "entry 1 of picture 1: score must be .*, got -0.1"),
        (_result(score="high"), "entry 1 of picture 1: score must be .*, got 'high'"),
        (_result(bbox=[1, 2, 3]), r"bbox \(x, y, width, height\) must be 4 finite numbers"),
        (_result(bbox=[1, 2, float("inf"), 3]), "bbox .* must be 4 finite numbers"),
        (_result(bbox=[30, 30, -5, 3]), "negative width or height, .* is it x1, y1, x2, y2"),
        (_result(bbox=7), "bbox .* must be 4 finite numbers, got 7"),
        (
            _result(segmentation=None),
            r"entry 1 of picture 1 has no segmentation, .* kinds=\('bbox',\)",
        ),
        (_result(segmentation=_square((50, 40))), r"of size \[50, 40\], its picture of \[40, 50\]"),
        (_result(segmentation={"size": [40, 50]}), "needs counts"),
        (_result(segmentation={"size": [40, 50], "counts": [3, 4]}), "entry 1 of picture 1: "),
        (_result(segmentation={"size": [40, 50], "counts": "zzz"}), "entry 1 of picture 1: "),
        (_result(segmentation=[[1, 2, 3, 4]]), "at least three x, y pairs"),
        (_result(segmentation="mask.png"), "a run-length encoding or a list of polygons"),
        (["not", "a", "result"], "entry 1 must be a result, a json object, got"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_faulty_entry_is_named_with_the_remedy(entry: Any, match: str) -> None:
    _refuse(match, _result(), entry)


def test_an_entry_without_box_and_mask_is_refused() -> None:
    _refuse(
        "entry 0 of picture 1 has neither bbox nor segmentation",
        _result(segmentation=None),
        kinds=["bbox"],
    )


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("[{", "results.json: not json, or truncated"),
        ('{"images": []}', "must be a json list of results, got a json dict: .* swapped"),
        (
            json.dumps([_result(), _result(image_id=4)]),
            "results.json: entry 1 of picture 4: image_id 4",
        ),
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, content: str, match: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(EvaluationError, match=match):
        evaluate(tmp_path / "results.json", _truth())
    with pytest.raises(EvaluationError, match=r"absent.json: cannot be read"):
        evaluate(tmp_path / "absent.json", _truth())


def test_pictures_match_by_file_name_and_classes_by_name() -> None:
    by_id = [_result(), _result(image_id=2, category_id=9)]
    by_name = [
        _result(image_id=77, file_name="plates/a.png", category_id=1, category_name="coin"),
        _result(image_id=None, file_name="/elsewhere/b.png", category_id=5, category_name="button"),
    ]
    assert evaluate(by_name, _truth()).as_dict() == evaluate(by_id, _truth()).as_dict()


def test_a_short_file_name_of_two_pictures_is_no_match() -> None:
    truth = _truth()
    truth["images"][1]["file_name"] = "trays/a.png"
    with pytest.raises(EvaluationError, match=r"file_name 'a.png' is no picture"):
        evaluate([_result(file_name="a.png")], truth)


@pytest.mark.parametrize("first", ["box first", "mask first"])
def test_boxes_and_areas_are_those_of_load_res(first: str, oracle) -> None:
    with_box = _result(bbox=[1.25, 2.5, 30, 8.5])
    without = _result(image_id=2, segmentation=_square(x=3))
    results = [with_box, without] if first == "box first" else [without, with_box]
    true = read_truth(load_truth(_truth()), need_masks=True)
    found = read_predictions(load_results(results), true, need_masks=True)
    boxes = {"box": [1.25, 2.5, 30, 8.5], "mask": [3, 5, 20, 15]}
    areas = {"box first": [30 * 8.5, 300], "mask first": [300, 300]}
    order = ["box", "mask"] if first == "box first" else ["mask", "box"]
    assert found.boxes.tolist() == [boxes[one] for one in order]
    assert found.areas.tolist() == areas[first]


def test_predictions_without_any_mask_are_scored_by_box_and_a_note_says_so() -> None:
    boxes_only = [_result(segmentation=None, bbox=[10, 5, 20, 15])]
    metrics = evaluate(boxes_only, _truth())
    assert list(metrics.numbers) == ["bbox"]
    assert metrics["bbox"]["AP50"] == pytest.approx(0.5)
    assert metrics.notes == ("There are no masks in predictions, so boxes alone are scored.",)
    assert evaluate(boxes_only, _truth(), kinds=("bbox",)).notes == ()


def test_one_mask_missing_among_others_is_no_reason_to_leave_masks_out() -> None:
    with pytest.raises(EvaluationError, match="entry 1 of picture 1 has no segmentation"):
        evaluate([_result(), _result(segmentation=None, bbox=[10, 5, 20, 15])], _truth())


def test_polygons_are_read_as_pycocotools_draws_them() -> None:
    ring = [[10.2, 5.1, 30.0, 5.0, 30.3, 19.6, 10.0, 20.0]]
    rle = coco_mask.merge(coco_mask.frPyObjects(ring, 40, 50))
    rle["counts"] = rle["counts"].decode()
    drawn = [_result(segmentation=rle), _result(image_id=2, category_id=9)]
    polygons = [_result(segmentation=ring), drawn[1]]
    assert evaluate(polygons, _truth()).as_dict() == evaluate(drawn, _truth()).as_dict()


def test_run_lengths_are_read_as_text_bytes_or_numbers() -> None:
    text = _square()
    as_bytes = text | {"size": (40, 50), "counts": text["counts"].encode()}
    as_numbers = Masks.from_rle([text]).to_uncompressed_rle()[0]
    assert isinstance(as_numbers["counts"], list)
    expected = evaluate([_result()], _truth()).as_dict()
    for segmentation in (as_bytes, as_numbers):
        found = [_result(segmentation=segmentation, score=np.float32(0.5))]
        assert evaluate(found, _truth()).as_dict() == expected


def test_an_empty_mask_is_a_wrong_prediction_and_no_error() -> None:
    empty = {"size": [40, 50], "counts": [2000]}
    metrics = evaluate([_result(segmentation=empty, score=0.9), _result()], _truth())
    for kind in ("bbox", "segm", "boundary"):
        assert metrics[kind]["AP50"] == pytest.approx(0.25)


def _instances(**known: Any) -> Instances:
    mask = np.zeros((2, 40, 50), bool)
    mask[0, 5:20, 10:30] = True
    mask[1, 0:9, 0:9] = True
    return Instances(
        image_size=(40, 50),
        boxes=torch.tensor([[10.0, 5, 30, 20], [0, 0, 9, 9]]),
        labels=torch.tensor([1, 0]),
        scores=torch.tensor([0.75, 0.5]),
        masks=Masks.from_dense(mask),
        **known,
    )


@pytest.mark.parametrize(
    "known",
    [{"class_names": ("button", "coin")}, {"category_ids": (9, 5)}],
    ids=["classes by name", "classes by id"],
)
def test_instances_score_like_the_file_written_from_them(known: dict[str, Any]) -> None:
    pairs = [(1, _instances(**known)), (2, Instances.empty((40, 50), scores=torch.zeros(0)))]
    written = json.loads(
        json.dumps([e for image, found in pairs for e in coco_results(image, found)])
    )
    assert [one["image_id"] for one in written] == [1, 1]
    metrics = evaluate(pairs, _truth())
    assert metrics.as_dict() == evaluate(written, _truth()).as_dict()
    assert metrics.per_class["segm"]["coin"].ap == pytest.approx(1)
    assert metrics.per_class["segm"]["button"].num_detections == 1


def test_classes_of_a_model_that_the_truth_lacks_are_refused() -> None:
    pairs = [(1, _instances(class_names=("bottom", "coin")))]
    with pytest.raises(EvaluationError, match=r"'bottom' is no class .* Did you mean 'button'"):
        evaluate(pairs, _truth())


def test_instances_without_scores_are_refused() -> None:
    truth = Instances(
        image_size=(40, 50), boxes=torch.zeros((1, 4)), labels=torch.zeros(1, dtype=torch.int64)
    )
    with pytest.raises(EvaluationError, match="picture 1 have no scores: is this the truth"):
        evaluate([(1, truth)], _truth())
