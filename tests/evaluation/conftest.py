"""Made-up pictures with truth and predictions, and pycocotools as the oracle."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Scene = tuple[dict[str, Any], list[dict[str, Any]]]


def ellipse(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """One dense mask: an ellipse anywhere, possibly cut by the border, possibly with a hole."""
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    centre = rng.uniform(0, [height, width])
    radii = rng.uniform(2, max(size) / 3, 2)
    distance = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2
    mask = distance < 1
    return mask & (distance > 0.2) if rng.random() < 0.2 else mask


def compressed(mask: np.ndarray) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    flat = np.concatenate([[False], mask.T.reshape(-1), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return {
        "size": list(mask.shape),
        "counts": np.diff(np.concatenate([[0], edges, [mask.size]])).tolist(),
    }


def _segmentation(rng: np.random.Generator, mask: np.ndarray, *, crowd: bool) -> Any:
    rows, columns = np.nonzero(mask)
    if crowd:
        return uncompressed(mask)
    if rng.random() < 0.5 and len(rows):
        top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
        middle = (left + right) / 2
        return [[float(v) for v in (left, bottom, middle, top - 0.3, right + 1, bottom + 1)]]
    return compressed(mask)


def make_scene(
    seed: int, *, num_images: int = 8, most: int = 6, boxes: bool = False, small: bool = False
) -> Scene:
    """Pictures of many sizes with crowds and empty ones; predictions near truth, tied and false."""
    rng = np.random.default_rng(seed)
    images, annotations, results = [], [], []
    for number in rng.permutation(num_images).tolist():
        size = tuple(rng.integers(16, 60 if small else 260, 2).tolist())
        image_id = 1000 - 7 * number
        images.append(
            {"id": image_id, "height": size[0], "width": size[1], "file_name": f"p/{number}.png"}
        )
        for _ in range(int(rng.integers(0, most + 1))):
            mask = ellipse(rng, size)
            crowd = bool(rng.random() < 0.15)
            category = int(rng.choice([3, 7, 8]))
            segmentation = _segmentation(rng, mask, crowd=crowd)
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": category,
                "iscrowd": int(crowd),
                "segmentation": segmentation,
                "bbox": coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask, np.uint8))),
                "area": float(mask.sum()) * rng.uniform(0.9, 1.1),
            }
            annotation["bbox"] = annotation["bbox"].tolist()
            annotations.append(annotation)
            for _ in range(int(rng.integers(0, 3))):
                shifted = np.roll(mask, rng.integers(-2, 3, 2), axis=(0, 1))
                results.append(_result(rng, image_id, category, shifted, boxes=boxes))
        results += [
            _result(rng, image_id, int(rng.choice([3, 7])), ellipse(rng, size), boxes=boxes)
            for _ in range(int(rng.integers(0, 3)))
        ]
    categories = [{"id": i, "name": name} for i, name in ((8, "fig"), (3, "date"), (7, "nut"))]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    return coco, [results[i] for i in rng.permutation(len(results))]


def _result(
    rng: np.random.Generator, image_id: int, category: int, mask: np.ndarray, *, boxes: bool
) -> dict[str, Any]:
    rle = compressed(mask)
    result = {
        "image_id": image_id,
        "category_id": category,
        "segmentation": rle,
        "score": round(float(rng.random()), 1),  # rounded, so that scores tie
    }
    if boxes:
        result["bbox"] = (coco_mask.toBbox(rle) + rng.uniform(0, 1, 4)).tolist()
    return result


class OracleEvaluator(COCOeval):
    """pycocotools, able to take overlaps computed elsewhere."""

    overlaps: Callable[[list[dict], list[dict]], np.ndarray] | None = None

    def computeIoU(self, imgId: int, catId: int) -> Any:  # noqa: N802, N803
        if self.overlaps is None:
            return super().computeIoU(imgId, catId)
        true, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not true or not found:
            return []
        order = np.argsort([-one["score"] for one in found], kind="mergesort")
        return self.overlaps([found[i] for i in order[: self.params.maxDets[-1]]], true)


def oracle_arrays(
    coco: dict[str, Any],
    results: list[dict[str, Any]],
    kind: str,
    limits: tuple[int, ...] = (1, 10, 100),
    overlaps: Callable[[list[dict], list[dict]], np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Precision and recall arrays of pycocotools on copies of the arguments."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(coco)
        truth.createIndex()
        found = truth.loadRes(copy.deepcopy(results))
        evaluator = OracleEvaluator(truth, found, "segm" if kind == "boundary" else kind)
        evaluator.overlaps = overlaps
        evaluator.params.maxDets = list(limits)
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.eval


def oracle_numbers(arrays: dict[str, np.ndarray]) -> list[float]:
    """The twelve numbers off pycocotools' arrays; its own summary insists on 100 detections."""
    precision, recall = arrays["precision"], arrays["recall"]
    picked = [
        precision[..., 0, -1],
        precision[0, ..., 0, -1],
        precision[5, ..., 0, -1],
        *(precision[..., size, -1] for size in (1, 2, 3)),
        *(recall[..., 0, limit] for limit in (0, 1, 2)),
        *(recall[..., size, -1] for size in (1, 2, 3)),
    ]
    return [float(np.mean(one[one > -1])) if (one > -1).any() else -1.0 for one in picked]


@pytest.fixture(scope="session")
def scene() -> Callable[..., Scene]:
    return make_scene


@pytest.fixture(scope="session")
def oracle() -> Callable[..., dict[str, np.ndarray]]:
    return oracle_arrays


@pytest.fixture(scope="session")
def twelve() -> Callable[[dict[str, np.ndarray]], list[float]]:
    return oracle_numbers


@pytest.fixture(scope="session")
def as_rle() -> Callable[[np.ndarray], dict[str, Any]]:
    return compressed
