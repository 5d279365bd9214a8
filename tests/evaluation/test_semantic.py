"""Mean IoU against hand-counted pixels and against dense masks in NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from maskwright.data import Dataset, open_dataset
from maskwright.errors import EvaluationError
from maskwright.evaluation import SemanticMetrics, evaluate_semantic
from maskwright.evaluation.semantic import confusion_counts
from maskwright.masks import Masks

_CLASSES = {3: "leaf", 5: "stone", 9: "never"}


def _dataset(folder: Path, pictures: list[tuple[tuple[int, int], list[dict[str, Any]]]]) -> Dataset:
    """Pictures given as size and objects; an object has "class", "mask" and perhaps "iscrowd"."""
    images, annotations = [], []
    for image_id, ((height, width), objects) in enumerate(pictures, start=11):
        name = f"{image_id}.png"
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        Image.fromarray(np.zeros((height, width), np.uint8)).save(folder / name)
        for one in objects:
            masks = Masks.from_dense(one["mask"][None])
            x1, y1, x2, y2 = masks.boxes[0].tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": one["class"],
                    "segmentation": masks.to_coco()[0],
                    "area": int(masks.area[0]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": one.get("iscrowd", 0),
                }
            )
    categories = [{"id": number, "name": name} for number, name in _CLASSES.items()]
    path = folder / "truth.json"
    document = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(document))
    return open_dataset(path)


def _box(size: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[rows, columns] = True
    return mask


def test_a_hand_counted_picture(tmp_path: Path) -> None:
    # A 4 x 5 picture: leaf on the left two columns (8 pixels), the rest background (12).
    leaf = {"class": 3, "mask": _box((4, 5), slice(0, 4), slice(0, 2))}
    dataset = _dataset(tmp_path, [((4, 5), [leaf])])
    found = np.zeros((4, 5), np.int32)
    found[:, 1:3] = 1  # 4 pixels right, 4 on the background
    found[0, 0] = 2  # one leaf pixel is taken for stone
    metrics = evaluate_semantic([(11, found)], dataset, class_names=dataset.class_names)
    assert metrics.confusion.tolist() == [[8, 4, 0, 0], [3, 4, 1, 0], [0] * 4, [0] * 4]
    iou = {"background": 8 / 15, "leaf": 4 / 12, "stone": 0.0, "never": -1.0}
    assert metrics["IoU"] == iou
    assert metrics.miou == pytest.approx((8 / 15 + 4 / 12 + 0) / 3)
    assert metrics["semantic"]["pixel_accuracy"] == 12 / 20
    assert metrics.notes == (
        "1 of 4 classes are neither in the truth nor found and not in the mean: never.",
    )


def _random_truth(rng: np.random.Generator, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Overlapping rectangles, some of them crowds."""
    objects = []
    for _ in range(int(rng.integers(0, 6))):
        top, left = (int(rng.integers(0, side - 3)) for side in size)
        bottom, right = (
            int(rng.integers(at + 1, side)) for at, side in zip((top, left), size, strict=True)
        )
        objects.append(
            {
                "class": int(rng.choice([3, 5])),
                "mask": _box(size, slice(top, bottom + 1), slice(left, right + 1)),
                "iscrowd": int(rng.random() < 0.3),
            }
        )
    return objects


