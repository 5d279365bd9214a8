"""Every pair of detector and mask head as one graph, in ONNX Runtime with NumPy around it.

This package writes the graph and says what its model finds; neither runs the graph nor reads what
it gives, so the pair is whole where the numbers agree.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from contracts.exactness import BOX, MASK, SCORE
from contracts.tiny_models import TINY_HEADS, soft_pictures, tiny_model
from maskwright.backbones import Timm
from maskwright.inference.export.folder import read_header
from maskwright.inference.export.writing import write_exported
from maskwright.model import InstanceSegmenter
from maskwright.structures import Instances

pytest.importorskip("onnxscript")

from maskwright.inference.export.end_to_end.assembling import assemble
from maskwright.inference.export.end_to_end.writing import write_end_to_end

_DETECTORS = ("yolo", "ssd", "faster_rcnn")
_WITH_MASKS = {"boxes", "labels", "scores", "pictures", "crops", "masks"}

Arrays = dict[str, np.ndarray]


def _run(graph: str | bytes, pictures: list[np.ndarray]) -> Arrays:
    """Give a graph pictures at the left top of one array, and what it does not look at beside."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    sizes = np.array([each.shape[:2] for each in pictures], np.int64)
    images = np.full((len(pictures), *sizes.max(axis=0), 3), 255, np.uint8)
    for place, picture in zip(images, pictures, strict=True):
        place[: picture.shape[0], : picture.shape[1]] = picture
    names = [each.name for each in session.get_outputs()]
    found = session.run(names, {"images": images, "sizes": sizes})
    return dict(zip(names, found, strict=True))


def _require_same(found: Arrays, expected: list[Instances]) -> None:
    """Each expected object has one of its own among those found in its picture, and none is more.

    The bounds are those of every runtime in float32, see `contracts/exactness.py`.
    """
    wrong = total = 0
    for picture, theirs in enumerate(expected):
        here = found["pictures"] == picture
        boxes, labels, scores = (found[name][here] for name in ("boxes", "labels", "scores"))
        assert len(boxes) == len(theirs)
        if not len(theirs):
            continue
        assert (np.diff(scores) <= 0).all()
        distance = np.abs(boxes[None] - theirs.boxes.numpy()[:, None]).max(axis=2)
        distance[theirs.labels.numpy()[:, None] != labels] = np.inf
        ours = distance.argmin(axis=1)
        assert len(set(ours.tolist())) == len(theirs)
        assert distance.min(axis=1).max() <= BOX
        assert np.abs(scores[ours] - theirs.scores.numpy()).max() <= SCORE
        if "masks" in found:
            height, width = theirs.image_size
            masks = found["masks"][here][ours]
            assert not masks[:, height:].any()
            assert not masks[:, :, width:].any()
            dense = theirs.masks.to_dense()
            wrong += int((masks[:, :height, :width] != dense).sum())
            total += dense.size
    assert wrong <= MASK * total


def _require_nothing(found: Arrays, frame: tuple[int, int]) -> None:
    for name, each in found.items():
        assert len(each) == 0, name
    assert found["boxes"].shape == (0, 4)
    if "masks" in found:
        assert found["masks"].shape == (0, *frame)
        assert found["crops"].ndim == 3


@pytest.mark.slow
@pytest.mark.parametrize(("detector", "head"), list(product(_DETECTORS, TINY_HEADS)))
def test_a_pair_as_one_graph_finds_what_its_model_does(
    detector: str, head: str, tmp_path: Path
) -> None:
    model = tiny_model(detector, head, Timm.Config(model="test_resnet"))
    parts = tmp_path / "parts"
    parts.mkdir()
    write_exported(model, parts, "onnx")
    has_masks = head != "none"
    write_end_to_end(parts, tmp_path, full_masks=has_masks)
    pictures = soft_pictures()
    for chosen in (pictures[:1], pictures):
        expected = model.predict(model.collate(chosen))
        assert sum(map(len, expected)) >= 5
        found = _run(str(tmp_path / "model.onnx"), chosen)
        assert set(found) == (_WITH_MASKS if has_masks else _WITH_MASKS - {"crops", "masks"})
        _require_same(found, expected)
    # the same weights, of which nothing is sure enough, then so little that one picture is empty
    header = read_header(parts)
    assert isinstance(header.model, InstanceSegmenter.Config)
    for threshold in (1.0, _between(model, pictures)):
        model.detector.config = choosy = replace(header.model.detector, score_threshold=threshold)
        graph = assemble(
            parts,
            replace(header, model=replace(header.model, detector=choosy)),
            full_masks=has_masks,
        ).SerializeToString()
        expected = model.predict(model.collate(pictures))
        found = _run(graph, pictures)
        if threshold == 1.0:
            assert not sum(map(len, expected))
            _require_nothing(found, (200, 170))
            _require_nothing(_run(graph, pictures[1:2]), (100, 100))
        else:
            assert {len(each) > 0 for each in expected} == {True, False}
            _require_same(found, expected)


def _between(model: InstanceSegmenter, pictures: list[np.ndarray]) -> float:
    """Return a threshold that leaves some pictures of a batch with detections, and some without."""
    highest = sorted(
        float(each.scores.max()) for each in model.predict(model.collate(pictures)) if len(each)
    )
    low, high = max(pairwise(highest), key=lambda pair: pair[1] - pair[0])
    return (low + high) / 2
