"""ResNet: residual networks of 18, 34, 50 or 101 layers.

Deep Residual Learning for Image Recognition, He et al. 2016, https://arxiv.org/abs/1512.03385.
The layers are torchvision's (BSD-3-Clause) and keep their names, so that its weights fit.
Deviations from the paper: in 50 and 101 the stride of a block is in its 3 x 3 convolution
(ResNet 1.5), as in torchvision's weights; the last stages may keep their resolution and convolve
with holes instead (Chen et al. 2017, https://arxiv.org/abs/1706.05587, section 3.1).

Shapes: b pictures, (H, W) their padded size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torchvision.models import resnet18, resnet34, resnet50, resnet101

from maskwright.backbones.backbone import Backbone
from maskwright.backbones.freezing import keep_in_eval, stop_gradients
from maskwright.backbones.norm import Norm, norm_layer
from maskwright.errors import ConfigError
from maskwright.structures import Features

__all__ = ["ResNet"]

_BUILDERS = {18: resnet18, 34: resnet34, 50: resnet50, 101: resnet101}


class ResNet(Backbone):
    """A residual network that gives the maps of its four stages, at strides 4, 8, 16 and 32.

    With a smaller output stride the last of the stages that share a stride.

    Args:
        config: Depth, output stride, normalisation, frozen stages.

    Raises:
        ConfigError: An output stride below 32 with a depth below 50.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `ResNet`.

        Args:
            depth: Number of layers.
            output_stride: Stride of the last stage: with 16 or 8 it, or it and the one before,
                convolve with holes of 2 and 4 cells; for a depth of 50 or 101.
            norm: Normalisation of every convolution.
            norm_eps: Added to the variance; torchvision's COCO weights with frozen batch norm
                (`maskrcnn_resnet50_fpn`) were trained with 0.
            freeze_stages: How many of the five stages (stem, then four of blocks) stay as they
                are in training, counted from the picture.
        """

        kind: Literal["resnet"] = "resnet"
        depth: Literal[18, 34, 50, 101] = 50
        output_stride: Literal[8, 16, 32] = 32
        norm: Norm = "batch"
        norm_eps: Annotated[float, Field(ge=0.0)] = 1e-5
        freeze_stages: Annotated[int, Field(ge=0, le=5)] = 0

        def build(self) -> ResNet:
            """Return the network with random weights (He et al. 2015)."""
            return ResNet(self)

    def __init__(self, config: ResNet.Config) -> None:
        super().__init__()
        if config.output_stride < 32 and config.depth < 50:
            raise ConfigError(
                f"output_stride {config.output_stride} needs a depth of 50 or 101, "
                f"got {config.depth}: torchvision's smaller networks have no holes"
            )
        self.depth = config.depth
        trunk = _BUILDERS[config.depth](
            weights=None,
            norm_layer=norm_layer(config.norm, eps=config.norm_eps),
            replace_stride_with_dilation=[config.output_stride < stride for stride in (8, 16, 32)],
        )
        self.conv1, self.bn1 = trunk.conv1, trunk.bn1
        self.relu, self.maxpool = trunk.relu, trunk.maxpool
        self.layer1, self.layer2 = trunk.layer1, trunk.layer2
        self.layer3, self.layer4 = trunk.layer3, trunk.layer4
        deepest = trunk.fc.in_features
        self._strides = [min(stride, config.output_stride) for stride in (4, 8, 16, 32)]
        self.channels = {
            stride: deepest // 8 * 2**stage for stage, stride in enumerate(self._strides)
        }
        self._frozen = self.first_stages(config.freeze_stages)
        stop_gradients(self._frozen)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Features:
        """Return the maps at strides from 4 on; the deepest where several share a stride."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))  # (b, 64, H / 4, W / 4)
        features = {}
        for stride, stage in zip(
            self._strides, (self.layer1, self.layer2, self.layer3, self.layer4), strict=True
        ):
            x = stage(x)
            features[stride] = x
        return features

    def first_stages(self, count: int) -> list[nn.Module]:
        """Return the modules of the stem and of the blocks after it, up to `count` of the five."""
        stages: list[list[nn.Module]] = [[self.conv1, self.bn1], [self.layer1], [self.layer2]]
        stages += [[self.layer3], [self.layer4]]
        return [part for stage in stages[:count] for part in stage]

    def train(self, mode: bool = True) -> ResNet:
        """Set training or evaluation; frozen stages always stay in evaluation."""
        super().train(mode)
        keep_in_eval(self._frozen)
        return self
