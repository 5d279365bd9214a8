"""TIDE against tidecv's own numbers and against a plain version on dense masks."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from maskwright.errors import EvaluationError
from maskwright.evaluation.analysis.pairs import read_found_and_true
from maskwright.evaluation.analysis.tide import ERROR_KINDS, TideErrors, tide_errors

_HERE = Path(__file__).parent
_GOLDEN = json.loads((_HERE / "tide_golden.json").read_text())


def _maker():
    spec = importlib.util.spec_from_file_location("tide_maker", _HERE / "make_tide_golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_MAKER = _maker()


def _tide(coco, results, kind="segm", **options) -> TideErrors:
    limit = options.pop("max_detections", 100)
    objects = read_found_and_true(results, coco, kind=kind, max_detections=limit)
    return tide_errors(objects, **options)


def _assert_equals_tidecv(errors: TideErrors, golden: dict) -> None:
    assert dict(errors.total.counts) == golden["counts"]
    assert errors.total.ap * 100 == pytest.approx(golden["ap"], abs=1e-9)
    for name, cost in golden["costs"].items():
        assert errors.total.costs[name] * 100 == pytest.approx(cost, abs=1e-9), name


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", _MAKER.SEEDS)
def test_costs_and_counts_equal_tidecvs(seed, kind, scene) -> None:
    _assert_equals_tidecv(_tide(*_MAKER.scene_of(seed, scene), kind), _GOLDEN[f"seed{seed}"][kind])


def test_the_golden_pictures_hold_every_kind_of_mistake() -> None:
    for name in ERROR_KINDS:
        assert sum(one["segm"]["counts"][name] for key, one in _GOLDEN.items() if "seed" in key) > 9


@pytest.mark.shared_data
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_the_official_results_cost_what_tidecv_says(kind, shared_data: Path) -> None:
    folder = shared_data / "golden"
    errors = _tide(
        folder / "instances_val2014_100.json",
        folder / f"instances_val2014_fake{kind}100_results.json",
        kind,
    )
    _assert_equals_tidecv(errors, _GOLDEN[f"fake{kind}"][kind])


def _dense(segmentation, size) -> np.ndarray:
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.decode(segmentation).astype(bool)


def _plain_counts(coco, results, t: float, b: float) -> tuple[dict[str, int], int, int]:
    """Counts of the six kinds by the paper's section 2, and right and ignored objects."""
    counts, right, ignored = dict.fromkeys(ERROR_KINDS, 0), 0, 0
    for image in coco["images"]:
        size = (image["height"], image["width"])
        true = [one for one in coco["annotations"] if one["image_id"] == image["id"]]
        found = [one for one in results if one["image_id"] == image["id"]]
        found.sort(key=lambda one: -one["score"])
        crowds = [one for one in true if one["iscrowd"]]
        true = [one for one in true if not one["iscrowd"]]
        pixels = [_dense(one["segmentation"], size) for one in true]
        taken, wrong, aimed = set(), [], set()
        for one in found:
            mask = _dense(one["segmentation"], size)
            ious = [(mask & other).sum() / max((mask | other).sum(), 1) for other in pixels]
            same = [one["category_id"] == other["category_id"] for other in true]
            free = [i for i in range(len(true)) if same[i] and i not in taken and ious[i] >= t]
            if free:
                taken.add(max(free, key=lambda i: (ious[i], -i)))
                right += 1
                continue
            wrong.append((ious, same))
            for crowd in crowds:
                inside = (mask & _dense(crowd["segmentation"], size)).sum() / max(mask.sum(), 1)
                if crowd["category_id"] == one["category_id"] and inside > t:
                    ignored += 1
                    break
        for ious, same in wrong:
            own = [iou if s else 0.0 for iou, s in zip(ious, same, strict=True)]
            other = [0.0 if s else iou for iou, s in zip(ious, same, strict=True)]
            if b <= max(own, default=0) <= t:
                counts["Loc"] += 1
                aimed.add(int(np.argmax(own)))
            elif max(other, default=0) >= t:
                counts["Cls"] += 1
                aimed.add(int(np.argmax(other)))
            elif max(own, default=0) >= t:
                counts["Dupe"] += 1
            elif max(ious, default=0) <= b:
                counts["Bkg"] += 1
            else:
                counts["Both"] += 1
        counts["Miss"] += len(set(range(len(true))) - taken - aimed)
    return counts, right, ignored


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools
@pytest.mark.parametrize("thresholds", [(0.5, 0.1), (0.75, 0.3)])
@pytest.mark.parametrize("seed", [20, 21, 22, 23])
def test_mistakes_are_named_as_a_plain_version_names_them(seed, thresholds, scene) -> None:
    coco, results = scene(seed, num_images=8, most=12, small=True)
    t, b = thresholds
    errors = _tide(coco, results, iou_threshold=t, background_iou=b)
    counts, right, ignored = _plain_counts(coco, results, t, b)
    assert dict(errors.total.counts) == counts
    assert int((errors.partner >= 0).sum()) == right
    assert int(errors.is_ignored.sum()) == ignored


