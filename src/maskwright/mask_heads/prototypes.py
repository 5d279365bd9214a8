"""Prototypes: a few maps for the whole picture, mixed anew for each box; the fast head.

YOLACT: Real-time Instance Segmentation, Bolya et al. 2019, https://arxiv.org/abs/1904.02689,
sections 3.1 and 3.2: mask = sigmoid(sum of coefficients x prototypes), cut to the box.
Deviations: the coefficients are read from features sampled at each box, not predicted by the
detector beside its boxes, so that every detector can stand under this head; the prototypes are
made from a fine level as it is, not from an enlarged coarse one; the loss compares crops of one
size, so that small boxes count as much as large ones (the paper divides by the area instead).

Shapes: b pictures, p prototypes, (gh, gw) cells of a prototype, n boxes, s cells of a crop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from maskwright.backbones import Norm, norm_layer
from maskwright.mask_heads.crop_losses import (
    crop_mask_losses,
    no_mask_losses,
    point_mask_losses,
)
from maskwright.mask_heads.map_crops import crop_maps
from maskwright.mask_heads.mask_head import MaskHead
from maskwright.mask_heads.mask_targets import spread_rois
from maskwright.ops import (
    MaskLoss,
    PositiveCount,
    Setting,
    parse_mask_loss,
    pool_rois,
    pooled_levels,
)
from maskwright.structures import Dense, Features, Instances, Losses, Rois

__all__ = ["Prototypes"]

_HALF_PIXEL = 0.5
"""`crop_maps` samples at the centres of cells; the targets are moved to match."""


class Prototypes(MaskHead):
    """Draws prototypes once per picture, and mixes them by a few numbers per box.

    Args:
        channels: Stride -> channels of the features.
        num_classes: Unused: a mask belongs to its box, whatever the class.
        config: Levels and layers.

    Raises:
        ConfigError: No level to pool from, or levels of different widths.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `Prototypes`.

        Args:
            strides: Levels to read coefficients from; those that the features lack are left out.
                The prototypes are made from the finest.
            num_prototypes: Maps per picture (the paper's k, section 6: 32).
            conv_channels: 3 x 3 convolutions before the prototypes.
            norm: Normalisation of those; None for a bias instead.
            pool_size: Cells per side of the features sampled at each box.
            sampling_ratio: Points per side of such a cell.
            hidden_channels: Width of the layer between those features and the coefficients.
            crop_size: Cells per side of the masks.
            rois_per_image: Learn from at most so many RoIs of a picture; all where None.
            mask_loss: What masks learn with: "cross_entropy", "focal", "dice", "lovasz",
                "boundary", or a sum such as "dice+cross_entropy".
            mask_points: Learn at so many points of a RoI, most of them where its mask is least
                sure, against the pixels there (PointRend); in all cells where None.
        """

        kind: Literal["prototypes"] = "prototypes"
        strides: tuple[PositiveCount, ...] = (4, 8, 16, 32)
        num_prototypes: PositiveCount = 32
        conv_channels: tuple[PositiveCount, ...] = (128,)
        norm: Norm | None = "group"
        pool_size: PositiveCount = 5
        sampling_ratio: PositiveCount = 2
        hidden_channels: PositiveCount = 256
        crop_size: PositiveCount = 56
        rois_per_image: PositiveCount | None = 100
        mask_loss: MaskLoss = "cross_entropy"
        mask_points: PositiveCount | None = None

        @classmethod
        def for_setting(cls, setting: Setting) -> Self:
            """Return options that fit the data and the hardware."""
            if not setting.is_light:
                return cls()
            width = setting.width
            return cls(
                conv_channels=(max(32, width // 2),), hidden_channels=width, rois_per_image=48
            )

        def build(self, channels: Mapping[int, int], num_classes: int) -> Prototypes:
            """Return the head for features of these channels by stride."""
            return Prototypes(channels, num_classes, self)

    def __init__(
        self, channels: Mapping[int, int], num_classes: int, config: Prototypes.Config
    ) -> None:
        super().__init__()
        del num_classes
        self.config = config
        parse_mask_loss(config.mask_loss)  # which checks it
        self.strides = pooled_levels(channels, config.strides)
        self.map_stride = self.strides[0]
        pooled = channels[self.map_stride]
        norm = None if config.norm is None else norm_layer(config.norm)
        layers: list[nn.Module] = []
        width = pooled
        for channel in config.conv_channels:
            layers.append(Conv2dNormActivation(width, channel, kernel_size=3, norm_layer=norm))
            width = channel
        # ReLU: section 3.1 of the paper, "more interpretable prototypes"
        self.prototypes = nn.Sequential(
            *layers, nn.Conv2d(width, config.num_prototypes, kernel_size=1), nn.ReLU()
        )
        # tanh: section 3.2, so that prototypes can be subtracted from the mask
        self.coefficients = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pooled * config.pool_size**2, config.hidden_channels),
            nn.ReLU(),
            nn.Linear(config.hidden_channels, config.num_prototypes),
            nn.Tanh(),
        )

    def forward(
        self, features: Features, boxes: Sequence[Float[Tensor, "_ 4"]]
    ) -> Float[Tensor, "n s s"]:
        """Return the mask logits inside each box, picture after picture."""
        return self._mix(self.prototypes(features[self.map_stride]), features, boxes)

    def dense(self, features: Features) -> Dense:
        """Return the maps `prototypes` (b, p, gh, gw)."""
        return {"prototypes": self.prototypes(features[self.map_stride])}

    def crops_from(
        self, dense: Dense, features: Features, detections: Sequence[Instances]
    ) -> list[Float[Tensor, "_ s s"]]:
        """Return what `crops` does, from the prototypes and the levels it pools from."""
        logits = self._mix(dense["prototypes"], features, [each.boxes for each in detections])
        return list(torch.split(logits.sigmoid(), [len(each) for each in detections]))

    def _mix(
        self,
        prototypes: Float[Tensor, "b p gh gw"],
        features: Features,
        boxes: Sequence[Float[Tensor, "_ 4"]],
    ) -> Float[Tensor, "n s s"]:
        mixed = self._coefficients(features, boxes)
        logits = [
            mix_prototypes(maps, mix, box, stride=self.map_stride, size=self.config.crop_size)
            for maps, mix, box in zip(prototypes, mixed, boxes, strict=True)
        ]
        return torch.cat(logits)

    def _coefficients(
        self, features: Features, boxes: Sequence[Float[Tensor, "_ 4"]]
    ) -> Sequence[Float[Tensor, "_ p"]]:
        pooled = pool_rois(
            {stride: features[stride] for stride in self.strides},
            boxes,
            size=self.config.pool_size,
            sampling_ratio=self.config.sampling_ratio,
            method="align_half_pixel",
        )  # (n, c, pool_size, pool_size)
        coefficients: Tensor = self.coefficients(pooled)  # (n, p)
        return torch.split(coefficients, [len(each) for each in boxes])

    def loss(
        self, features: Features, rois: Sequence[Rois], targets: Sequence[Instances]
    ) -> Losses:
        """Return `mask`: by default binary cross-entropy, mean over each RoI's crop.

        Then over RoIs. Several losses have names of their own, such as `mask_dice`.
        """
        config = self.config
        rois = [spread_rois(each, config.rois_per_image) for each in rois]
        if not sum(len(each) for each in rois):
            return no_mask_losses(self, config.mask_loss)
        boxes = [each.boxes for each in rois]
        if config.mask_points is None:
            logits = self(features, boxes)
            return crop_mask_losses(
                logits, rois, targets, mask_loss=config.mask_loss, shift=_HALF_PIXEL
            )
        prototypes = self.prototypes(features[self.map_stride])
        coefficients = self._coefficients(features, boxes)
        return point_mask_losses(
            lambda points: self._mix_at(prototypes, coefficients, boxes, points),
            rois,
            targets,
            mask_loss=config.mask_loss,
            num_points=config.mask_points,
            size=config.crop_size,
            shift=_HALF_PIXEL,
        )

    def _mix_at(
        self,
        prototypes: Float[Tensor, "b p gh gw"],
        coefficients: Sequence[Float[Tensor, "_ p"]],
        boxes: Sequence[Float[Tensor, "_ 4"]],
        points: Float[Tensor, "n m 2"],
    ) -> Float[Tensor, "n m"]:
        """Return the mask logits at points of each box, without a map per box."""
        parts = zip(
            prototypes,
            coefficients,
            boxes,
            torch.split(points, [len(each) for each in boxes]),
            strict=True,
        )
        return torch.cat(
            [
                mix_prototypes_at(maps, mix, box, place, stride=self.map_stride)
                for maps, mix, box, place in parts
            ]
        )

    def crops(
        self, features: Features, detections: Sequence[Instances]
    ) -> list[Float[Tensor, "_ s s"]]:
        """Return per picture the probabilities of each detection's pixels."""
        return self.crops_from(self.dense(features), features, detections)


def mix_prototypes(
    prototypes: Float[Tensor, "p gh gw"],
    coefficients: Float[Tensor, "n p"],
    boxes: Float[Tensor, "n 4"],
    *,
    stride: int,
    size: int,
) -> Float[Tensor, "n s s"]:
    """Return each box's mixture of the prototypes, cut to the box.

    Mixing and cutting are both linear, so their order does not matter to the result, but to the
    time: one matrix product over the picture, then one map per box is sampled instead of p.

    >>> halves = torch.zeros(2, 1, 4)
    >>> halves[0, :, :2], halves[1, :, 2:] = 1.0, 1.0
    >>> mix_prototypes(halves, torch.tensor([[5.0, -5.0]]), torch.tensor([[0.0, 0, 4, 1]]),
    ...                stride=1, size=2)
    tensor([[[ 5., -5.],
             [ 5., -5.]]])
    """
    maps = torch.einsum("np,phw->nhw", coefficients, prototypes)  # (n, gh, gw)
    owners = torch.arange(len(boxes), device=boxes.device)
    return crop_maps(maps, owners, boxes, stride=stride, size=size)


def mix_prototypes_at(
    prototypes: Float[Tensor, "p gh gw"],
    coefficients: Float[Tensor, "n p"],
    boxes: Float[Tensor, "n 4"],
    points: Float[Tensor, "n m 2"],
    *,
    stride: int,
) -> Float[Tensor, "n m"]:
    """Return each box's mixture of the prototypes at points (x, y) in [0, 1] of the box.

    >>> halves = torch.zeros(2, 1, 4)
    >>> halves[0, :, :2], halves[1, :, 2:] = 1.0, 1.0
    >>> mix_prototypes_at(halves, torch.tensor([[5.0, -5.0]]), torch.tensor([[0.0, 0, 4, 1]]),
    ...                   torch.tensor([[[0.25, 0.5], [0.5, 0.5]]]), stride=1)
    tensor([[5., 0.]])
    """
    height, width = prototypes.shape[-2:]
    corner, size = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    pixels = corner + points * size  # (n, m, 2)
    grid = 2.0 * pixels / (stride * pixels.new_tensor([width, height])) - 1.0
    # single precision, as `crop_maps`
    seen = F.grid_sample(
        prototypes.float()[None], grid.float()[None], padding_mode="border", align_corners=False
    )[0]  # (p, n, m)
    return torch.einsum("np,pnm->nm", coefficients.float(), seen)
