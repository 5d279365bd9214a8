from __future__ import annotations

import copy
import json
import socket
from pathlib import Path

import numpy as np
import pytest

from maskwright.errors import EvaluationError
from maskwright.evaluation import evaluate

KINDS = ("bbox", "segm")
NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


@pytest.mark.shared_data
@pytest.mark.parametrize("kind", KINDS)
def test_official_results_give_the_official_numbers(shared_data: Path, kind: str) -> None:
    golden = shared_data / "golden"
    expected = json.loads((golden / "expected.json").read_text())[f"val2014_100_{kind}_pycocotools"]
    fake = {"bbox": "fakebbox", "segm": "fakesegm"}[kind]
    metrics = evaluate(
        golden / f"instances_val2014_{fake}100_results.json", golden / "instances_val2014_100.json"
    )
    numbers = metrics.as_dict()[kind]
    assert list(numbers) == NAMES
    np.testing.assert_allclose(list(numbers.values()), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("boxes", [False, True], ids=["masks only", "masks and boxes"])
@pytest.mark.parametrize("seed", range(4))
def test_numbers_equal_pycocotools_on_random_pictures(
    seed: int, boxes: bool, scene, oracle, twelve
) -> None:
    coco, results = scene(seed, boxes=boxes)
    metrics = evaluate(results, coco, kinds=KINDS)
    for kind in KINDS:
        expected = twelve(oracle(coco, results, kind))
        np.testing.assert_allclose(list(metrics[kind].values()), expected, rtol=0, atol=1e-12)


def test_per_class_numbers_equal_pycocotools_and_count_objects(scene, oracle) -> None:
    coco, results = scene(11, num_images=20)
    metrics = evaluate(results, coco, kinds=("segm",))
    arrays = oracle(coco, results, "segm")
    table = metrics.per_class["segm"]
    counts = [one.num_objects for one in table.values()]
    assert counts == sorted(counts, reverse=True)
    for index, (category_id, name) in enumerate(((3, "date"), (7, "nut"), (8, "fig"))):
        precision = arrays["precision"][:, :, index, 0, -1]
        assert table[name].ap == pytest.approx(precision.mean(), abs=1e-12)
        assert table[name].ap50 == pytest.approx(precision[0].mean(), abs=1e-12)
        assert table[name].ar == pytest.approx(arrays["recall"][:, index, 0, -1].mean(), abs=1e-12)
        true = [one for one in coco["annotations"] if one["category_id"] == category_id]
        assert table[name].num_objects == sum(not one["iscrowd"] for one in true)
        found = [one for one in results if one["category_id"] == category_id]
        assert table[name].num_detections == len(found)


def test_path_dict_and_list_are_read_alike_and_left_as_they_were(tmp_path: Path, scene) -> None:
    coco, results = scene(5)
    before = copy.deepcopy((coco, results))
    from_memory = evaluate(results, coco)
    assert (coco, results) == before
    (tmp_path / "truth.json").write_text(json.dumps(coco))
    (tmp_path / "results.json").write_text(json.dumps(results))
    from_files = evaluate(str(tmp_path / "results.json"), tmp_path / "truth.json")
    assert from_files.as_dict() == from_memory.as_dict()


def test_nothing_is_printed_and_no_connection_opened(
    scene, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    coco, results = scene(6)
    evaluate(results, coco, max_detections=150)
    evaluate([], coco)
    assert capfd.readouterr() == ("", "")


def test_only_the_wanted_kinds_are_scored_in_the_canonical_order(scene) -> None:
    coco, results = scene(7)
    assert list(evaluate(results, coco, kinds=("boundary", "bbox")).as_dict()) == [
        "bbox",
        "boundary",
    ]
    with pytest.raises(EvaluationError, match=r"got 'segmm'. Did you mean 'segm'\?"):
        evaluate(results, coco, kinds=("segmm",))  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match="kinds is empty"):
        evaluate(results, coco, kinds=())


def test_no_predictions_score_zero(scene) -> None:
    coco, _ = scene(8)
    metrics = evaluate([], coco)
    for numbers in metrics.as_dict().values():
        assert numbers["AP"] == numbers["AP50"] == numbers["AR100"] == 0
        assert set(numbers.values()) <= {0, -1}  # -1 where the truth has none of that size
    assert metrics.notes == ("There are no predictions.",)


@pytest.mark.parametrize("left", ["no objects", "only crowds"])
def test_truth_without_objects_is_undefined_and_says_so(scene, left: str) -> None:
    coco, results = scene(9)
    annotations = [{**one, "iscrowd": 1} for one in coco["annotations"] if left == "only crowds"]
    metrics = evaluate(results, {**coco, "annotations": annotations})
    for numbers in metrics.as_dict().values():
        assert set(numbers.values()) == {-1}
    assert metrics.notes == (f"The truth (truth) holds {left}: every number is undefined (-1).",)
    json.dumps(metrics.report(), allow_nan=False)


def test_neither_pictures_nor_classes_nor_predictions_still_give_a_result() -> None:
    nothing = {"images": [], "annotations": [], "categories": []}
    for kind, numbers in evaluate([], nothing).as_dict().items():
        assert set(numbers.values()) == {-1}, kind


def test_one_picture_found_exactly_scores_one(as_rle) -> None:
    mask = np.zeros((40, 50), bool)
    mask[5:30, 10:40] = True
    coco = {
        "images": [{"id": "a", "height": 40, "width": 50}],
        "categories": [{"id": 0, "name": "coin"}],
        "annotations": [{"image_id": "a", "category_id": 0, "segmentation": as_rle(mask)}],
    }
    found = [{"image_id": "a", "category_id": 0, "segmentation": as_rle(mask), "score": 1}]
    metrics = evaluate(found, coco)
    for kind in ("bbox", "segm", "boundary"):
        assert metrics[kind]["AP"] == pytest.approx(1, abs=1e-12)
        assert (metrics[kind]["APs"], metrics[kind]["APm"]) == (pytest.approx(1), -1)


def _crowded(as_rle, num_objects: int) -> tuple[dict, list[dict]]:
    """One picture of 2 x 2 squares, all found, scores falling; one more in a second picture."""
    annotations, results = [], []
    for index in range(num_objects + 1):
        mask = np.zeros((90, 90), bool)
        row, column = divmod(index % num_objects, 30)
        mask[3 * row : 3 * row + 2, 3 * column : 3 * column + 2] = True
        place = {"image_id": 1 + index // num_objects, "category_id": 1}
        annotations.append({**place, "segmentation": as_rle(mask), "id": index + 1, "iscrowd": 0})
        results.append({**place, "segmentation": as_rle(mask), "score": 1 - index / 1000})
    images = [{"id": i, "height": 90, "width": 90, "file_name": f"{i}.png"} for i in (1, 2)]
    categories = [{"id": 1, "name": "seed"}]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    for one in annotations:
        one |= {"area": 4.0, "bbox": [0, 0, 2, 2]}
    return coco, results


@pytest.mark.parametrize(("most", "limit"), [(101, 200), (375, 400)])
def test_more_than_a_hundred_objects_raise_the_limit_and_say_so(
    as_rle, most: int, limit: int
) -> None:
    coco, results = _crowded(as_rle, most)
    metrics = evaluate(results, coco, kinds=("segm",))
    assert metrics.max_detections == limit
    assert metrics["segm"]["AR100"] == 1
    assert metrics.notes == (
        f"maxDets was raised from 100 to {limit}, since 1.png holds {most} true objects; AP and "
        f"AR100 are at {limit} detections per picture and class.",
    )
    at_a_hundred = evaluate(results, coco, kinds=("segm",), max_detections=100)
    assert at_a_hundred["segm"]["AR100"] == pytest.approx(101 / (most + 1))
    assert at_a_hundred.notes == ()


def test_a_hundred_objects_keep_cocos_limit(as_rle) -> None:
    coco, results = _crowded(as_rle, 100)
    metrics = evaluate(results, coco, kinds=("segm",))
    assert (metrics.max_detections, metrics.notes) == (100, ())


@pytest.mark.parametrize("limit", [1, 5, 10, 30])
def test_any_limit_equals_pycocotools(limit: int, scene, oracle, twelve) -> None:
    coco, results = scene(3, num_images=4, most=30)
    metrics = evaluate(results, coco, kinds=KINDS, max_detections=limit)
    limits = (min(1, limit), min(10, limit), limit)
    for kind in KINDS:
        expected = twelve(oracle(coco, results, kind, limits))
        np.testing.assert_allclose(list(metrics[kind].values()), expected, rtol=0, atol=1e-12)
    with pytest.raises(EvaluationError, match="max_detections must be at least 1, got 0"):
        evaluate(results, coco, max_detections=0)


@pytest.mark.shared_data
def test_crowded_nuclei_equal_pycocotools_at_the_raised_limit(
    shared_data: Path, oracle, twelve
) -> None:
    coco = json.loads((shared_data / "nuclei" / "train.json").read_text())
    per_picture = np.bincount([one["image_id"] for one in coco["annotations"]])
    kept = {*np.flatnonzero(per_picture > 100).tolist()[:3], *range(1, 10)}
    for key, name in (("images", "id"), ("annotations", "image_id")):
        coco[key] = [one for one in coco[key] if one[name] in kept]
    rng = np.random.default_rng(0)
    results = [
        {
            "image_id": one["image_id"],
            "category_id": one["category_id"],
            "segmentation": one["segmentation"],
            "score": float(rng.random()),
        }
        for one in coco["annotations"]
        if rng.random() < 0.9
    ]
    metrics = evaluate(results, coco, kinds=KINDS)
    assert metrics.max_detections == 200
    for kind in KINDS:
        expected = twelve(oracle(coco, results, kind, (1, 10, metrics.max_detections)))
        np.testing.assert_allclose(list(metrics[kind].values()), expected, rtol=0, atol=1e-12)