@pytest.mark.parametrize("seed", [1, 3])
def test_mending_by_hand_wins_what_is_said(seed, scene) -> None:
    """Costs of Dupe, Bkg and Both: take those objects out of the results and score again."""
    coco, results = _MAKER.scene_of(seed, scene)
    rng = np.random.default_rng(seed)
    for one in results:
        one["score"] = float(rng.random())  # without ties there is one order
    coco["annotations"] = [one for one in coco["annotations"] if not one["iscrowd"]]
    objects = read_found_and_true(results, coco, kind="segm", max_detections=100)
    errors = tide_errors(objects)
    for name in ("Dupe", "Bkg", "Both"):
        left = set(objects.rows[errors.kinds == ERROR_KINDS.index(name)].tolist())
        assert left
        mended = _tide(coco, [one for i, one in enumerate(results) if i not in left])
        won = mended.total.ap - errors.total.ap
        assert errors.total.costs[name] == pytest.approx(max(won, 0.0), abs=1e-12)
    missed = {coco["annotations"][row]["id"] for row in np.flatnonzero(errors.is_missed)}
    kept = [one for one in coco["annotations"] if one["id"] not in missed]
    won = _tide({**coco, "annotations": kept}, results).total.ap - errors.total.ap
    assert errors.total.costs["Miss"] == pytest.approx(won, abs=1e-12)


def test_a_hundred_objects_of_a_picture_count_unless_told_otherwise(scene) -> None:
    coco, results = scene(5, boxes=True)
    image_id = results[0]["image_id"]
    many = [dict(results[0], score=0.5 + i / 1000) for i in range(150)]
    errors = _tide(coco, many, max_detections=None)
    assert len(errors.kinds) == 100
    assert len(_tide(coco, many, max_detections=20).kinds) == 20
    assert {one["image_id"] for one in many} == {image_id}


def test_a_class_that_is_found_but_not_true_counts_with_ap_zero(scene) -> None:
    coco, results = scene(2)
    coco["categories"].append({"id": 99, "name": "olive"})
    without = _tide(coco, results)
    errors = _tide(coco, [*results, dict(results[0], category_id=99)])
    k = len(without.per_class)
    assert errors.per_class["olive"].ap == 0.0
    assert errors.total.ap == pytest.approx(without.total.ap * k / (k + 1))
    assert "olive" not in without.per_class


def test_nothing_found_is_all_missed_and_nothing_at_all_is_undefined(scene) -> None:
    coco, results = scene(4)
    num_true = sum(not one["iscrowd"] for one in coco["annotations"])
    errors = _tide(coco, [])
    assert errors.total.ap == 0.0
    assert errors.total.counts["Miss"] == num_true
    coco["annotations"] = []
    assert set(_tide(coco, results).total.counts.values()) == {0, len(results)}
    nothing = _tide(coco, [])
    assert nothing.total.ap == -1.0
    assert set(nothing.total.costs.values()) == {0.0}
    assert nothing.per_class == {}


def test_per_class_numbers_average_to_the_whole_and_go_into_a_table(scene) -> None:
    errors = _tide(*scene(1, num_images=12, most=14, small=True))
    mean = np.mean([one.ap for one in errors.per_class.values()])
    assert errors.total.ap == pytest.approx(mean)
    table = errors.to_dataframe()
    assert table["class"].tolist() == ["(all)", *errors.per_class]
    assert table["count_Loc"][0] == table["count_Loc"][1:].sum()
    assert json.loads(json.dumps(errors.as_dict()))["costs"]["Loc"] == errors.total.costs["Loc"]


@pytest.mark.parametrize("options", [{"background_iou": 0.0}, {"background_iou": 0.6}])
def test_thresholds_out_of_range_are_refused(options, scene) -> None:
    with pytest.raises(EvaluationError, match="background_iou must be above 0"):
        _tide(*scene(1), **options)
