"""Small random models of every pair of detector and mask head, and pictures for them."""

from __future__ import annotations

import numpy as np
import torch

from maskwright.backbones import FPN, BackboneConfig, ResNet
from maskwright.detectors import RCNN, RPN, SSD, YOLO, BoxHead, FasterRCNN, FastRCNN
from maskwright.detectors.picture_search import PictureSearch
from maskwright.mask_heads import FCN, DeepLab, MaskRCNNHead, Prototypes, Refined
from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter
from maskwright.model.lively import make_lively
from maskwright.structures import Batch, Instances

_SEARCH = PictureSearch.Config(max_proposals=40, longest_side=100)
TINY = ResNet.Config(depth=18)

TINY_DETECTORS = {
    "faster_rcnn": FasterRCNN.Config(
        rpn=RPN.Config(anchor_sizes=((32,),), pre_nms_test=100, post_nms_test=60),
        box_head=BoxHead.Config(fc_channels=(64, 64), conv_channels=(24,), norm="batch"),
        detections_per_image=30,
    ),
    "fast_rcnn": FastRCNN.Config(
        search=_SEARCH, box_head=BoxHead.Config(pool="max", fc_channels=(64,))
    ),
    "rcnn": RCNN.Config(search=_SEARCH, cnn=TINY, warp_size=48, context=4),
    "ssd": SSD.Config(num_convs=1, norm="group", detections_per_image=30),
    "yolo": YOLO.Config(norm="batch", detections_per_image=30),
}
TINY_HEADS = {
    "mask_rcnn": MaskRCNNHead.Config(conv_channels=(24, 24), norm="batch", deconv_channels=16),
    "fcn": FCN.Config(hidden_channels=16, norm="batch"),
    "deeplab": DeepLab.Config(
        aspp_channels=16, low_level_channels=8, head_channels=(16,), norm="batch"
    ),
    "prototypes": Prototypes.Config(conv_channels=(16,), hidden_channels=24),
    "refined": Refined.Config(
        coarse=MaskRCNNHead.Config(conv_channels=(24,), deconv_channels=16),
        size=24,
        detail_channels=8,
        conv_channels=(16,),
        norm="batch",
    ),
    "none": None,
}


def tiny_config(
    detector: str, head: str, backbone: BackboneConfig = TINY
) -> InstanceSegmenter.Config:
    """A pair for pictures of 128 to 200 pixels."""
    return InstanceSegmenter.Config(
        backbone=backbone,
        neck=FPN.Config(channels=32, norm="batch"),
        detector=TINY_DETECTORS[detector],
        mask_head=TINY_HEADS[head],
        short_side=128,
        long_side=200,
    )


def tiny_model(detector: str, head: str, backbone: BackboneConfig = TINY) -> InstanceSegmenter:
    """A model that finds objects of three classes."""
    config = tiny_config(detector, head, backbone)
    torch.manual_seed(0)
    model = config.build(("coin", "nut", "screw"), (3, 5, 8)).eval().requires_grad_(False)
    make_lively(model, soft_pictures()[0])
    return model


def soft_pictures() -> list[np.ndarray]:
    """Soft blobs of colour, of three sizes."""
    rng = np.random.default_rng(0)
    pictures = []
    for height, width in ((130, 170), (100, 100), (200, 120)):
        coarse = rng.integers(0, 256, (height // 10, width // 10, 3)).astype(np.float32)
        fine = np.kron(coarse, np.ones((10, 10, 1), np.float32))
        pictures.append(np.clip(fine + rng.normal(0, 12, fine.shape), 0, 255).astype(np.uint8))
    return pictures


def picture_with_objects() -> Batch:
    """A picture of noise with two true objects, as a batch to learn from."""
    torch.manual_seed(1)
    masks = Masks.from_boxes([[20, 30, 60, 70], [80, 10, 120, 50]], (128, 160))
    target = Instances(
        image_size=(128, 160),
        boxes=torch.tensor(masks.boxes, dtype=torch.float32),
        labels=torch.tensor([0, 2]),
        masks=masks,
    )
    return Batch(
        images=255 * torch.rand(1, 3, 128, 160),
        image_sizes=((128, 160),),
        original_sizes=((128, 160),),
        targets=(target,),
    )
