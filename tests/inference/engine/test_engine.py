"""The engine against the model it was made from, run in plain PyTorch."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from contracts.exactness import require_same
from contracts.tiny_models import TINY, TINY_DETECTORS, TINY_HEADS, soft_pictures, tiny_config
from maskwright.backbones import CSP, FPN, VGG, MobileNet, ResNet, Timm
from maskwright.errors import ConfigError, MaskwrightError
from maskwright.inference import Predictor, Runtime, SemanticRuntime
from maskwright.inference.engine import Engine, SemanticEngine
from maskwright.inference.engine.layers import FusedConv2d, fused_kernels_exist
from maskwright.model import InstanceSegmenter, SemanticSegmenter
from maskwright.model.lively import make_lively

BACKBONES = {
    "resnet50": ResNet.Config(depth=50, norm="frozen_batch", norm_eps=0.0),
    "resnet50_dilated": ResNet.Config(depth=50, output_stride=16),
    "resnet18_group": ResNet.Config(depth=18, norm="group"),
    "vgg": VGG.Config(norm="batch"),
    "vgg_ssd": VGG.Config(levels="ssd512"),
    "mobilenet": MobileNet.Config(size="small"),
    "mobilenet_ssdlite": MobileNet.Config(levels="ssdlite", reduced_tail=True),
    "csp": CSP.Config.of_size("nano"),
    "timm": Timm.Config(model="tf_efficientnet_lite0"),
    "timm_frozen": Timm.Config(model="regnety_002", norm="frozen_batch"),
    "timm_squeeze": Timm.Config(model="mobilenetv3_small_050"),
    "timm_standardised": Timm.Config(model="nf_regnet_b0"),
    "timm_channels_last": Timm.Config(model="convnext_atto"),
}


def _config(detector: str, head: str, backbone: str | None = None) -> InstanceSegmenter.Config:
    return tiny_config(detector, head, TINY if backbone is None else BACKBONES[backbone])


def _model(config: InstanceSegmenter.Config) -> InstanceSegmenter:
    torch.manual_seed(0)
    model = config.build(("coin", "nut", "screw"), (3, 5, 8))
    make_lively(model, soft_pictures()[0])
    return model


def _require_exact(model: InstanceSegmenter, engine: Engine) -> None:
    pictures = soft_pictures()
    for chosen in (pictures[:1], pictures[1:], pictures[::-1]):
        batch = model.collate(chosen)
        expected = model.predict(batch)
        assert sum(map(len, expected)) >= 5
        require_same(engine.predict(engine.collate(chosen)), expected)


@pytest.mark.parametrize(("detector", "head"), list(product(TINY_DETECTORS, TINY_HEADS)))
def test_every_pair_predicts_what_its_model_does(detector: str, head: str) -> None:
    model = _model(_config(detector, head))
    _require_exact(model, Engine(model))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_predicts_what_its_model_does(backbone: str) -> None:
    if backbone.startswith("timm"):
        pytest.importorskip("timm")
    model = _model(_config("faster_rcnn", "mask_rcnn", backbone))
    _require_exact(model, Engine(model))


@pytest.mark.parametrize("shared", ["class_agnostic", "align_half_pixel"])
def test_options_of_the_mask_head_are_kept(shared: str) -> None:
    head = TINY_HEADS["mask_rcnn"]
    changed = (
        replace(head, class_agnostic=True)
        if shared == "class_agnostic"
        else replace(head, pool=shared, norm=None, sampling_ratio=1, pool_size=7)
    )
    model = _model(replace(_config("faster_rcnn", "mask_rcnn"), mask_head=changed))
    _require_exact(model, Engine(model))


def test_the_model_stays_as_it_was() -> None:
    model = _model(_config("faster_rcnn", "mask_rcnn")).train()
    before = copy.deepcopy(model.state_dict())
    modes = {name: module.training for name, module in model.named_modules()}
    learns = {name: each.requires_grad for name, each in model.named_parameters()}
    kinds = {name: type(module) for name, module in model.named_modules()}
    Engine(model)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: each.requires_grad for name, each in model.named_parameters()} == learns
    assert {name: type(module) for name, module in model.named_modules()} == kinds
    assert not any(module._forward_hooks for module in model.modules())


def test_all_batch_norms_of_a_resnet_with_fpn_are_gone() -> None:
    for norm in ("batch", "frozen_batch"):
        config = replace(_config("faster_rcnn", "mask_rcnn"), backbone=replace(TINY, norm=norm))
        engine = Engine(_model(config))
        kinds = [type(module) for module in engine.network.modules()]
        assert nn.BatchNorm2d not in kinds
        assert FrozenBatchNorm2d not in kinds


@pytest.mark.skipif(not fused_kernels_exist(), reason="PyTorch without oneDNN")
def test_convolutions_of_a_resnet_do_their_activations() -> None:
    engine = Engine(_model(_config("faster_rcnn", "mask_rcnn")))
    kinds = [type(module) for module in engine.network.modules()]
    assert nn.Conv2d not in kinds
    assert kinds.count(FusedConv2d) > 20


def test_pictures_without_objects_give_no_objects() -> None:
    for head in TINY_HEADS:
        config = _config("faster_rcnn", head)
        model = _model(replace(config, detector=replace(config.detector, score_threshold=1.0)))
        for found in Engine(model).predict(model.collate(soft_pictures())):
            assert len(found) == 0
            assert (found.masks is None) is (head == "none")


def test_what_a_result_says_besides_is_kept() -> None:
    model = _model(_config("faster_rcnn", "mask_rcnn"))
    engine = Engine(model)
    assert isinstance(engine, Runtime)
    (found,) = engine.predict(engine.collate(soft_pictures()[:1]))
    assert found.class_names == engine.class_names == ("coin", "nut", "screw")
    assert found.category_ids == engine.category_ids == (3, 5, 8)
    assert (engine.picture_side, engine.object_side) == (model.picture_side, model.object_side)
    assert found.masks.image_size == (130, 170)
    assert Predictor(engine).finds_objects


@pytest.mark.parametrize("head", ["fcn", "deeplab"])
def test_class_maps_are_those_of_the_model(head: str) -> None:
    config = SemanticSegmenter.Config(
        backbone=TINY,
        neck=FPN.Config(channels=32),
        head=TINY_HEADS[head],
        short_side=64,
        long_side=96,
    )
    torch.manual_seed(0)
    model = config.build(("coin", "nut"))
    make_lively(model, soft_pictures()[0])
    engine = SemanticEngine(model)
    assert isinstance(engine, SemanticRuntime)
    assert not Predictor(engine).finds_objects
    batch = model.collate(soft_pictures())
    for found, expected in zip(engine.class_maps(batch), model.class_maps(batch), strict=True):
        assert (found != expected).mean() <= 1e-4
    instances = _model(_config("ssd", head))
    batch = instances.collate(soft_pictures()[:1])
    (found,), (expected,) = Engine(instances).class_maps(batch), instances.class_maps(batch)
    assert (found != expected).mean() <= 1e-4


def test_a_backbone_that_the_engine_gets_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from maskwright.inference.engine import folding

    def wrong(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        scale, shift = right(norm)
        return 1.01 * scale, shift

    right = folding._scale_and_shift
    monkeypatch.setattr(folding, "_scale_and_shift", wrong)
    with pytest.raises(MaskwrightError, match=r"features at stride 4 .* runtime='eager'"):
        Engine(_model(_config("ssd", "none")))


def test_bfloat16_is_refused_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(_config("ssd", "fcn"))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    with pytest.raises(ConfigError, match="no bfloat16 arithmetic"):
        Engine(model, precision="bf16")


def test_bfloat16_finds_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(_config("faster_rcnn", "mask_rcnn")).eval().requires_grad_(False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    engine = Engine(model, precision="bf16")
    batch = model.collate(soft_pictures()[:1])
    exact = model.features(batch)
    with engine._arithmetic():
        rough = engine.network.features(engine._prepared(batch))
    for stride, feature in exact.items():
        assert rough[stride].dtype == torch.bfloat16
        difference = (rough[stride].float() - feature).abs().max()
        assert 0 < difference < 0.1 * feature.abs().max()
    assert len(engine.predict(batch)[0])
