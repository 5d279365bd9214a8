"""Confusions, curves, sizes, crowding and lists against plain versions on dense masks."""

from __future__ import annotations

import copy
import io
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from rich.console import Console

from maskwright.errors import EvaluationError
from maskwright.evaluation.analysis import (
    analyse_errors,
    confusion_matrix,
    listed_dataframe,
    pictures_dataframe,
    read_found_and_true,
    score_curves,
)
from maskwright.evaluation.analysis.breakdown import crowding

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

_IDS = (3, 7, 8)
"""The scene's classes by label."""


def _dense(segmentation, size) -> np.ndarray:
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.decode(segmentation).astype(bool)


def _pictures(coco, results, score: float):
    """True and found entries of each picture with their masks, and crowds with theirs."""
    for image in coco["images"]:
        size = (image["height"], image["width"])
        true, crowds = [], []
        for one in coco["annotations"]:
            if one["image_id"] == image["id"]:
                side = crowds if one["iscrowd"] else true
                side.append((one["category_id"], _dense(one["segmentation"], size)))
        found = [
            (one["category_id"], _dense(one["segmentation"], size))
            for one in sorted(results, key=lambda one: -one["score"])
            if one["image_id"] == image["id"] and one["score"] >= score
        ]
        yield true, crowds, found


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / max((a | b).sum(), 1)


def _in_crowd(category: int, mask: np.ndarray, crowds, threshold: float) -> bool:
    return any(
        category == other and (mask & area).sum() > threshold * mask.sum() for other, area in crowds
    )


def _plain_confusion(coco, results, iou_threshold: float, score: float) -> np.ndarray:
    counts = np.zeros((4, 4), int)
    for true, crowds, found in _pictures(coco, results, score):
        pairs = [
            (-_iou(mask, other), label != label_found, rank, i, rank)
            for rank, (label_found, mask) in enumerate(found)
            for i, (label, other) in enumerate(true)
            if _iou(mask, other) >= iou_threshold
        ]
        free_true, free_found = set(range(len(true))), set(range(len(found)))
        for *_, i, j in sorted(pairs):
            if i in free_true and j in free_found:
                free_true.remove(i)
                free_found.remove(j)
                counts[_IDS.index(true[i][0]), _IDS.index(found[j][0])] += 1
        for i in free_true:
            counts[_IDS.index(true[i][0]), 3] += 1
        for j in free_found:
            if not _in_crowd(*found[j], crowds, iou_threshold):
                counts[3, _IDS.index(found[j][0])] += 1
    return counts


