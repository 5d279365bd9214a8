from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from contracts.detector_contract import DetectorContract
from contracts.made_up import drawn_batch_of, ellipses, random_features
from maskwright.detectors import RPN, BoxHead, FasterRCNN, FastRCNN
from maskwright.detectors.picture_search import PictureSearch
from maskwright.detectors.selective_search import ProposalCache, selective_search
from maskwright.ops import Setting
from maskwright.structures import Batch

_ALL = 100_000
"""More samples than there are boxes: all are learnt from, and nothing is random."""

_CONFIG = FastRCNN.Config(
    search=PictureSearch.Config(longest_side=100, max_proposals=200),
    box_head=BoxHead.Config(
        pool="max", fc_channels=(64,), pool_size=5, samples_per_image=_ALL, positive_fraction=1.0
    ),
    score_threshold=0.01,
)


class TestFastRCNN(DetectorContract):
    config = _CONFIG

    def batch(self) -> Batch:
        """Pictures, for selective search finds nothing in noise."""
        return _batch()


class TestFastRCNNWithRoIAlignOnOneLevel(TestFastRCNN):
    config = replace(_CONFIG, box_head=replace(_CONFIG.box_head, strides=(8,), pool="align"))
    channels = {4: 8, 8: 16, 16: 32}  # noqa: RUF012


def _batch() -> Batch:
    targets = (
        ellipses((90, 120), [(10, 12, 50, 40), (60, 30, 110, 84)], [0, 2]),
        ellipses((96, 100), [], []),
    )
    return drawn_batch_of(targets, (96, 128))


def test_proposals_are_those_of_selective_search_on_the_picture_without_its_padding() -> None:
    batch = _batch()
    search = PictureSearch(_CONFIG.search)
    for boxes, image, (height, width) in zip(
        search(batch), batch.images, batch.image_sizes, strict=True
    ):
        pixels = image[:, :height, :width].round().to(torch.uint8).permute(1, 2, 0).numpy()
        expected = selective_search(
            np.ascontiguousarray(pixels), longest_side=100, max_proposals=200
        )
        np.testing.assert_array_equal(boxes.numpy(), expected)


def test_uint8_pictures_and_their_float_copies_give_the_same_proposals() -> None:
    batch = _batch()
    floats = replace(batch, images=batch.images.round())
    whole = replace(batch, images=floats.images.to(torch.uint8))
    for one, other in zip(
        PictureSearch(_CONFIG.search)(whole), PictureSearch(_CONFIG.search)(floats), strict=True
    ):
        assert torch.equal(one, other)


def test_a_picture_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    def counted(image: np.ndarray, **options: object) -> np.ndarray:
        searched.append(image.shape)
        return selective_search(image, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("maskwright.detectors.picture_search.selective_search", counted)
    search, batch = PictureSearch(_CONFIG.search), _batch()
    first, second = search(batch), search(batch)
    assert searched == [(90, 120, 3), (96, 100, 3)]
    first[0][:] = 0.0  # what a caller does to its boxes is not remembered
    assert torch.equal(search(batch)[0], second[0])
    brighter = replace(batch, images=batch.images + 9)
    search(brighter)
    assert len(searched) == 4


def test_memory_for_boxes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskwright.detectors.picture_search._REMEMBERED_BYTES", 200)
    search = PictureSearch(replace(_CONFIG.search, longest_side=16, max_proposals=4))
    batch = _batch()
    for brighter in range(5):
        search(replace(batch, images=batch.images + 9.0 * brighter))
    assert sum(boxes.nbytes for boxes in search._known.values()) <= 200


def test_a_folder_keeps_the_boxes_for_another_process(tmp_path) -> None:
    first, second = (FastRCNN({8: 16}, 3, _CONFIG) for _ in range(2))
    for detector in (first, second):
        detector.search.cache = ProposalCache(tmp_path)
    batch = _batch()
    boxes = first.propose({}, batch)
    assert len(list(tmp_path.iterdir())) == 2
    assert all(map(torch.equal, boxes, second.propose({}, batch)))


def test_only_the_proposals_differ_from_faster_rcnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal heads and equal proposals, both lose and find the same."""
    channels, batch = {4: 16, 8: 16}, _batch()
    features = random_features(channels, 2, (96, 128))
    fast = FastRCNN(channels, 3, _CONFIG)
    rpn = RPN.Config(anchor_sizes=((16,), (32,)))
    options = {"box_head": _CONFIG.box_head, "score_threshold": _CONFIG.score_threshold}
    faster = FasterRCNN(channels, 3, FasterRCNN.Config(rpn=rpn, **options))
    faster.box_head.load_state_dict(fast.box_head.state_dict())
    monkeypatch.setattr(faster, "propose", fast.propose)
    monkeypatch.setattr(faster, "learn_to_propose", fast.learn_to_propose)
    for name, loss in fast.loss(features, batch)[0].items():
        assert torch.equal(loss, faster.loss(features, batch)[0][name])
    for one, other in zip(
        fast.detect(features, batch), faster.detect(features, batch), strict=True
    ):
        assert len(one) > 0
        assert torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.scores, other.scores)


def test_tiny_and_flat_pictures_have_at_least_one_proposal() -> None:
    for size in ((1, 1), (3, 40), (64, 64)):
        batch = drawn_batch_of([ellipses(size, [], [])], (64, 64))
        flat = replace(batch, images=torch.full_like(batch.images, 7.0))
        (boxes,) = PictureSearch(_CONFIG.search)(flat)
        assert boxes.tolist() == [[0.0, 0.0, size[1], size[0]]]


def test_options_for_a_processor_are_quick_and_have_room_for_many_objects() -> None:
    light = Setting(width=64, is_light=True, small_object=20.0, room=300)
    config = FastRCNN.Config.for_setting(light)
    assert config.search.longest_side < FastRCNN.Config().search.longest_side
    assert config.search.max_proposals > config.detections_per_image == 300
    heavy = FastRCNN.Config.for_setting(replace(light, is_light=False))
    assert heavy.search == PictureSearch.Config()
    assert heavy.box_head.pool == "max"
