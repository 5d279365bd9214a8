"""Channels that nobody reads can be taken out of any model without a trace."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from contracts.tiny_models import TINY_DETECTORS, TINY_HEADS, soft_pictures, tiny_model
from maskwright.backbones import CSP, FPN, VGG, MobileNet, ResNet
from maskwright.mask_heads import DeepLab
from maskwright.model import InstanceSegmenter, Model, SemanticSegmenter
from maskwright.model.narrowing import list_narrowed
from maskwright.recipes.compression.arithmetic import EveryLayer, Workload, layer_costs
from maskwright.recipes.compression.channel_groups import (
    ChannelGroup,
    find_channel_groups,
    remove_channels,
)

pytest.importorskip("torch_pruning")

_SIZE = (128, 160)
_PAIRS = [
    (detector, head) for detector in TINY_DETECTORS for head in TINY_HEADS if detector != "rcnn"
]
_BACKBONES = {
    "csp": CSP.Config(width=0.25),
    "mobilenet": MobileNet.Config(size="small"),
    "resnet50 frozen norms": ResNet.Config(depth=50, norm="frozen_batch"),
    "resnet18 group norms": ResNet.Config(depth=18, norm="group"),
    "vgg": VGG.Config(norm="batch"),
}


def _stop_reading(groups: list[ChannelGroup]) -> list[tuple[ChannelGroup, list[int]]]:
    """Zero all weights on some channels of each group; return which ones."""
    chosen = []
    for number, group in enumerate(groups):
        count = group.unit if group.size > group.unit else 0
        start = group.block * (number % 3) if group.size - count > 3 * group.block else 0
        channels = list(range(start, start + count))
        chosen.append((group, channels))
        for reader in group.readers:
            mine = [i for i, c in zip(reader.inputs, reader.channels, strict=True) if c in channels]
            weight = reader.layer.weight
            with torch.no_grad():
                if isinstance(reader.layer, nn.ConvTranspose2d):
                    weight[mine] = 0.0
                else:
                    weight[:, mine] = 0.0
    return chosen


def _check(model: Model) -> int:
    """Take out what nobody reads, compare all outputs, and return the layers that shrank."""
    torch.manual_seed(0)
    full = copy.deepcopy(model)
    removed = _stop_reading(find_channel_groups(model, _SIZE))
    picture = 255 * torch.rand(2, 3, *_SIZE)
    with torch.no_grad():
        wanted = EveryLayer(model)(picture)
        remove_channels(model, _SIZE, removed)
        found = EveryLayer(model)(picture)
    maps = len((model.neck or model.backbone).channels)  # which have fewer channels themselves
    for one, other in zip(found[maps:], wanted[maps:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))
    return len(list_narrowed(model, full))


@pytest.mark.parametrize(("detector", "head"), _PAIRS)
def test_channels_that_nobody_reads_leave_no_trace(detector: str, head: str) -> None:
    assert _check(tiny_model(detector, head).requires_grad_(True)) > 20


@pytest.mark.parametrize("name", _BACKBONES)
def test_the_same_in_every_backbone(name: str) -> None:
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(backbone=_BACKBONES[name], neck=FPN.Config(channels=32))
    config = replace(config, detector=TINY_DETECTORS["ssd"], mask_head=TINY_HEADS["fcn"])
    assert _check(config.build(("coin",)).eval()) > 20


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "convnext_atto", "resnet18"])
def test_the_same_in_networks_of_timm(name: str) -> None:
    pytest.importorskip("timm")
    from maskwright.backbones import Timm

    torch.manual_seed(0)
    for norm in ("batch", "frozen_batch"):
        config = InstanceSegmenter.Config(
            backbone=Timm.Config(model=name, norm=norm),
            neck=FPN.Config(channels=32),
            detector=TINY_DETECTORS["yolo"],
            mask_head=TINY_HEADS["prototypes"],
        )
        assert _check(config.build(("coin",)).eval()) > 20


def test_the_same_in_a_semantic_model() -> None:
    config = SemanticSegmenter.Config(
        backbone=ResNet.Config(depth=18), neck=None, head=DeepLab.Config(aspp_channels=32)
    )
    assert _check(config.build(("coin", "nut")).eval()) > 20


def test_frozen_stages_keep_their_channels() -> None:
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18, freeze_stages=2),
        neck=FPN.Config(channels=32),
        detector=TINY_DETECTORS["ssd"],
        mask_head=None,
    )
    model = config.build(("coin",)).eval()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    groups = find_channel_groups(model, _SIZE)
    touched = {f"{name}.weight" for group in groups for name in group.writers}
    touched |= {f"{reader.name}.weight" for group in groups for reader in group.readers}
    assert frozen
    assert not frozen & touched


def test_multiply_adds_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = tiny_model("faster_rcnn", "mask_rcnn")
    costs = layer_costs(model, Workload(size=_SIZE, proposals=1, objects=1))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        EveryLayer(model)(torch.zeros(1, 3, *_SIZE))
    assert 2 * sum(each.multiply_adds for each in costs.values()) == counter.get_total_flops()
    more = layer_costs(model, Workload(size=_SIZE, proposals=60, objects=5))
    assert more["detector.box_head.classifier"].places == 60
    assert more["mask_head.logits"].places == 5 * costs["mask_head.logits"].places
    assert more["backbone.conv1"] == costs["backbone.conv1"]


def test_pictures_go_through_a_model_with_fewer_channels() -> None:
    model = tiny_model("faster_rcnn", "mask_rcnn").requires_grad_(True)
    removed = [(g, list(range(g.unit))) for g in find_channel_groups(model, _SIZE) if g.size > 8]
    remove_channels(model, _SIZE, removed)
    assert len(model.predict(model.collate(soft_pictures()))) == 3
