"""Larger parts of a network, done in fewer and cheaper steps with the same result.

Shapes: r boxes of all pictures, c channels, s cells per side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from maskwright.inference.engine.layers import FusedConv2d, FusedLinear
from maskwright.mask_heads import MaskHead, MaskRCNNHead
from maskwright.ops import pool_rois
from maskwright.structures import Features, Instances, Losses, Rois

__all__ = ["FusedMaskRCNNHead", "FusedResidual", "flatten_channels_last"]


class FusedResidual(nn.Module):
    """A block of a ResNet whose norms are folded: its last convolution adds the shortcut.

    Args:
        block: Of torchvision.
    """

    def __init__(self, block: BasicBlock | Bottleneck) -> None:
        super().__init__()
        convolutions = [block.conv1, block.conv2]
        if isinstance(block, Bottleneck):
            convolutions.append(block.conv3)
        self.layers = nn.ModuleList(FusedConv2d(each, nn.ReLU()) for each in convolutions)
        self.shortcut = None if block.downsample is None else FusedConv2d(block.downsample[0])

    def forward(self, x: Tensor) -> Tensor:
        """Return what the block does; without a convolution on the shortcut, in the input."""
        y = x
        for layer in self.layers[:-1]:
            y = layer(y)
        last = self.layers[-1]
        assert isinstance(last, FusedConv2d)
        result: Tensor = last.add_to(x if self.shortcut is None else self.shortcut(x), y)
        return result


class _FlattenChannelsLast(nn.Module):
    """Makes rows of maps as they lie in memory, channels last."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def flatten_channels_last(layers: nn.Sequential, side: int) -> None:
    """Let a linear layer read maps of `side` x `side` cells as they lie in memory, in place.

    The columns of its weight change their order with it. Layers without flattening stay.
    """
    for place, layer in enumerate(layers[:-1]):
        linear = layers[place + 1]
        if isinstance(layer, nn.Flatten) and isinstance(linear, nn.Linear):
            maps = linear.weight.reshape(linear.out_features, -1, side, side)
            columns = maps.permute(0, 2, 3, 1)
            linear.weight = nn.Parameter(columns.flatten(1), requires_grad=False)
            layers[place] = _FlattenChannelsLast()


class FusedMaskRCNNHead(MaskHead):
    """`MaskRCNNHead` that draws one mask per box and not one per class.

    Its deconvolution, whose 2 x 2 patches do not overlap, is a matrix product; of its last layer
    only the weights of each box's own class are used.

    Args:
        head: With its norms folded.
    """

    def __init__(self, head: MaskRCNNHead) -> None:
        super().__init__()
        self.config, self.strides, self.layers = head.config, head.strides, head.layers
        weight = head.deconv.weight  # (c, d, 2, 2)
        rows = weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 d, c)
        bias = head.deconv.bias
        self.deconv = FusedLinear(rows, None if bias is None else bias.repeat(4), nn.ReLU())
        self.class_weight = nn.Parameter(head.logits.weight.detach()[:, :, 0, 0])  # (k, d)
        self.class_bias = head.logits.bias

    def loss(
        self, features: Features, rois: Sequence[Rois], targets: Sequence[Instances]
    ) -> Losses:
        """Refuse: an engine does not learn."""
        raise NotImplementedError("an engine predicts; learn with the model it was made from")

    def crops(self, features: Features, detections: Sequence[Instances]) -> list[Tensor]:
        """Return per picture the probabilities of each detection's pixels, for its own label."""
        counts = [len(each) for each in detections]
        pooled = pool_rois(
            {stride: features[stride] for stride in self.strides},
            [each.boxes for each in detections],
            size=self.config.pool_size,
            sampling_ratio=self.config.sampling_ratio,
            method=self.config.pool,
        )
        labels = torch.cat([each.labels for each in detections])
        if self.config.class_agnostic:
            labels = torch.zeros_like(labels)
        return list(torch.split(self._logits(pooled, labels).sigmoid(), counts))

    def _logits(self, pooled: Tensor, labels: Tensor) -> Tensor:
        x = self.layers(pooled).permute(0, 2, 3, 1)  # (r, s, s, c)
        count, height, width = x.shape[:3]
        x = self.deconv(x).reshape(count, height * width * 4, self.class_weight.shape[1])
        own = self.class_weight[labels][:, :, None]  # (r, d, 1)
        logits = torch.bmm(x, own).reshape(count, height, width, 2, 2)
        if self.class_bias is not None:
            logits = logits + self.class_bias[labels][:, None, None, None, None]
        # patch (i, j) of place (y, x) is the pixel (2 y + i, 2 x + j)
        return logits.permute(0, 1, 3, 2, 4).reshape(count, 2 * height, 2 * width)
