"""Detectors and mask heads as graphs choose and draw what they do in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from maskwright.detectors import RPN, SSD, YOLO, BoxHead, FasterRCNN
from maskwright.mask_heads import FCN, MaskRCNNHead, Prototypes, Refined
from maskwright.structures import PIXELS, Batch, Instances

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from contracts.graphs import compute
from maskwright.inference.export.end_to_end.builder import GraphBuilder, Value
from maskwright.inference.export.end_to_end.choosing import Found
from maskwright.inference.export.end_to_end.detectors import find
from maskwright.inference.export.end_to_end.geometry import width_height
from maskwright.inference.export.end_to_end.masks import draw

_CHANNELS = {4: 6, 8: 6, 16: 6}
_CLASSES = 3
_SIZES = ((90, 128), (128, 75))
"""Of the pictures in a batch of 128 x 128."""

_DETECTORS = {
    "yolo": YOLO.Config(width=8, norm=None, pre_nms=50, detections_per_image=20),
    "ssd": SSD.Config(pre_nms=30, detections_per_image=25, score_threshold=0.35),
    "faster_rcnn": FasterRCNN.Config(
        rpn=RPN.Config(
            anchor_sizes=((16,),), pre_nms_test=40, post_nms_test=50, score_threshold=0.45
        ),
        box_head=BoxHead.Config(fc_channels=()),
        score_threshold=0.3,
    ),
    "faster_rcnn agnostic, by max": FasterRCNN.Config(
        rpn=RPN.Config(anchor_sizes=((16,),), pre_nms_test=40, post_nms_test=30),
        box_head=BoxHead.Config(fc_channels=(), class_agnostic=True, pool="max", strides=(8,)),
        score_threshold=0.3,
    ),
}
_HEADS = {
    "fcn": FCN.Config(hidden_channels=8, norm=None, crop_size=20),
    "mask_rcnn": MaskRCNNHead.Config(conv_channels=(), deconv_channels=8),
    "mask_rcnn half pixel": MaskRCNNHead.Config(
        conv_channels=(), deconv_channels=8, pool="align_half_pixel", strides=(4,)
    ),
    "prototypes": Prototypes.Config(num_prototypes=5, conv_channels=(), crop_size=24),
    "refined": Refined.Config(
        coarse=MaskRCNNHead.Config(conv_channels=(), deconv_channels=8),
        size=20,
        detail_channels=4,
        conv_channels=(),
    ),
    "refined, of prototypes and pixels": Refined.Config(
        coarse=Prototypes.Config(num_prototypes=5, conv_channels=(), crop_size=24),
        size=33,
        detail_channels=0,
        conv_channels=(),
    ),
}


def _features() -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        stride: torch.randn(2, width, 128 // stride, 128 // stride, generator=generator)
        for stride, width in _CHANNELS.items()
    }


def _lively(module: torch.nn.Module) -> Any:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.2, generator=generator)
    return module.eval().requires_grad_(False)


def _linear(graph: GraphBuilder, layer: torch.nn.Linear, x: Value) -> Value:
    return graph.add("MatMul", x, layer.weight.T.contiguous().numpy()) + layer.bias.numpy()


def _classify(graph: GraphBuilder, detector: Any, pooled: Value) -> Mapping[str, Value]:
    """Return what the graph `boxes` says, for a head of one layer."""
    head = detector.box_head
    flat = pooled.transpose(0, 3, 1, 2).reshape(-1, head.classifier.in_features)
    deltas = _linear(graph, head.regressor, flat)
    lists = head.regressor.out_features // 4
    return {
        "logits": _linear(graph, head.classifier, flat),
        "deltas": deltas.reshape(flat.side(0), lists, 4),
    }


def _arrays(dense: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: each.contiguous().numpy() for name, each in dense.items()}


@pytest.mark.parametrize("finds_any", [True, False])
@pytest.mark.parametrize("name", list(_DETECTORS))
def test_detectors_choose_what_detect_from_does(name: str, finds_any: bool) -> None:
    config = _DETECTORS[name]
    if not finds_any:
        config = type(config)(**{**vars(config), "score_threshold": 1.0})
    detector = _lively(config.build(_CHANNELS, _CLASSES))
    features = _features()
    batch = Batch(images=torch.zeros(2, 3, 128, 128), image_sizes=_SIZES, original_sizes=_SIZES)
    dense = detector.dense(features, (128, 128))
    expected = detector.detect_from(dense, features, batch)
    levels = {f"features_{stride}": each for stride, each in features.items()}

    def build(graph: GraphBuilder, given: Any) -> Any:
        found = find(
            graph,
            detector,
            _CLASSES,
            given,
            width_height(graph, given["sizes"]),
            lambda pooled: _classify(graph, detector, pooled),
        )
        return {"boxes": found.boxes, "labels": found.labels, "pictures": found.pictures} | {
            "scores": found.scores
        }

    if not isinstance(detector, FasterRCNN):
        levels = {}
    sizes = np.array(_SIZES, np.int64)
    found = compute(build, sizes=sizes, **_arrays({**dense, **levels}))
    assert len(found["scores"]) == sum(map(len, expected))
    for picture, theirs in enumerate(expected):
        assert (len(theirs) >= 5) == finds_any
        here = found["pictures"] == picture
        assert np.allclose(found["boxes"][here], theirs.boxes.numpy(), atol=1e-3)
        assert np.allclose(found["scores"][here], theirs.scores.numpy(), atol=1e-5)
        assert found["labels"][here].tolist() == theirs.labels.tolist()


def _detections(counts: tuple[int, int]) -> list[Instances]:
    generator = torch.Generator().manual_seed(2)
    detections = []
    for count, size in zip(counts, _SIZES, strict=True):
        corner = torch.rand(count, 2, generator=generator) * 60
        sides = torch.rand(count, 2, generator=generator) * 60 + 1
        detections.append(
            Instances(
                image_size=size,
                boxes=torch.cat((corner, corner + sides), dim=1),
                labels=torch.randint(0, _CLASSES, (count,), generator=generator),
                scores=torch.ones(count),
            )
        )
    return detections


def _pooled_graph(graph: GraphBuilder, head: Any, name: str, inputs: Mapping[str, Value]) -> Value:
    """Return what the graph `mixing`, `masks` or `refining` says, for heads of few layers."""
    pooled = inputs["pooled"].transpose(0, 3, 1, 2)
    if name == "refining":
        (last,) = head.correction
        weight, bias = last.weight.numpy(), last.bias.numpy()
        return graph.add("Conv", pooled, weight, bias, pads=[1, 1, 1, 1])
    if isinstance(head, Refined):
        head = head.coarse
    if name == "mixing":
        _, first, _, second, _ = head.coefficients
        hidden = _linear(graph, first, pooled.reshape(-1, first.in_features))
        return graph.add("Tanh", _linear(graph, second, graph.add("Relu", hidden)))
    wide = graph.add(
        "ConvTranspose",
        pooled,
        head.deconv.weight.numpy(),
        head.deconv.bias.numpy(),
        strides=[2, 2],
    )
    weight, bias = head.logits.weight.numpy(), head.logits.bias.numpy()
    logits = graph.add("Conv", graph.add("Relu", wide), weight, bias)  # (n, k, s, s)
    return logits.take_each(inputs["labels"].unsqueeze(1), batch_axes=1)


@pytest.mark.parametrize("counts", [(7, 4), (0, 3), (0, 0)])
@pytest.mark.parametrize("name", list(_HEADS))
def test_mask_heads_draw_what_crops_from_does(name: str, counts: tuple[int, int]) -> None:
    head = _lively(_HEADS[name].build({PIXELS: 3, **_CHANNELS}, _CLASSES))
    features, detections = _features(), _detections(counts)
    if isinstance(head, Refined):
        features[PIXELS] = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(3))
    dense = head.dense(features)
    expected = torch.cat(head.crops_from(dense, features, detections))

    def build(graph: GraphBuilder, given: Any) -> Any:
        found = Found(
            places=given["places"],
            boxes=given["boxes"],
            labels=given["labels"],
            scores=given["labels"],
        )
        return {
            "crops": draw(
                graph,
                head,
                given,
                found,
                lambda name, inputs: _pooled_graph(graph, head, name, inputs),
            )
        }

    places = [[picture, rank] for picture in range(2) for rank in range(counts[picture])]
    found = compute(
        build,
        places=np.array(places, np.int64).reshape(-1, 2),
        boxes=torch.cat([each.boxes for each in detections]).numpy(),
        labels=torch.cat([each.labels for each in detections]).numpy(),
        **_arrays(dense),
        **_arrays({f"features_{stride}": each for stride, each in features.items()}),
    )["crops"]
    assert found.shape == expected.shape
    assert np.allclose(found, expected.numpy(), atol=1e-4)
    assert not sum(counts) or expected.std() > 0.01
