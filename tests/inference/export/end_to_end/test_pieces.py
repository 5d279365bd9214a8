"""The pieces of the end-to-end graph, in ONNX Runtime, are our code in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter
from maskwright.model.picture_batches import collate_pictures
from maskwright.ops import pool_rois, select_detections
from maskwright.score_calibration import ScoreCalibration
from maskwright.structures import Instances
from maskwright.transforms import resized_size

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from contracts.graphs import compute
from maskwright.inference.export.end_to_end.builder import GraphBuilder
from maskwright.inference.export.end_to_end.calibrating import calibrate, rank
from maskwright.inference.export.end_to_end.choosing import Found, choose
from maskwright.inference.export.end_to_end.geometry import width_height
from maskwright.inference.export.end_to_end.masks import mask_areas, paste
from maskwright.inference.export.end_to_end.pooling import pool
from maskwright.inference.export.end_to_end.preparing import prepare

_MEAN = (10.0, 20.0, 30.0)


def _stacked(pictures: list[np.ndarray], filling: int = 0) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.array([each.shape[:2] for each in pictures], np.int64)
    images = np.full((len(pictures), *sizes.max(axis=0), 3), filling, np.uint8)
    for place, picture in zip(images, pictures, strict=True):
        place[: picture.shape[0], : picture.shape[1]] = picture
    return images, sizes


def _prepared(config: Any, pictures: list[np.ndarray], filling: int = 0) -> dict[str, np.ndarray]:
    def build(graph: GraphBuilder, given: Any) -> Any:
        batch = prepare(graph, given["images"], given["sizes"], config, _MEAN)
        return {"pixels": batch.pixels, "sizes": batch.sizes, "padded": batch.padded}

    images, sizes = _stacked(pictures, filling)
    return compute(build, images=images, sizes=sizes)


@pytest.mark.parametrize(
    "config",
    [
        InstanceSegmenter.Config(short_side=64, long_side=100),
        InstanceSegmenter.Config(short_side=300, long_side=310, size_multiple=128),
        InstanceSegmenter.Config(fixed_size=(50, 70), size_multiple=32),
    ],
)
def test_pictures_are_resized_and_padded_as_by_collate(config: Any) -> None:
    rng = np.random.default_rng(0)
    pictures = [
        rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        for size in ((64, 64), (1, 1), (500, 3), (37, 211), (333, 222))
    ]
    wanted = collate_pictures(
        pictures,
        size_of=lambda size: resized_size(
            size,
            short_side=config.short_side,
            long_side=config.long_side,
            fixed_size=config.fixed_size,
        ),
        size_multiple=config.size_multiple,
        device=torch.device("cpu"),
    )
    expected = wanted.images.numpy().copy()
    for place, (height, width) in zip(expected, wanted.image_sizes, strict=True):
        place[:, height:] = np.array(_MEAN)[:, None, None]
        place[:, :, width:] = np.array(_MEAN)[:, None, None]
    # what lies beside a picture in its array must not be seen
    found = _prepared(config, pictures, filling=255)
    assert found["sizes"].tolist() == [list(each) for each in wanted.image_sizes]
    assert found["pixels"].shape == expected.shape
    assert np.abs(found["pixels"] - expected).max() <= 1e-4  # of 255


def test_sizes_follow_the_rule_of_every_runtime() -> None:
    rng = np.random.default_rng(1)
    sizes = np.concatenate(
        [rng.integers(1, 3000, (3000, 2)), rng.integers(1, 40, (500, 2)), [[1, 1], [1, 9000]]]
    )
    config = InstanceSegmenter.Config(short_side=801, long_side=1333)

    def build(graph: GraphBuilder, given: Any) -> Any:
        from maskwright.inference.export.end_to_end.preparing import resized_sizes

        return {"resized": resized_sizes(graph, given["sizes"], config)}

    found = compute(build, sizes=sizes)["resized"]
    for size, resized in zip(sizes.tolist(), found.tolist(), strict=True):
        assert tuple(resized) == resized_size(tuple(size), short_side=801, long_side=1333)


def _random_boxes(rng: np.random.Generator, count: int, side: float) -> np.ndarray:
    corner = rng.uniform(-5, side, (count, 2))
    return np.concatenate([corner, corner + rng.gamma(2, side / 8, (count, 2))], 1).astype(
        np.float32
    )


@pytest.mark.parametrize("method", ["align", "align_half_pixel", "max"])
@pytest.mark.parametrize("strides", [(8,), (4, 8, 16)])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_boxes_are_pooled_as_by_pool_rois(
    method: Any, strides: tuple[int, ...], count: int
) -> None:
    rng = np.random.default_rng(2)
    maps = {
        f"map_{s}": rng.normal(size=(2, 3, 400 // s, 480 // s)).astype(np.float32) for s in strides
    }
    boxes = _random_boxes(rng, count, 400)
    boxes[: count // 4, 2:] = boxes[: count // 4, :2] + 112.0  # on the border of two levels
    pictures = np.sort(rng.integers(0, 2, count))

    def build(graph: GraphBuilder, given: Any) -> Any:
        features = {stride: given[f"map_{stride}"] for stride in strides}
        pooled = pool(
            graph,
            features,
            given["boxes"],
            given["pictures"],
            size=5,
            sampling_ratio=2,
            method=method,
        )
        return {"pooled": pooled}

    found = compute(build, boxes=boxes, pictures=pictures, **maps)["pooled"]
    expected = pool_rois(
        {stride: torch.from_numpy(maps[f"map_{stride}"]) for stride in strides},
        [torch.from_numpy(boxes[pictures == i]) for i in range(2)],
        size=5,
        sampling_ratio=2,
        method=method,
    )
    assert found.shape == (count, 5, 5, 3)
    assert np.allclose(found, expected.permute(0, 2, 3, 1).numpy(), atol=1e-5)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("threshold", "most"), [(0.1, 500), (0.1, 7), (0.0, 30), (1.0, 10)])
def test_detections_are_chosen_as_by_select_detections(
    shared: bool, threshold: float, most: int
) -> None:
    rng = np.random.default_rng(3)
    k, n, sizes = 3, 60, np.array([[90, 70], [50, 100]], np.int64)
    boxes = np.stack(
        [[_random_boxes(rng, n, 80) for _ in range(1 if shared else k)] for _ in range(2)]
    )  # (b, k, n, 4)
    boxes[:, :, 5, 2] = boxes[:, :, 5, 0]  # without area
    scores = rng.uniform(0, 1, (2, k, n)).astype(np.float32)
    scores[:, :, 10:30] = np.round(scores[:, :, 10:30], 1)  # some are equal, some 0

    def build(graph: GraphBuilder, given: Any) -> Any:
        found = choose(
            graph,
            given["boxes"],
            given["scores"],
            width_height(graph, given["sizes"]),
            num_classes=k,
            shared=shared,
            score_threshold=threshold,
            nms_threshold=0.4,
            max_detections=most,
        )
        return {"places": found.places, "boxes": found.boxes} | {
            "labels": found.labels,
            "scores": found.scores,
        }

    found = compute(build, boxes=boxes, scores=scores, sizes=sizes)
    for picture in range(2):
        expected = select_detections(
            torch.from_numpy(boxes[picture]).transpose(0, 1),
            torch.from_numpy(scores[picture]).T,
            tuple(sizes[picture].tolist()),
            score_threshold=threshold,
            nms_threshold=0.4,
            max_detections=most,
        )
        assert (len(expected) == 0) == (threshold == 1.0)
        here = found["places"][:, 0] == picture
        assert found["places"][here, 1].tolist() == list(range(len(expected)))
        assert np.allclose(found["scores"][here], expected.scores.numpy())
        # rows of equal score may change places
        order, theirs = _sorted(found, here), _sorted_instances(expected)
        assert np.allclose(order, theirs)


def _sorted(found: dict[str, np.ndarray], here: np.ndarray) -> np.ndarray:
    columns = np.column_stack([found["scores"], found["labels"], found["boxes"]])[here]
    return columns[np.lexsort(columns.round(4).T)]


def _sorted_instances(instances: Instances) -> np.ndarray:
    columns = np.column_stack(
        [instances.scores.numpy(), instances.labels.numpy(), instances.boxes.numpy()]
    ).astype(np.float64)
    return columns[np.lexsort(columns.round(4).T)]


@pytest.mark.parametrize("count", [0, 1, 30])
def test_masks_are_pasted_as_by_masks_paste(count: int) -> None:
    rng = np.random.default_rng(4)
    sizes = np.array([[90, 120], [60, 40]], np.int64)
    pictures = np.sort(rng.integers(0, 2, count))
    boxes = _random_boxes(rng, count, 60)
    boxes[::5] -= 30.0  # over the upper left border, some wholly beyond it
    coarse = rng.uniform(0, 1, (count, 4, 4)).astype(np.float32)
    crops = coarse.repeat(3, axis=1).repeat(3, axis=2)

    def build(graph: GraphBuilder, given: Any) -> Any:
        of_each = given["sizes"].take(given["pictures"])
        frame = (graph.constant(90), graph.constant(120))
        arguments = (given["crops"], given["boxes"], of_each, frame)
        return {"masks": paste(graph, *arguments), "areas": mask_areas(graph, *arguments)}

    found = compute(build, crops=crops, boxes=boxes, sizes=sizes, pictures=pictures)
    assert found["masks"].shape == (count, 90, 120)
    assert found["areas"].tolist() == found["masks"].sum(axis=(1, 2)).tolist()
    for i, (height, width) in enumerate(sizes.tolist()):
        here = pictures == i
        expected = Masks.paste(crops[here], boxes[here], (height, width)).to_dense()
        assert not found["masks"][here, height:].any()
        assert not found["masks"][here, :, width:].any()
        assert np.array_equal(found["masks"][here, :height, :width] > 0, expected)
    assert count < 30 or found["areas"].max() > 100


@pytest.mark.parametrize("method", ["temperature", "logistic", "size"])
@pytest.mark.parametrize("count", [0, 50])
def test_scores_are_calibrated_and_ordered_as_by_score_calibration(method: Any, count: int) -> None:
    rng = np.random.default_rng(5)
    slopes = (0.3, -0.2) if method == "size" else (0.0, 0.0)
    calibration = ScoreCalibration(
        class_names=("a", "b"),
        method=method,
        temperatures=(0.2, 2.5),
        shifts=(0.0, 0.0) if method == "temperature" else (-0.5, 0.7),
        slopes=slopes,
        centre=5.0,
    )
    pictures = np.sort(rng.integers(0, 2, count))
    scores = rng.uniform(0, 1, count).astype(np.float32)
    scores[: min(count, 3)] = (1.0, 0.99999, 0.0)[:count]
    labels, areas = rng.integers(0, 2, count), rng.integers(0, 5000, count).astype(np.float64)
    order = np.lexsort((-scores, pictures))
    pictures, scores, labels, areas = (each[order] for each in (pictures, scores, labels, areas))
    ranks = np.concatenate([np.arange((pictures == i).sum()) for i in range(2)]).astype(np.int64)
    places = np.column_stack([pictures, ranks])

    def build(graph: GraphBuilder, given: Any) -> Any:
        found = Found(
            places=given["places"],
            boxes=given["scores"],
            labels=given["labels"],
            scores=given["scores"],
        )
        calibrated = calibrate(graph, found, calibration, given["areas"])
        order = rank(graph, found, calibrated, graph.constant(2))
        return {"scores": calibrated, "order": order}

    found = compute(build, places=places, scores=scores, labels=labels, areas=areas)
    expected = calibration.calibrated(scores, labels, areas)
    assert np.allclose(found["scores"], expected, atol=1e-6)
    wanted = np.lexsort((-found["scores"], pictures))
    assert found["order"].tolist() == wanted.tolist()