def _dense_scores(
    truths: list[list[dict[str, Any]]], founds: list[np.ndarray]
) -> tuple[list[float], float]:
    """IoU per class and pixel accuracy from one boolean picture per class, without counts."""
    right = total = 0
    overlap, union = np.zeros(4), np.zeros(4)
    for objects, found in zip(truths, founds, strict=True):
        by_area = sorted(
            (one for one in objects if not one["iscrowd"]), key=lambda one: -one["mask"].sum()
        )
        wanted, known = np.zeros(found.shape, int), np.ones(found.shape, bool)
        for one in objects:
            if one["iscrowd"]:
                known &= ~one["mask"]
        for one in by_area:
            wanted[one["mask"]] = {3: 1, 5: 2}[one["class"]]
            known |= one["mask"]
        right += (wanted == found)[known].sum()
        total += known.sum()
        for channel in range(4):
            overlap[channel] += ((wanted == channel) & (found == channel) & known).sum()
            union[channel] += (((wanted == channel) | (found == channel)) & known).sum()
    iou = [a / b if b else -1.0 for a, b in zip(overlap, union, strict=True)]
    return iou, right / total


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_those_of_dense_masks(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    sizes = [(17, 23), (40, 9), (31, 31), (8, 50)]
    truths = [_random_truth(rng, size) for size in sizes]
    founds = [rng.integers(0, 3 + (seed % 2), size).astype(np.int32) for size in sizes]
    dataset = _dataset(tmp_path, list(zip(sizes, truths, strict=True)))
    metrics = evaluate_semantic(
        zip(dataset.image_ids.tolist(), founds, strict=True),
        dataset,
        class_names=dataset.class_names,
    )
    iou, accuracy = _dense_scores(truths, founds)
    np.testing.assert_allclose(metrics.iou, iou, rtol=1e-12)
    assert metrics.pixel_accuracy == pytest.approx(accuracy, rel=1e-12)
    assert metrics.miou == pytest.approx(np.mean([one for one in iou if one >= 0]), rel=1e-12)
    every_pixel = sum(height * width for height, width in sizes)
    assert metrics.confusion.sum() + metrics.num_unknown == every_pixel


def test_counts_do_not_depend_on_the_stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth, found = rng.integers(-1, 3, (37, 11)), rng.integers(0, 3, (37, 11))
    whole = confusion_counts(truth, found, 2)
    monkeypatch.setattr("maskwright.evaluation.semantic._STRIPE", 30)
    np.testing.assert_array_equal(confusion_counts(truth, found, 2), whole)
    assert confusion_counts(truth[:0], found[:0], 2).sum() == 0


def test_classes_are_matched_by_name_not_by_order(tmp_path: Path) -> None:
    stone = {"class": 5, "mask": _box((6, 6), slice(0, 3), slice(0, 6))}
    dataset = _dataset(tmp_path, [((6, 6), [stone])])
    found = np.zeros((6, 6), np.uint8)
    found[:3] = 1
    metrics = evaluate_semantic([(11, found)], dataset, class_names=["stone", "leaf"])
    assert metrics.miou == metrics.pixel_accuracy == 1.0
    with pytest.raises(EvaluationError, match=r"class 'stone'.*Did you mean 'stones'"):
        evaluate_semantic([(11, found)], dataset, class_names=["stones"])


def test_a_picture_that_is_all_crowd_has_undefined_scores(tmp_path: Path) -> None:
    crowd = {"class": 3, "mask": np.ones((4, 4), bool), "iscrowd": 1}
    dataset = _dataset(tmp_path, [((4, 4), [crowd])])
    found = np.ones((4, 4), np.int32)
    metrics = evaluate_semantic([(11, found)], dataset, class_names=dataset.class_names)
    assert (metrics.miou, metrics.pixel_accuracy, metrics.num_unknown) == (-1.0, -1.0, 16)
    nothing = evaluate_semantic([], dataset.subset([]), class_names=["leaf"])
    assert nothing.miou == -1.0


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([], "1 of 1 pictures have no class map, picture 11"),
        ([(12, np.zeros((4, 5), np.int32))], "picture 12"),
        ([(11, np.zeros((4, 5), np.int32))] * 2, "came before"),
        ([(11, np.zeros((5, 4), np.int32))], r"11\.png: a class map must be \(4, 5\).*\(5, 4\)"),
        ([(11, np.zeros((4, 5)))], "integers.*float64"),
        ([(11, np.full((4, 5), 4, np.int32))], "holds 0 to 3, got 4 to 4"),
    ],
)
def test_maps_that_do_not_fit_are_refused(
    predictions: list[tuple[int, np.ndarray]], message: str, tmp_path: Path
) -> None:
    dataset = _dataset(tmp_path, [((4, 5), [])])
    with pytest.raises(EvaluationError, match=message):
        evaluate_semantic(predictions, dataset, class_names=dataset.class_names)


def test_the_table_shows_classes_that_occur_and_says_what_is_left_out() -> None:
    confusion = np.array([[90, 5, 0], [1, 4, 0], [0, 0, 0]])
    metrics = SemanticMetrics(confusion=confusion, class_names=("[bold]", "b"), num_images=3)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(metrics.to_table())
    lines = capture.get().splitlines()
    assert any("mIoU" in line and "66.9" in line for line in lines)
    assert any(line.split() == ["[bold]", "40.0", "5.0", "9.0"] for line in lines)
    assert not any(line.split()[:1] == ["b"] for line in lines)
    assert "not in the mean: b." in " ".join(capture.get().split())
