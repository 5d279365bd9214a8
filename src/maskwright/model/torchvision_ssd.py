"""torchvision's SSD and SSDLite models as ours."""

from __future__ import annotations

from typing import Final

from maskwright.backbones import VGG, MobileNet
from maskwright.detectors import SSD
from maskwright.model.segmenter import InstanceSegmenter
from maskwright.model.torchvision_model import TorchvisionModel

__all__ = ["SSD_MODELS"]

_SSD300 = InstanceSegmenter.Config(
    backbone=VGG.Config(levels="ssd300", pixels="caffe"),
    neck=None,
    detector=SSD.Config(
        # 0.07, then 0.15 to 1.05 of the picture's side (section 2.2, for COCO)
        sizes=(21.0, 45.0, 99.0, 153.0, 207.0, 261.0, 315.0),
        aspect_ratios=((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,)),
        steps=(8.0, 16.0, 32.0, 64.0, 100.0, 300.0),
        max_side=300.0,
    ),
    mask_head=None,
    fixed_size=(300, 300),
    size_multiple=1,
)

_SSDLITE320 = InstanceSegmenter.Config(
    backbone=MobileNet.Config(levels="ssdlite", reduced_tail=True, pixels="symmetric"),
    neck=None,
    detector=SSD.Config(
        # 0.2 to 0.95 of the picture's side, then all of it
        sizes=(64.0, 112.0, 160.0, 208.0, 256.0, 304.0, 320.0),
        aspect_ratios=((2.0, 3.0),),
        # what 20, 10, 5, 3, 2 and 1 cells have of it
        steps=(16.0, 32.0, 64.0, 320 / 3, 160.0, 320.0),
        max_side=320.0,
        separable=True,
        norm="batch",
        norm_eps=1e-3,
        score_threshold=0.001,
        nms_threshold=0.55,
        pre_nms=300,
        detections_per_image=300,
    ),
    mask_head=None,
    fixed_size=(320, 320),
    size_multiple=1,
)

_HEADS = (
    (r"head\.classification_head\.module_list\.(.+)", r"detector.classifiers.\1"),
    (r"head\.regression_head\.module_list\.(.+)", r"detector.regressors.\1"),
)

# torchvision numbers the layers after conv4_3 anew; ours go on with VGG's own numbers
_VGG_RENAMED: Final = (
    (r"backbone\.scale_weight", "backbone.scale"),
    (r"backbone\.features\.(.+)", r"backbone.features.\1"),
    (r"backbone\.extra\.0\.1\.(.+)", r"backbone.features.24.\1"),
    (r"backbone\.extra\.0\.3\.(.+)", r"backbone.features.26.\1"),
    (r"backbone\.extra\.0\.5\.(.+)", r"backbone.features.28.\1"),
    (r"backbone\.extra\.0\.7\.1\.(.+)", r"backbone.fc6.\1"),
    (r"backbone\.extra\.0\.7\.3\.(.+)", r"backbone.fc7.\1"),
    *((rf"backbone\.extra\.{n + 1}\.0\.(.+)", rf"backbone.extra.{n}.0.\1") for n in range(4)),
    *((rf"backbone\.extra\.{n + 1}\.2\.(.+)", rf"backbone.extra.{n}.3.\1") for n in range(4)),
    *_HEADS,
)

# torchvision cuts block 13 in two after its expansion, which is the finest level
_MOBILENET_RENAMED: Final = (
    (r"backbone\.features\.0\.13\.(.+)", r"backbone.features.13.block.0.\1"),
    (r"backbone\.features\.0\.(.+)", r"backbone.features.\1"),
    (r"backbone\.features\.1\.0\.(.+)", r"backbone.features.13.block.\1"),
    *((rf"backbone\.features\.1\.{n}\.(.+)", rf"backbone.features.{13 + n}.\1") for n in (1, 2, 3)),
    (r"backbone\.extra\.(.+)", r"backbone.extra.\1"),
    *_HEADS,
)

SSD_MODELS: Final = {
    "ssd300_vgg16": TorchvisionModel(
        config=_SSD300,
        renamed=_VGG_RENAMED,
        classifier="head.classification_head.module_list.0.bias",
        boxes_per_cell=4,
    ),
    "ssdlite320_mobilenet_v3_large": TorchvisionModel(
        config=_SSDLITE320,
        renamed=_MOBILENET_RENAMED,
        classifier="head.classification_head.module_list.0.1.bias",
        boxes_per_cell=6,
    ),
}
"""By torchvision's name."""
