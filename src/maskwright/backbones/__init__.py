"""Networks that turn pictures into feature maps, and the neck that evens them out."""

from __future__ import annotations

from typing import TypeAlias

from maskwright.backbones.backbone import Backbone
from maskwright.backbones.csp import CSP
from maskwright.backbones.fpn import FPN
from maskwright.backbones.mobilenet import MobileNet
from maskwright.backbones.norm import Norm, norm_layer
from maskwright.backbones.resnet import ResNet
from maskwright.backbones.stem import adapt_stem, spread_weights, stem_name
from maskwright.backbones.timm import Timm
from maskwright.backbones.vgg import VGG

BackboneConfig: TypeAlias = ResNet.Config | Timm.Config | CSP.Config | VGG.Config | MobileNet.Config

__all__ = [
    "CSP",
    "FPN",
    "VGG",
    "Backbone",
    "BackboneConfig",
    "MobileNet",
    "Norm",
    "ResNet",
    "Timm",
    "adapt_stem",
    "norm_layer",
    "spread_weights",
    "stem_name",
]
