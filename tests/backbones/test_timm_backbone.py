from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch

from contracts.backbone_contract import BackboneContract
from maskwright.backbones import Timm
from maskwright.backbones.timm import import_timm
from maskwright.errors import ConfigError, MissingExtraError


class TestEfficientNetLite(BackboneContract):
    config = Timm.Config(model="tf_efficientnet_lite0")


class TestRegNet(BackboneContract):
    config = Timm.Config(model="regnety_002")


def test_pixel_statistics_are_those_of_the_weights() -> None:
    lite = Timm.Config(model="tf_efficientnet_lite0").build()
    assert lite.pixel_mean == lite.pixel_std == (127.5, 127.5, 127.5)
    assert lite.channels == {4: 24, 8: 40, 16: 112, 32: 320}


@torch.no_grad()
def test_networks_without_batch_norm_and_with_channels_last_work() -> None:
    convnext = Timm.Config(model="convnext_atto", freeze_stages=1).build()
    assert not next(convnext.parameters()).requires_grad
    swin = Timm.Config(model="swin_tiny_patch4_window7_224").build().eval()
    features = swin(torch.zeros(1, 3, 224, 224))
    assert {stride: each.shape[1] for stride, each in features.items()} == swin.channels


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tf_efficientnet_lite0'"):
        Timm.Config(model="tf_efficientnet_lit0").build()
    with pytest.raises(ConfigError, match="has 5 stages"):
        Timm.Config(model="regnety_002", freeze_stages=9).build()


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_timm(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "timm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_timm)
    with pytest.raises(MissingExtraError, match=r"pip install 'maskwright\[timm\]'"):
        import_timm()
