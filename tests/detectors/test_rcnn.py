from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from contracts.detector_contract import DetectorContract
from contracts.made_up import drawn_batch_of, ellipses
from maskwright.backbones import CSP, Timm
from maskwright.detectors import RCNN
from maskwright.detectors.picture_search import PictureSearch
from maskwright.errors import ConfigError
from maskwright.ops import Setting, pairwise_iou
from maskwright.structures import Batch

_ALL = 100_000
"""More samples than there are boxes: all are learnt from, and nothing is random."""

_CONFIG = RCNN.Config(
    search=PictureSearch.Config(longest_side=100, max_proposals=40),
    cnn=replace(CSP.Config.of_size("nano"), norm="group"),
    warp_size=32,
    context=2,
    samples_per_image=_ALL,
    positive_fraction=1.0,
    score_threshold=0.01,
)


def _batch() -> Batch:
    """Two objects of different classes and a picture without any; selective search needs both."""
    targets = (
        ellipses((90, 120), [(10, 12, 50, 40), (60, 30, 110, 84)], [0, 2]),
        ellipses((96, 100), [], []),
    )
    return drawn_batch_of(targets, (96, 128))


class TestRCNN(DetectorContract):
    config = _CONFIG
    overfit_steps = 40
    learning_rate = 2e-3

    def batch(self) -> Batch:
        return _batch()


@pytest.fixture(scope="module")
def fitted() -> RCNN:
    """Fine-tuned for a few steps, then fitted."""
    pytest.importorskip("sklearn", reason="only training of R-CNN needs scikit-learn")
    torch.manual_seed(0)
    detector, batch = _CONFIG.build({}, 3).train(), _batch()
    optimizer = torch.optim.AdamW(detector.parameters(), lr=2e-3)
    for _ in range(25):
        optimizer.zero_grad()
        losses, _ = detector.loss({}, batch)
        losses["classification"].backward()
        optimizer.step()
    assert not detector.is_finished
    detector.finish([batch])
    assert detector.training  # as it was before
    return detector.eval()


@torch.no_grad()
def test_fitted_svms_and_regressions_find_the_objects(fitted: RCNN) -> None:
    batch = _batch()
    assert fitted.is_finished
    found, nothing = fitted.detect({}, batch)
    target = batch.targets[0]
    best = found[: len(target)]
    iou = pairwise_iou(target.boxes, best.boxes)
    assert (iou.max(dim=1).values > 0.8).all(), iou
    assert torch.equal(best.labels[iou.argmax(dim=1)], target.labels)
    assert (best.scores > 0.5).all()
    assert not (nothing.scores > 0.5).any()


@torch.no_grad()
def test_a_class_without_objects_is_never_found(fitted: RCNN) -> None:
    assert all((found.labels != 1).all() for found in fitted.detect({}, _batch()))
    assert not fitted.svm_weight[1].any()
    assert not fitted.ridge_weight[1].any()


@torch.no_grad()
def test_a_fitted_detector_comes_back_from_a_file_bit_for_bit(fitted: RCNN) -> None:
    other = _CONFIG.build({}, 3).eval()
    other.load_state_dict(load(save(fitted.state_dict())))
    assert other.is_finished
    for one, same in zip(fitted.detect({}, _batch()), other.detect({}, _batch()), strict=True):
        assert len(one) > 0 or len(one) == len(same)
        assert torch.equal(one.boxes, same.boxes)
        assert torch.equal(one.scores, same.scores)


@torch.no_grad()
def test_fitting_again_changes_nothing(fitted: RCNN) -> None:
    before = {name: tensor.clone() for name, tensor in fitted.state_dict().items()}
    fitted.fit([_batch()])
    assert all(torch.equal(tensor, before[name]) for name, tensor in fitted.state_dict().items())


@torch.no_grad()
def test_pictures_without_objects_fit_svms_that_find_nothing() -> None:
    empty = drawn_batch_of([ellipses((40, 50), [], [])], (64, 64))
    detector = _CONFIG.build({}, 2).eval()
    detector.fit([empty])
    (found,) = detector.detect({}, _batch_of_one(empty))
    assert len(found) == 0


def _batch_of_one(batch: Batch) -> Batch:
    return replace(batch, targets=None)


def test_crowds_are_neither_positives_nor_negatives() -> None:
    pytest.importorskip("sklearn", reason="only training of R-CNN needs scikit-learn")
    batch = _batch()
    crowd = replace(batch.targets[0], is_crowd=torch.tensor([False, True]))
    detector = _CONFIG.build({}, 3).eval()
    detector.fit([replace(batch, targets=(crowd, batch.targets[1]))])
    assert detector.svm_weight[0].any()
    assert not detector.svm_weight[2].any()


def test_the_network_starts_from_a_backbone_of_its_kind() -> None:
    detector, backbone = _CONFIG.build({}, 3), _CONFIG.cnn.build()
    detector.prepare(backbone)
    own = detector.network.cnn.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in backbone.state_dict().items())
    other = Timm.Config(model="test_efficientnet").build()
    detector.prepare(other)
    assert all(torch.equal(tensor, own[name]) for name, tensor in backbone.state_dict().items())


def test_options_take_the_kind_of_the_shared_backbone() -> None:
    light = Setting(width=64, is_light=True, small_object=20.0, room=200, backbone=_CONFIG.cnn)
    config = RCNN.Config.for_setting(light)
    assert config.cnn == _CONFIG.cnn
    assert config.warp_size == 64
    assert config.search.max_proposals > config.detections_per_image == 200
    heavy = RCNN.Config.for_setting(replace(light, is_light=False, backbone=None))
    assert heavy == RCNN.Config(detections_per_image=200)


def test_a_context_as_large_as_the_crop_is_refused() -> None:
    with pytest.raises(ConfigError, match="at most 15 fit"):
        replace(_CONFIG, context=16).build({}, 3)
