"""Where models are cut into graphs: the pieces and our shared code together are the model."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from contracts.exactness import require_same
from contracts.tiny_models import TINY_DETECTORS, TINY_HEADS, soft_pictures, tiny_model
from maskwright.detectors import RCNN, Detector
from maskwright.errors import ConfigError
from maskwright.inference.export.agreement import picture_agreement
from maskwright.inference.export.folder import ExportHeader
from maskwright.inference.export.graphs import Graph, graphs_of
from maskwright.inference.export.runtime import ExportedSegmenter, run_on_boxes
from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter
from maskwright.structures import Instances


class _Traced:
    """Runs a graph's module as it is, in place of a runtime."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.counts: list[int] = []

    @torch.no_grad()
    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert list(inputs) == list(self.graph.inputs)
        self.counts.append(len(next(iter(inputs.values()))))
        found = self.graph.module(*map(torch.from_numpy, inputs.values()))
        return {name: each.numpy() for name, each in zip(self.graph.outputs, found, strict=True)}


def _exported(model: InstanceSegmenter) -> ExportedSegmenter:
    rest: dict[str, Tensor] = {}
    if isinstance(model.detector, RCNN):
        rest = {
            name: each
            for name, each in model.detector.state_dict().items()
            if not name.startswith("network.")
        }
    header = ExportHeader(
        to="onnx",
        precision="fp32",
        model=model.config,
        class_names=model.class_names,
        category_ids=model.category_ids,
        channels=dict(model.neck.channels),
        pixel_mean=tuple(model.pixel_mean.flatten().tolist()),
        pixel_std=tuple(model.pixel_std.flatten().tolist()),
    )
    sessions = {graph.name: _Traced(graph) for graph in graphs_of(model)}
    return ExportedSegmenter(header, sessions, rest)


@pytest.mark.parametrize(("detector", "head"), list(product(TINY_DETECTORS, TINY_HEADS)))
def test_the_pieces_of_every_pair_predict_what_the_model_does(detector: str, head: str) -> None:
    model = tiny_model(detector, head)
    exported = _exported(model)
    pictures = soft_pictures()
    for chosen in (pictures[:1], pictures[1:]):
        expected = model.predict(model.collate(chosen))
        assert sum(map(len, expected)) >= 5
        require_same(exported.predict(exported.collate(chosen)), expected)


def test_no_graph_is_asked_to_run_without_boxes() -> None:
    model = tiny_model("faster_rcnn", "mask_rcnn")
    model.detector.config = type(model.detector.config)(
        **{**vars(model.detector.config), "score_threshold": 1.0}
    )
    exported = _exported(model)
    exported.detector.config = model.detector.config
    (found,) = exported.predict(exported.collate(soft_pictures()[:1]))
    assert len(found) == 0
    assert len(found.masks) == 0
    assert exported.sessions["masks"].counts == [1]


def test_numbers_of_boxes_are_filled_up_to_few_sizes() -> None:
    graph = graphs_of(tiny_model("faster_rcnn", "none"))[1]
    session = _Traced(graph)
    shape = graph.inputs["pooled"].shape[1:]
    for count in range(150):
        found = run_on_boxes(session, {"pooled": torch.zeros(count, *shape)})
        assert len(found["logits"]) == count
    assert len(set(session.counts)) < 50
    assert max(session.counts) <= 150 * 9 / 8


def test_a_detector_that_nobody_has_cut_is_refused() -> None:
    class Grid(Detector):
        def loss(self, features, batch):
            raise NotImplementedError

        def detect(self, features, batch):
            raise NotImplementedError

    model = tiny_model("yolo", "fcn")
    model.detector = Grid()
    with pytest.raises(ConfigError, match="detector Grid cannot be exported"):
        graphs_of(model)


def _found(boxes: list[list[int]], labels: list[int]) -> Instances:
    masks = Masks.from_boxes(boxes, (20, 20)) if boxes else Masks.empty((20, 20))
    return Instances(
        image_size=(20, 20),
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=torch.ones(len(boxes)),
        masks=masks,
    )


def test_the_agreement_of_two_results_counts_what_either_lacks() -> None:
    one = _found([[0, 0, 10, 10], [10, 10, 20, 20]], [0, 1])
    assert picture_agreement(one, one) == 1.0
    assert picture_agreement(one, _found([], [])) == 0.0
    assert picture_agreement(_found([], []), _found([], [])) == 1.0
    assert picture_agreement(one, one[:1]) == pytest.approx(2 / 3)
    other_class = _found([[0, 0, 10, 10], [10, 10, 20, 20]], [0, 0])
    assert picture_agreement(one, other_class) == pytest.approx(2 / 4)
