from __future__ import annotations

import numpy as np
import pytest
import torch

from maskwright.backbones import FPN, ResNet
from maskwright.detectors import RPN, BoxHead, FasterRCNN
from maskwright.mask_heads import MaskRCNNHead
from maskwright.model import InstanceSegmenter

SMALL = InstanceSegmenter.Config(
    backbone=ResNet.Config(depth=18, norm="frozen_batch"),
    neck=FPN.Config(channels=16),
    detector=FasterRCNN.Config(
        rpn=RPN.Config(
            anchor_sizes=((8,), (16,), (32,), (64,), (96,)),
            pre_nms_train=60,
            pre_nms_test=60,
            post_nms_train=60,
            post_nms_test=40,
            samples_per_image=100_000,
            positive_fraction=1.0,
        ),
        box_head=BoxHead.Config(
            fc_channels=(32,), pool_size=5, samples_per_image=100_000, positive_fraction=1.0
        ),
        score_threshold=0.0,
        detections_per_image=20,
    ),
    mask_head=MaskRCNNHead.Config(pool_size=7, conv_channels=(16,), deconv_channels=16),
    short_side=64,
    long_side=100,
)
"""A whole model that takes milliseconds; it learns from all boxes, so nothing is random."""


@pytest.fixture(scope="module")
def config() -> InstanceSegmenter.Config:
    return SMALL


@pytest.fixture(scope="module")
def model() -> InstanceSegmenter:
    """With random weights; its masks are neither empty nor full. Tests leave it as it is."""
    torch.manual_seed(0)
    built = InstanceSegmenter(SMALL, ("cat", "dog"), (17, 18))
    torch.nn.init.normal_(built.mask_head.logits.weight, std=0.5)
    return built.eval()


@pytest.fixture
def images() -> list[np.ndarray]:
    """Two pictures of different sizes."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (70, 90, 3), dtype=np.uint8),
        rng.integers(0, 256, (120, 80, 3), dtype=np.uint8),
    ]
