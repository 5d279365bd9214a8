"""Losses of learning from a teacher, against formulas in NumPy and what must hold of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from contracts.tiny_models import TINY_DETECTORS, TINY_HEADS, picture_with_objects, tiny_model
from maskwright.backbones import CSP, FPN
from maskwright.errors import ConfigError
from maskwright.model import InstanceSegmenter
from maskwright.training import Distillation, Distilled
from maskwright.training.distilling import feature_loss
from maskwright.training.soft_detections import soft_detection_losses

_CONFIG = Distillation(teacher="big.safetensors")
_CLASSES = ("coin", "nut", "screw")


def test_the_feature_loss_is_one_minus_pearsons_correlation() -> None:
    rng = np.random.default_rng(0)
    own, wanted = rng.normal(size=(2, 2, 3, 4, 5))
    own[:, 1] = 7.0  # a constant channel correlates with nothing
    expected = []
    for channel in range(3):
        one, other = own[:, channel].ravel(), wanted[:, channel].ravel()
        expected.append(1.0 if channel == 1 else 1.0 - np.corrcoef(one, other)[0, 1])
    found = feature_loss(torch.tensor(own), torch.tensor(wanted))
    assert float(found) == pytest.approx(np.mean(expected), abs=1e-5)


@pytest.mark.parametrize("detector", ["ssd", "yolo", "faster_rcnn"])
def test_a_copy_of_the_teacher_has_nothing_to_learn_from_it(detector: str) -> None:
    torch.manual_seed(0)
    model = tiny_model(detector, "fcn").requires_grad_(True)
    distilled = Distilled(model, tiny_model(detector, "fcn"), _CONFIG)
    assert distilled.parts == ("detections", "map")
    assert not len(distilled.adapters)
    losses = distilled.eval()(picture_with_objects())
    for name in ("features", "classes", "boxes", "map"):
        assert float(losses[f"distilled_{name}"].detach()) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("head", TINY_HEADS)
@pytest.mark.parametrize("detector", ["ssd", "yolo", "faster_rcnn", "rcnn"])
def test_any_pair_teaches_any_other(detector: str, head: str) -> None:
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(
        backbone=CSP.Config(width=0.125),
        neck=FPN.Config(channels=16),
        detector=TINY_DETECTORS["yolo"],
        mask_head=TINY_HEADS["fcn"],
        short_side=128,
        long_side=200,
    )
    student = config.build(_CLASSES)
    distilled = Distilled(student, tiny_model(detector, head), _CONFIG)
    assert set(distilled.strides) == {4, 8, 16, 32, 64}
    assert len(distilled.adapters) == 5
    names = {name for name, _ in distilled.named_parameters()}
    assert not any("teacher" in name for name in names)
    losses = distilled(picture_with_objects())
    extra = {"distilled_features"}
    if detector == "yolo":
        extra |= {"distilled_classes", "distilled_boxes"}
    if head in ("fcn", "deeplab"):
        extra |= {"distilled_map"}
    assert {name for name in losses if name.startswith("distilled")} == extra
    torch.stack([losses[name] for name in extra]).sum().backward()
    assert all(each.weight.grad is not None for each in distilled.adapters.values())
    assert student.backbone.stem[0].weight.grad is not None


def test_learning_from_a_teacher_brings_its_maps_nearer() -> None:
    torch.manual_seed(0)
    model = tiny_model("ssd", "fcn").requires_grad_(True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    distilled = Distilled(model, tiny_model("ssd", "fcn"), _CONFIG).eval()
    optimizer = torch.optim.SGD(distilled.parameters(), lr=0.003)
    batch, history = picture_with_objects(), []
    for _ in range(5):
        losses = distilled(batch)
        total = torch.stack([v for n, v in losses.items() if n.startswith("distilled")]).sum()
        history.append(float(total.detach()))
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(distilled.parameters(), 1.0)
        optimizer.step()
    assert history[-1] < history[0]


def test_soft_classes_are_hintons_divergence_weighted_by_belief() -> None:
    rng = np.random.default_rng(0)
    own, wanted = rng.normal(size=(2, 1, 4, 3))  # background and two classes, at four places
    deltas = rng.normal(size=(2, 1, 4, 4))

    def softmax(x: np.ndarray) -> np.ndarray:
        return np.exp(x) / np.exp(x).sum(-1, keepdims=True)

    p, q = softmax(wanted / 2), softmax(own / 2)
    divergence = 4 * (p * np.log(p / q)).sum(-1)
    believed = 1 - softmax(wanted)[..., 0]
    either = np.maximum(believed, 1 - softmax(own)[..., 0])
    losses = soft_detection_losses(
        ("detections",),
        tiny_model("ssd", "none"),
        {"logits": torch.tensor(own), "deltas": torch.tensor(deltas[0])},
        {"logits": torch.tensor(wanted), "deltas": torch.tensor(deltas[1])},
        2.0,
    )
    expected = (divergence * either).sum() / either.sum()
    assert float(losses["distilled_classes"]) == pytest.approx(expected, rel=1e-5)
    gap = np.abs(deltas[0] - deltas[1])
    smooth = np.where(gap < 1, 0.5 * gap**2, gap - 0.5).sum(-1)
    expected = (smooth * believed).sum() / max(believed.sum(), 1.0)
    assert float(losses["distilled_boxes"]) == pytest.approx(expected, rel=1e-5)


def test_a_teacher_must_know_the_classes_and_have_something_to_say() -> None:
    model = tiny_model("ssd", "fcn")
    other = tiny_model("yolo", "mask_rcnn").config.build(("coin", "nut", "gem"))
    with pytest.raises(ConfigError, match=r"big\.safetensors.*differ in gem, screw"):
        Distilled(model, other, _CONFIG)
    nothing = Distillation(teacher="big.safetensors", features=0.0)
    with pytest.raises(ConfigError, match="nothing to learn from it"):
        Distilled(model, tiny_model("yolo", "mask_rcnn"), nothing)