@pytest.mark.parametrize(("iou", "score"), [(0.5, 0.3), (0.3, 0.0), (0.75, 0.6)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_confusions_equal_a_plain_version_on_dense_masks(seed, iou, score, scene) -> None:
    coco, results = scene(seed, num_images=8, most=12, small=True)
    objects = read_found_and_true(results, coco)
    matrix = confusion_matrix(objects, iou_threshold=iou, score_threshold=score)
    assert np.array_equal(matrix.counts, _plain_confusion(coco, results, iou, score))


def test_confusion_shares_and_names_are_of_their_rows_and_columns(scene) -> None:
    objects = read_found_and_true(*reversed(scene(1, num_images=8, most=12, small=True)))
    matrix = confusion_matrix(objects, iou_threshold=0.3, score_threshold=0.0)
    assert matrix.shares("true").sum(axis=1) == pytest.approx([1, 1, 1, 1])
    assert matrix.shares("found").sum(axis=0) == pytest.approx([1, 1, 1, 1])
    true, found, times = matrix.most_confused()[0]
    frame = matrix.to_dataframe()
    assert frame.loc[true, found] == times
    assert times == max(frame.iloc[i, j] for i in range(3) for j in range(3) if i != j)
    assert frame.loc["(background)", "(background)"] == 0


def _plain_counts(coco, results, iou_threshold: float, score: float) -> tuple[int, int, int]:
    right = wrong = every = 0
    for true, crowds, found in _pictures(coco, results, score):
        taken: set[int] = set()
        every += len(true)
        for label, mask in found:
            ious = {
                i: _iou(mask, other)
                for i, (own, other) in enumerate(true)
                if own == label and i not in taken
            }
            best = max(ious, key=lambda i: (ious[i], -i), default=None)
            if best is not None and ious[best] >= iou_threshold:
                taken.add(best)
                right += 1
            elif not _in_crowd(label, mask, crowds, iou_threshold):
                wrong += 1
    return right, wrong, every


@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_every_point_of_the_curve_is_what_counting_above_it_gives(iou, scene) -> None:
    coco, results = scene(3, num_images=8, most=10, small=True)
    curve = score_curves(read_found_and_true(results, coco), iou_threshold=iou).total
    assert len(curve.scores) > 5
    for index, score in enumerate(curve.scores.tolist()):
        right, wrong, every = _plain_counts(coco, results, iou, score)
        point = curve.point(index)
        assert point.precision == pytest.approx(right / (right + wrong))
        assert point.recall == pytest.approx(right / every)
        assert point.f1 == pytest.approx(2 * right / (right + wrong + every))
    assert curve.best_f1().f1 == curve.f1.max()


def test_thresholds_for_a_wanted_precision_or_recall_are_the_best_that_reach_it(scene) -> None:
    coco, results = scene(5, num_images=10, most=10, small=True)
    for curve in score_curves(read_found_and_true(results, coco)).per_class.values():
        wanted = float(np.median(curve.precision))
        point = curve.for_precision(wanted)
        assert point.precision >= wanted
        assert point.recall == curve.recall[curve.precision >= wanted].max()
        wanted = float(np.median(curve.recall))
        point = curve.for_recall(wanted)
        assert point.recall >= wanted
        assert point.precision == curve.precision[curve.recall >= wanted].max()
        assert curve.for_precision(1.01) is None
        assert curve.for_recall(1.01) is None


def _plain_crowding(boxes: np.ndarray) -> tuple[list[int], list[float]]:
    near, overlap = [], []
    for i, (x, y, w, h) in enumerate(boxes.tolist()):
        count, most = 0, 0.0
        for j, (u, v, a, b) in enumerate(boxes.tolist()):
            if i == j:
                continue
            first = np.floor([x - w / 4, y - h / 4]), np.ceil([x + 5 * w / 4, y + 5 * h / 4])
            second = np.floor([u - a / 4, v - b / 4]), np.ceil([u + 5 * a / 4, v + 5 * b / 4])
            count += bool((np.minimum(first[1], second[1]) > np.maximum(first[0], second[0])).all())
            sides = min(x + w, u + a) - max(x, u), min(y + h, v + b) - max(y, v)
            common = max(sides[0], 0) * max(sides[1], 0)
            most = max(most, common / (w * h + a * b - common))
        near.append(count)
        overlap.append(most)
    return near, overlap


def test_neighbours_and_overlap_equal_comparing_each_with_each() -> None:
    rng = np.random.default_rng(0)
    boxes = np.hstack([rng.uniform(0, 80, (40, 2)), rng.uniform(3, 20, (40, 2))])
    images = rng.integers(0, 3, 40)
    near, overlap = crowding(images, boxes)
    for image in range(3):
        rows = images == image
        wanted = _plain_crowding(boxes[rows])
        assert near[rows].tolist() == wanted[0]
        assert overlap[rows] == pytest.approx(wanted[1])
    assert [len(column) for column in crowding(images[:0], boxes[:0])] == [0, 0]


def test_bins_hold_everything_once_and_average_to_the_whole(scene) -> None:
    coco, results = scene(4, num_images=10, most=10, small=True)
    analysis = analyse_errors(results, coco, score_threshold=0.3)
    right, wrong, every = _plain_counts(coco, results, 0.5, 0.3)
    breakdown = analysis.breakdown
    for bins in (breakdown.by_size, breakdown.by_neighbours, breakdown.by_overlap):
        assert sum(one.num_true for one in bins) == every
        assert sum(one.num_found for one in bins) == right + wrong
        assert sum(one.recall * one.num_true for one in bins if one.num_true) == pytest.approx(
            right
        )
        hits = sum(one.precision * one.num_found for one in bins if one.num_found)
        assert hits == pytest.approx(right)
    assert len(breakdown.to_dataframe()) == len(breakdown.by_size) + 8
    names = [one.name for one in breakdown.by_neighbours]
    assert names == ["0", "1 to 2", "3 to 5", "6 or more"]


def test_sizes_may_be_cocos(scene) -> None:
    coco, results = scene(4, num_images=10)
    analysis = analyse_errors(results, coco, size_edges=(32, 96))
    names = [one.name for one in analysis.breakdown.by_size]
    assert names == ["below 32 px", "32 to 96 px", "96 px or more"]
    with pytest.raises(EvaluationError, match="ascend"):
        analyse_errors(results, coco, size_edges=(96, 32))


def test_pictures_come_worst_first_and_add_up(scene) -> None:
    coco, results = scene(6, num_images=10, most=8, small=True)
    analysis = analyse_errors(results, coco, score_threshold=0.3)
    right, wrong, every = _plain_counts(coco, results, 0.5, 0.3)
    scores = [one.f1 for one in analysis.pictures if one.f1 >= 0]
    assert scores == sorted(scores)
    assert all(one.f1 < 0 for one in analysis.pictures[len(scores) :])
    table = pictures_dataframe(analysis.pictures)
    assert table[["num_right", "num_wrong", "num_missed"]].sum().tolist() == [
        right,
        wrong,
        every - right,
    ]


def test_the_list_of_mistakes_is_by_score_and_points_at_the_predictions(scene) -> None:
    coco, results = scene(7, num_images=10, most=8, small=True)
    analysis = analyse_errors(results, coco, limit=10_000)
    scores = [one.score for one in analysis.confident_mistakes]
    assert scores == sorted(scores, reverse=True)
    for one in analysis.confident_mistakes:
        assert results[one.prediction]["score"] == one.score
        assert results[one.prediction]["image_id"] == one.image_id
        assert one.reason in ("Cls", "Loc", "Both", "Dupe", "Bkg")
    wrong = int(((analysis.tide.kinds >= 0) & ~analysis.tide.is_ignored).sum())
    assert len(scores) == wrong
    assert len(analyse_errors(results, coco, limit=3).confident_mistakes) == 3


def test_missed_objects_are_by_area_and_say_why(scene) -> None:
    coco, results = scene(7, num_images=10, most=8, small=True)
    analysis = analyse_errors(results, coco, score_threshold=0.5, limit=10_000)
    right, _, every = _plain_counts(coco, results, 0.5, 0.5)
    assert len(analysis.missed) == every - right
    areas = [one.area for one in analysis.missed]
    assert areas == sorted(areas, reverse=True)
    reasons = {one.reason for one in analysis.missed}
    assert reasons == {"unseen", "unsure", "class", "misplaced"}
    by_id = {one["id"]: one for one in coco["annotations"]}
    for one in analysis.missed:
        assert by_id[one.annotation_id]["image_id"] == one.image_id
        if one.reason == "unsure":
            assert one.score < 0.5 <= one.iou
        assert (one.score is None) == (one.reason == "unseen")


def _disc(centre, radius, size=(60, 60)) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


@pytest.fixture
def well_found(as_rle):
    """Thirty pictures of four discs, all found nearly exactly, with sure scores."""
    rng = np.random.default_rng(0)
    images, annotations, results = [], [], []
    for image_id in range(1, 31):
        images.append({"id": image_id, "height": 60, "width": 60, "file_name": f"{image_id}.png"})
        for centre in ((15, 15), (15, 45), (45, 15), (45, 45)):
            radius, category = rng.uniform(8, 11), int(rng.integers(1, 3))
            place = {"image_id": image_id, "category_id": category}
            mask = _disc(centre, radius)
            near = _disc(np.add(centre, rng.uniform(-0.8, 0.8, 2)), radius)
            annotations.append(
                {"id": 1000 + len(annotations), "iscrowd": 0, "segmentation": as_rle(mask)} | place
            )
            score = float(rng.uniform(0.7, 0.99))
            results.append({"segmentation": as_rle(near), "score": score} | place)
    categories = [{"id": 1, "name": "fig"}, {"id": 2, "name": "nut"}]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def test_faults_put_into_the_annotation_head_the_list_of_suspects(well_found, as_rle) -> None:
    coco, results = copy.deepcopy(well_found)
    annotations = coco["annotations"]
    swapped, shrunk = annotations[3], annotations[21]
    swapped["category_id"] = 3 - swapped["category_id"]
    shrunk["segmentation"] = as_rle(_disc((15, 45), 6.5))
    removed = annotations.pop(40)
    made_up = dict(annotations[50], id=9999, segmentation=as_rle(_disc((30, 30), 9)))
    annotations.append(made_up)
    suspects = analyse_errors(results, coco).suspects
    heads = {(one.reason, one.annotation_id) for one in suspects[:4]}
    assert heads == {
        ("class", swapped["id"]),
        ("outline", shrunk["id"]),
        ("missing", None),
        ("spurious", 9999),
    }
    missing = next(one for one in suspects if one.reason == "missing")
    assert missing.image_id == removed["image_id"]
    assert results[missing.prediction]["segmentation"]
    values = [one.rank_value for one in suspects]
    assert values == sorted(values, reverse=True)
    assert min(values[:4]) > 0
    assert max(values) <= 1


def test_a_good_annotation_has_nothing_that_is_missing_swapped_or_made_up(well_found) -> None:
    suspects = analyse_errors(well_found[1], well_found[0]).suspects
    assert {one.reason for one in suspects} <= {"outline"}
    assert all(one.rank_value < 0.15 for one in suspects)


def test_the_score_that_counts_is_that_of_the_highest_f1_and_is_said(scene) -> None:
    coco, results = scene(8, num_images=10, most=8, small=True)
    analysis = analyse_errors(results, coco)
    assert analysis.score_threshold == analysis.curves.total.best_f1().threshold
    assert any("where F1 is highest" in note for note in analysis.notes)
    assert analyse_errors(results, coco, score_threshold=0.4).score_threshold == 0.4


def test_scores_beyond_one_are_ranked_but_not_judged_as_probabilities(scene) -> None:
    coco, results = scene(8, num_images=10, most=8, small=True)
    as_is = analyse_errors(results, coco)
    assert as_is.calibration.total.num_found > 0
    in_percent = [one | {"score": 100 * one["score"]} for one in results]
    analysis = analyse_errors(in_percent, coco)
    assert analysis.calibration is None
    assert any("above 1" in note for note in analysis.notes)
    assert analysis.tide.total == as_is.tide.total
    assert all(one.rank_value <= 1 for one in analysis.suspects)


@pytest.mark.parametrize("left", ["predictions", "truth", "neither", "pictures"])
def test_nothing_on_a_side_is_defined_and_never_nan(left, scene) -> None:
    coco, results = scene(4)
    if left != "predictions":
        results = []
    if left != "truth":
        coco["annotations"] = []
    if left == "pictures":
        coco["images"] = []
    analysis = analyse_errors(results, coco)
    json.dumps(analysis.as_dict(), allow_nan=False)
    for table in (analysis.curves, analysis.breakdown, analysis.tide, analysis.confusion):
        assert len(table.to_dataframe()) > 0
    assert len(listed_dataframe(analysis.missed)) == len(analysis.missed)
    assert "What mistakes cost" in _text(analysis)


def test_boxes_are_compared_where_there_are_no_masks(scene) -> None:
    coco, results = scene(4, boxes=True)
    for one in results:
        del one["segmentation"]
    analysis = analyse_errors(results, coco)
    assert analysis.objects.kind == "bbox"
    assert "boxes are held against each other" in analysis.notes[0]


def test_tables_show_every_part(scene) -> None:
    coco, results = scene(8, num_images=10, most=8, small=True)
    text = _text(analyse_errors(results, coco))
    for heading in (
        "AP won if mended",
        "True (down) and found (across)",
        "Threshold of the highest F1",
        "Scores as probabilities",
        "By size",
        "By neighbours",
        "Worst pictures",
        "Most confident mistakes",
        "Missed objects",
        "Look again at these annotations",
    ):
        assert heading in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "boundary"}, "kind may be"),
        ({"max_detections": 0}, "max_detections"),
        ({"iou_threshold": 0.0}, "background_iou"),
        ({"score_threshold": float("nan")}, "score_threshold finite"),
    ],
)
def test_options_out_of_range_are_refused(options, message, scene) -> None:
    with pytest.raises(EvaluationError, match=message):
        analyse_errors(*reversed(scene(1)), **options)


def _text(analysis) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(analysis.to_table())
    return console.file.getvalue()
