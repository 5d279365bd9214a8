"""Networks that find boxes, classes and scores."""

from __future__ import annotations

from typing import TypeAlias

from maskwright.detectors.box_head import BoxHead
from maskwright.detectors.detector import Candidates, Detector
from maskwright.detectors.fast_rcnn import FastRCNN
from maskwright.detectors.faster_rcnn import FasterRCNN
from maskwright.detectors.rcnn import RCNN
from maskwright.detectors.rpn import RPN
from maskwright.detectors.ssd import SSD
from maskwright.detectors.yolo import YOLO

DetectorConfig: TypeAlias = (
    FasterRCNN.Config | FastRCNN.Config | RCNN.Config | YOLO.Config | SSD.Config
)

__all__ = [
    "RCNN",
    "RPN",
    "SSD",
    "YOLO",
    "BoxHead",
    "Candidates",
    "Detector",
    "DetectorConfig",
    "FastRCNN",
    "FasterRCNN",
]
