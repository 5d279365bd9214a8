from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from contracts.made_up import batch_of, ellipses
from maskwright.backbones import FPN, ResNet
from maskwright.detectors import RPN, FasterRCNN
from maskwright.errors import ConfigError, DataError
from maskwright.mask_heads import FCN, DeepLab
from maskwright.model import InstanceSegmenter, SemanticSegmenter
from maskwright.model.class_maps import label_pixels

_CONFIG = SemanticSegmenter.Config(
    backbone=ResNet.Config(depth=18, norm="group"),
    neck=FPN.Config(channels=16, extra_levels=0),
    head=FCN.Config(hidden_channels=16, dropout=0.0),
    short_side=64,
    long_side=96,
)


def _model() -> SemanticSegmenter:
    torch.manual_seed(0)
    return SemanticSegmenter(_CONFIG, ["a", "b", "c"])


def test_class_maps_have_the_size_of_their_pictures() -> None:
    model = _model().train()
    images = [
        np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        for size in ((50, 90), (70, 33))
    ]
    maps = model.class_maps(model.collate(images))
    assert [each.shape for each in maps] == [(50, 90), (70, 33)]
    assert all(each.dtype == np.int32 and each.min() >= 0 and each.max() <= 3 for each in maps)
    assert model.training


def test_labels_are_the_argmax_of_all_channels_enlarged_together() -> None:
    logits = torch.randn(5, 9, 13, generator=torch.Generator().manual_seed(0))
    whole = F.interpolate(logits[None], (70, 104), mode="bilinear")[:, :, :66, :100]
    expected = F.interpolate(whole, (99, 150), mode="bilinear")[0].argmax(dim=0)
    found = label_pixels(logits, (70, 104), (66, 100), (99, 150))
    assert (found == expected).float().mean() > 0.9999


def test_two_coloured_objects_are_learnt_by_heart() -> None:
    model = _model().train()
    target = ellipses((64, 96), [(6, 8, 40, 56), (50, 10, 90, 50)], [0, 2])
    batch = batch_of([target, ellipses((64, 96), [], [])], (64, 96))
    assert target.masks is not None
    truth = target.masks.to_label_map(values=[1, 3])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        model(batch)["class_map"].backward()
        optimizer.step()
    first, second = model.class_maps(batch)
    assert (first == truth).mean() > 0.97
    assert (second == 0).mean() > 0.99


def test_nothing_can_be_learnt_without_targets_or_classes() -> None:
    model = _model()
    batch = model.collate([np.zeros((64, 96, 3), np.uint8)])
    with pytest.raises(DataError, match="without targets"):
        model(batch)
    with pytest.raises(ConfigError, match="at least one class"):
        SemanticSegmenter(_CONFIG, [])


@pytest.mark.parametrize("head", [FCN.Config(), DeepLab.Config(aspp_channels=16)])
def test_either_head_may_be_used(head: FCN.Config | DeepLab.Config) -> None:
    with torch.device("meta"):
        model = SemanticSegmenter(replace(_CONFIG, head=head), ["a"])
    assert model.head.map_stride == 4


def test_a_class_map_head_under_a_detector_gives_the_same_class_maps() -> None:
    semantic = _model()
    config = InstanceSegmenter.Config(
        backbone=_CONFIG.backbone,
        neck=_CONFIG.neck,
        detector=FasterRCNN.Config(rpn=RPN.Config(anchor_sizes=((32,),))),
        mask_head=_CONFIG.head,
        short_side=64,
        long_side=96,
    )
    instances = InstanceSegmenter(config, semantic.class_names)
    for part in ("backbone", "neck"):
        getattr(instances, part).load_state_dict(getattr(semantic, part).state_dict())
    instances.mask_head.load_state_dict(semantic.head.state_dict())
    image = np.random.default_rng(1).integers(0, 256, (80, 77, 3), dtype=np.uint8)
    batch = semantic.collate([image])
    np.testing.assert_array_equal(instances.class_maps(batch)[0], semantic.class_maps(batch)[0])


def test_other_mask_heads_have_no_class_map() -> None:
    with torch.device("meta"):
        model = InstanceSegmenter(InstanceSegmenter.Config(), ["a"])
    with pytest.raises(ConfigError, match=r"needs the mask head 'fcn' or 'deeplab'.*'mask_rcnn'"):
        model.class_maps(model.collate([np.zeros((8, 8, 3), np.uint8)]))
