"""torchvision's Faster R-CNN and Mask R-CNN models as ours.

torchvision keeps a background row in every predictor; ours keep one only in the classifier, where
it takes part in the softmax, and drop the others, which nothing reads.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from maskwright.backbones import FPN, MobileNet
from maskwright.detectors import RPN, BoxHead, FasterRCNN
from maskwright.mask_heads import MaskRCNNHead
from maskwright.model.segmenter import InstanceSegmenter
from maskwright.model.torchvision_model import TorchvisionModel

__all__ = ["RCNN_MODELS"]

_MASK_V1 = InstanceSegmenter.Config()

_MASK_V2 = InstanceSegmenter.Config(
    neck=FPN.Config(norm="batch"),
    detector=FasterRCNN.Config(
        rpn=RPN.Config(num_convs=2),
        box_head=BoxHead.Config(
            conv_channels=(256, 256, 256, 256), norm="batch", fc_channels=(1024,)
        ),
    ),
    mask_head=MaskRCNNHead.Config(norm="batch"),
)

_MOBILE_RPN = RPN.Config(anchor_sizes=((32, 64, 128, 256, 512),), score_threshold=0.05)

_MOBILE = InstanceSegmenter.Config(
    backbone=MobileNet.Config(levels="last_two", norm_eps=1e-5),
    detector=FasterRCNN.Config(rpn=_MOBILE_RPN),
    mask_head=None,
)

_MOBILE_320 = replace(
    _MOBILE,
    detector=FasterRCNN.Config(rpn=replace(_MOBILE_RPN, pre_nms_test=150, post_nms_test=150)),
    short_side=320,
    long_side=640,
)

# torchvision's names, today's and those of its first files (without the ".0" of a block), and ours
_RENAMED: Final = (
    (r"backbone\.body\.(\d.*)", r"backbone.features.\1"),  # MobileNet's layers have numbers
    (r"backbone\.body\.(.+)", r"backbone.\1"),
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.(weight|bias)", r"neck.\1_blocks.\2.0.\3"),
    (r"backbone\.fpn\.(.+)", r"neck.\1"),
    (r"rpn\.head\.conv\.(weight|bias)", r"detector.rpn.conv.0.0.\1"),
    (r"rpn\.head\.conv\.(.+)", r"detector.rpn.conv.\1"),
    (r"rpn\.head\.cls_logits\.(.+)", r"detector.rpn.objectness.\1"),
    (r"rpn\.head\.bbox_pred\.(.+)", r"detector.rpn.deltas.\1"),
    (r"roi_heads\.box_head\.fc6\.(.+)", r"detector.box_head.layers.1.\1"),
    (r"roi_heads\.box_head\.fc7\.(.+)", r"detector.box_head.layers.3.\1"),
    (r"roi_heads\.box_head\.(\d.*)", r"detector.box_head.layers.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(.+)", r"detector.box_head.classifier.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(.+)", r"detector.box_head.regressor.\1"),
    (r"roi_heads\.mask_head\.mask_fcn1\.(.+)", r"mask_head.layers.0.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn2\.(.+)", r"mask_head.layers.1.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn3\.(.+)", r"mask_head.layers.2.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn4\.(.+)", r"mask_head.layers.3.0.\1"),
    (r"roi_heads\.mask_head\.(\d.*)", r"mask_head.layers.\1"),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(.+)", r"mask_head.deconv.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(.+)", r"mask_head.logits.\1"),
)


def _rcnn(config: InstanceSegmenter.Config, frozen_eps: float) -> TorchvisionModel:
    return TorchvisionModel(
        config=config,
        renamed=_RENAMED,
        classifier="roi_heads.box_predictor.cls_score.bias",
        background_rows={"detector.box_head.regressor": 4, "mask_head.logits": 1},
        frozen_eps=frozen_eps,
    )


RCNN_MODELS: Final = {
    "maskrcnn_resnet50_fpn": _rcnn(_MASK_V1, 0.0),
    "maskrcnn_resnet50_fpn_v2": _rcnn(_MASK_V2, 0.0),
    "fasterrcnn_resnet50_fpn": _rcnn(replace(_MASK_V1, mask_head=None), 0.0),
    "fasterrcnn_resnet50_fpn_v2": _rcnn(replace(_MASK_V2, mask_head=None), 0.0),
    "fasterrcnn_mobilenet_v3_large_fpn": _rcnn(_MOBILE, 1e-5),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _rcnn(_MOBILE_320, 1e-5),
}
"""By torchvision's name."""
