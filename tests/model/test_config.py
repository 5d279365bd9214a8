from __future__ import annotations

import json
from typing import Any

import pytest

from maskwright.backbones import FPN, ResNet, Timm
from maskwright.detectors import RPN, FasterRCNN
from maskwright.errors import ConfigError
from maskwright.model import (
    InstanceSegmenter,
    apply_overrides,
    config_from_dict,
    config_to_dict,
)

_DEFAULT = InstanceSegmenter.Config()


@pytest.mark.parametrize(
    "config",
    [
        _DEFAULT,
        InstanceSegmenter.Config(backbone=Timm.Config(model="resnet26"), neck=None),
        InstanceSegmenter.Config(
            neck=FPN.Config(norm="group"),
            detector=FasterRCNN.Config(rpn=RPN.Config(strides=(8, 16), anchor_sizes=((8, 16),))),
        ),
    ],
)
def test_configs_survive_json(config: InstanceSegmenter.Config) -> None:
    text = json.dumps(config_to_dict(config))
    assert config_from_dict(InstanceSegmenter.Config, json.loads(text)) == config


def test_fields_left_out_have_their_defaults() -> None:
    assert config_from_dict(InstanceSegmenter.Config, {}) == _DEFAULT
    partly = {"backbone": {"kind": "timm"}, "detector": {"score_threshold": 0.2}}
    config = config_from_dict(InstanceSegmenter.Config, partly)
    assert config.backbone == Timm.Config()
    assert config.detector == FasterRCNN.Config(score_threshold=0.2)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("detector.score_threshold", "0.3", lambda c: c.detector.score_threshold == 0.3),
        ("detector.score-threshold", 0.3, lambda c: c.detector.score_threshold == 0.3),
        ("short-side", 512, lambda c: c.short_side == 512),
        ("short_side", "512", lambda c: c.short_side == 512),
        ("neck", "none", lambda c: c.neck is None),
        ("neck.norm", "group", lambda c: c.neck.norm == "group"),
        ("neck.norm", None, lambda c: c.neck.norm is None),
        ("mask_head.class_agnostic", "true", lambda c: c.mask_head.class_agnostic is True),
        ("mask-head.rois-per-image", "32", lambda c: c.mask_head.rois_per_image == 32),
        ("mask-head.conv-channels", "64, 64", lambda c: c.mask_head.conv_channels == (64, 64)),
        ("mask-head.conv-channels", "64", lambda c: c.mask_head.conv_channels == (64,)),
        ("mask-head.conv-channels", "", lambda c: c.mask_head.conv_channels == ()),
        ("detector.rpn.strides", "8,16", lambda c: c.detector.rpn.strides == (8, 16)),
        (
            "detector.rpn.anchor_sizes",
            "[[8], [16]]",
            lambda c: c.detector.rpn.anchor_sizes == ((8,), (16,)),
        ),
        ("backbone", "timm", lambda c: c.backbone == Timm.Config()),
        ("backbone.kind", "timm", lambda c: c.backbone == Timm.Config()),
        ("backbone", {"kind": "resnet", "depth": 18}, lambda c: c.backbone.depth == 18),
    ],
)
def test_overrides_are_read_as_their_field_asks(name: str, value: Any, read: Any) -> None:
    changed = apply_overrides(_DEFAULT, {name: value})
    assert read(changed)
    assert config_from_dict(InstanceSegmenter.Config, {}) == _DEFAULT
    assert config_from_dict(InstanceSegmenter.Config, config_to_dict(changed)) == changed


def test_a_new_kind_comes_before_its_options_whatever_the_order() -> None:
    overrides = {"backbone.freeze-stages": "2", "backbone.model": "resnet26", "backbone": "timm"}
    expected = Timm.Config(model="resnet26", freeze_stages=2)
    assert apply_overrides(_DEFAULT, overrides).backbone == expected
    without_neck = apply_overrides(_DEFAULT, {"neck": None})
    assert apply_overrides(without_neck, {"neck.channels": 64}).neck == FPN.Config(channels=64)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"detector.scre_threshold": 1}, "'detector.scre_threshold'.*Did you mean 'score_thresh"),
        ({"detektor.score_threshold": 1}, "Did you mean 'detector'"),
        ({"detector.rpn.zebra": 1}, "There are strides, anchor_sizes"),
        ({"backbone.model": "resnet26"}, "unknown option 'backbone.model'"),
        ({"backbone": "resnett"}, "no kind 'resnett'; there are resnet, timm.*mean 'resnet'"),
        ({"backbone": 3}, "no kind 3; there are resnet, timm"),
        ({"detector.score_threshold": "1.5"}, "detector.score_threshold: .*less than or equal"),
        ({"detector.score_threshold": "much"}, "detector.score_threshold: .*got 'much'"),
        ({"backbone.depth": 51}, "backbone.depth: .*18, 34, 50 or 101"),
        ({"short_side": 0}, "short_side: .*greater than or equal to 1"),
        ({"short_side.x": 1}, "short_side is a value"),
        ({"detector.rpn.anchor_sizes": "[[8]"}, "begins like JSON"),
        ({"detector.rpn": 3}, "detector.rpn must be a dictionary"),
        ({"": 1}, "unknown option ''"),
    ],
)
def test_wrong_overrides_say_what_is_wrong(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        apply_overrides(_DEFAULT, overrides)


def test_a_config_made_by_hand_is_checked_by_the_model() -> None:
    wrong = InstanceSegmenter.Config(backbone=ResNet.Config(depth=19))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"backbone\.depth"):
        InstanceSegmenter(wrong, ("cat",))
