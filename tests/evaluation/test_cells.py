"""Cell metrics against dense NumPy versions written from the papers."""

from __future__ import annotations

import io
import itertools
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from rich.console import Console

from maskwright.errors import EvaluationError
from maskwright.evaluation import evaluate_cells
from maskwright.evaluation.resampling import draw_pictures

_SIZE = (40, 50)


def _label_map(rng: np.random.Generator, most: int) -> np.ndarray:
    """Discs painted over each other, so that none overlap; values without a gap."""
    labels = np.zeros(_SIZE, np.int64)
    y, x = np.mgrid[: _SIZE[0], : _SIZE[1]]
    for value in range(1, int(rng.integers(0, most + 1)) + 1):
        centre, radius = rng.uniform(0, _SIZE), rng.uniform(3, 9)
        labels[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = value
    return np.unique(labels, return_inverse=True)[1].reshape(_SIZE) + (labels.min() > 0)


def _entries(label_map: np.ndarray, image_id: int) -> list[dict]:
    masks = [label_map == value for value in range(1, label_map.max() + 1)]
    rles = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
    return [
        {
            "image_id": image_id,
            "category_id": 1,
            "segmentation": {"size": list(_SIZE), "counts": rle["counts"].decode()},
            "score": 1.0,
        }
        for rle in rles
    ]


def _scene(seed: int, num_images: int = 7):
    rng = np.random.default_rng(seed)
    pairs, images, annotations, results = [], [], [], []
    for image_id in range(1, num_images + 1):
        true = _label_map(rng, 9)
        found = np.roll(true, rng.integers(-2, 3, 2), axis=(0, 1))
        cut = _label_map(rng, 3)
        found = np.where(cut > 0, found.max() + cut, found)
        found = np.unique(found, return_inverse=True)[1].reshape(_SIZE)
        pairs.append((true, found))
        images.append({"id": image_id, "height": 40, "width": 50, "file_name": f"{image_id}.png"})
        annotations += _entries(true, image_id)
        results += _entries(found, image_id)
    for number, one in enumerate(annotations, start=1):
        one["id"] = number
    return pairs, _coco(images, annotations), results


def _coco(images, annotations):
    categories = [{"id": 1, "name": "cell"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _ratios(true: np.ndarray, found: np.ndarray):
    """Intersections and unions of every true with every found object, from pixels."""
    true_masks = [true == value for value in range(1, true.max() + 1)]
    found_masks = [found == value for value in range(1, found.max() + 1)]
    shape = (len(true_masks), len(found_masks))
    common, union = np.zeros(shape), np.zeros(shape)
    for (i, one), (j, other) in itertools.product(enumerate(true_masks), enumerate(found_masks)):
        common[i, j], union[i, j] = (one & other).sum(), (one | other).sum()
    areas = [np.array([mask.sum() for mask in masks]) for masks in (true_masks, found_masks)]
    return common, union, *areas


def _aji(true: np.ndarray, found: np.ndarray) -> float:
    """Kumar et al. 2017, algorithm 1, step by step."""
    common, union, true_areas, found_areas = _ratios(true, found)
    numerator, denominator, used = 0.0, 0.0, set()
    for i, area in enumerate(true_areas):
        ratio = common[i] / union[i] if len(found_areas) else np.zeros(0)
        if not ratio.any():
            denominator += area
            continue
        best = int(ratio.argmax())
        numerator, denominator = numerator + common[i, best], denominator + union[i, best]
        used.add(best)
    denominator += sum(area for j, area in enumerate(found_areas) if j not in used)
    return numerator / denominator if denominator else np.nan


@pytest.mark.parametrize("seed", range(6))
def test_ap_and_f1_at_every_iou_equal_counting_pixels(seed) -> None:
    pairs, coco, results = _scene(seed)
    metrics = evaluate_cells(results, coco, num_replicates=0)
    for iou, got in metrics.counts.items():
        hits, false, missed, each = 0, 0, 0, []
        for true, found in pairs:
            common, union, true_areas, found_areas = _ratios(true, found)
            # From 0.5 up a partner is unique where objects do not overlap (but for an exact 0.5).
            reached = common / np.maximum(union, 1) >= iou
            own = min(reached.any(axis=0).sum(), reached.any(axis=1).sum()) if reached.size else 0
            total = len(true_areas) + len(found_areas) - own
            hits, false = hits + own, false + len(found_areas) - own
            missed += len(true_areas) - own
            each += [own / total] if total else []
        counted = (got.true_positives, got.false_positives, got.false_negatives)
        assert counted == (hits, false, missed)
        assert got.ap == pytest.approx(hits / (hits + false + missed), abs=1e-15)
        assert got.f1 == pytest.approx(2 * hits / (2 * hits + false + missed), abs=1e-15)
        assert metrics.mean_ap[iou] == pytest.approx(np.mean(each), abs=1e-15)


@pytest.mark.parametrize("seed", range(6))
def test_aji_equals_the_algorithm_of_the_paper(seed) -> None:
    pairs, coco, results = _scene(seed)
    metrics = evaluate_cells(results, coco, num_replicates=0)
    expected = np.nanmean([_aji(*pair) for pair in pairs])
    assert metrics.numbers["AJI"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_aji_plus_equals_trying_every_one_to_one_pairing(seed) -> None:
    rng = np.random.default_rng(seed)
    true, found = _label_map(rng, 5), _label_map(rng, 5)
    common, union, true_areas, found_areas = _ratios(true, found)
    if len(true_areas) > len(found_areas):
        common, union, true_areas, found_areas = common.T, union.T, found_areas, true_areas
    ratio = common / np.maximum(union, 1)
    rows = range(len(true_areas))
    best = max(
        itertools.permutations(range(len(found_areas)), len(true_areas)),
        key=lambda order: sum(ratio[i, j] for i, j in zip(rows, order, strict=True)),
    )
    shared = sum(common[i, j] for i, j in zip(rows, best, strict=True))
    expected = shared / (true_areas.sum() + found_areas.sum() - shared)
    annotations = [{**one, "id": i} for i, one in enumerate(_entries(true, 1), start=1)]
    coco = _coco([{"id": 1, "height": 40, "width": 50, "file_name": "a.png"}], annotations)
    assert evaluate_cells(_entries(found, 1), coco).numbers["AJI+"] == pytest.approx(expected)


def test_counting_errors_are_found_minus_true() -> None:
    pairs, coco, results = _scene(3)
    difference = [int(found.max() - true.max()) for true, found in pairs]
    numbers = evaluate_cells(results, coco).numbers
    assert numbers["count error"] == pytest.approx(np.mean(difference))
    assert numbers["count distance"] == pytest.approx(np.mean(np.abs(difference)))


def test_overlapping_masks_are_paired_so_that_most_find_a_partner() -> None:
    def strip(start: int, end: int) -> dict:
        mask = np.zeros(_SIZE, np.uint8)
        mask[5, start:end] = 1
        rle = coco_mask.encode(np.asfortranarray(mask))
        segmentation = {"size": list(_SIZE), "counts": rle["counts"].decode()}
        return {"image_id": 1, "category_id": 1, "segmentation": segmentation, "score": 1.0}

    # The first found strip is nearest to the first true one, but the second has no other partner.
    annotations = [{**strip(0, 10), "id": 1}, {**strip(2, 14), "id": 2}]
    coco = _coco([{"id": 1, "height": 40, "width": 50, "file_name": "a.png"}], annotations)
    counts = evaluate_cells([strip(0, 11), strip(0, 7)], coco).counts[0.5]
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (2, 0, 0)


def test_a_duplicate_is_a_false_positive() -> None:
    _, coco, results = _scene(1)
    once, twice = evaluate_cells(results, coco), evaluate_cells(results + results, coco)
    assert twice.counts[0.5].true_positives == once.counts[0.5].true_positives
    extra = twice.counts[0.5].false_positives - once.counts[0.5].false_positives
    assert extra == len(results)


def test_what_lies_in_a_crowd_counts_neither_way(scene) -> None:
    coco, results = scene(4)
    crowds = [one for one in coco["annotations"] if one["iscrowd"]]
    assert crowds
    base = evaluate_cells(results, coco).counts[0.5]
    inside = [
        {key: one[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 1.0}
        for one in crowds
    ]
    assert evaluate_cells(results + inside, coco).counts[0.5] == base


def test_intervals_hold_the_value_and_are_wider_for_groups() -> None:
    _, coco, results = _scene(2, num_images=12)
    alone = evaluate_cells(results, coco)
    for name, (low, high) in alone.intervals.items():
        assert low <= alone.numbers[name] <= high
    pairs = evaluate_cells(results, coco, groups=np.arange(12).repeat(6)[:12].tolist())
    assert np.ptp(pairs.intervals["AP"]) > 0
    together = evaluate_cells(results, coco, groups=["film"] * 12)
    assert together.intervals == {}  # always the same pictures: nothing is known of others
    assert "two or more groups" in together.notes[0]
    assert alone == evaluate_cells(results, coco)


def test_pictures_of_one_group_are_drawn_together() -> None:
    groups = np.array([3, 1, 3, 2, 1])
    weights = draw_pictures(5, 50, 0, groups)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_nothing_found_and_nothing_true_are_defined_and_never_nan() -> None:
    _, coco, results = _scene(0)
    no_truth = {**coco, "annotations": []}
    nothing = {**no_truth, "images": []}
    for truth, found in ((coco, []), (no_truth, results), (no_truth, []), (nothing, [])):
        metrics = evaluate_cells(found, truth)
        assert metrics.notes
        json.dumps(metrics.as_dict(), allow_nan=False)
        _text(metrics)
    assert evaluate_cells([], coco).numbers["AP"] == 0.0
    assert evaluate_cells(results, no_truth).numbers["AP"] == 0.0
    assert evaluate_cells([], no_truth).numbers["AP"] == -1.0


def test_a_score_threshold_above_all_scores_is_said() -> None:
    _, coco, results = _scene(0)
    metrics = evaluate_cells([{**one, "score": 0.2} for one in results], coco)
    assert "give a lower score threshold" in metrics.notes[0]
    assert evaluate_cells(results, coco, score_threshold=0.2).counts[0.5].true_positives > 0


def test_options_out_of_range_are_refused() -> None:
    _, coco, _ = _scene(0)
    with pytest.raises(EvaluationError, match=r"one entry per picture \(7\), got 2"):
        evaluate_cells([], coco, groups=[1, 2])
    with pytest.raises(EvaluationError, match="score_threshold must be finite"):
        evaluate_cells([], coco, score_threshold=float("nan"))


def test_the_table_shows_values_with_their_intervals() -> None:
    _, coco, results = _scene(5)
    metrics = evaluate_cells(results, coco)
    text = _text(metrics)
    low, high = metrics.intervals["AJI"]
    assert f"{100 * metrics.numbers['AJI']:.1f}" in text
    assert f"{100 * low:.1f} to {100 * high:.1f}" in text


def _text(metrics) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(metrics.to_table())
    return console.export_text()
