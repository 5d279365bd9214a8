"""RPN: a region proposal network, which says where objects may be, whatever their class.

Faster R-CNN, Ren et al. 2015, https://arxiv.org/abs/1506.01497, section 3.1; over several levels
as in FPN (Lin et al. 2017), section 4.1. Deviations: a sigmoid instead of a softmax over two
(FPN's code), smooth L1 with beta 1/9 (both codes), anchors across the border take part (FPN).

Shapes: b pictures, a anchors of all levels, c channels, k anchors per cell, (h, w) of a level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, batched_nms

from maskwright.errors import ConfigError
from maskwright.ops import (
    BACKGROUND,
    BalancedSampler,
    BoxLoss,
    Count,
    Fraction,
    Positive,
    PositiveCount,
    Sampler,
    are_larger,
    cell_anchors,
    clip_boxes,
    decode_boxes,
    delta_loss,
    grid_anchors,
    match_targets,
    mean_over_pictures,
)
from maskwright.structures import Dense, Features, Instances, Losses, Size

__all__ = ["RPN"]

_BETA = 1.0 / 9.0
"""Where smooth L1 turns linear: sigma = 3 in the Faster R-CNN code."""

_MIN_SIDE = 1e-3
"""Proposals narrower than this, in pixels, hold nothing (torchvision's value)."""


class RPN(nn.Module):
    """Proposes boxes on every level of the features.

    Args:
        channels: Stride -> channels of the features; all channels equal.
        config: Anchors, matching, sampling, filtering.

    Attributes:
        sampler: Draws the anchors to learn from; may be replaced.

    Raises:
        ConfigError: Levels of different widths, or not as many lists of anchor sizes as levels.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `RPN`.

        Args:
            strides: Levels to propose on; all of them where None.
            anchor_sizes: Sides of the square anchors in pixels of the batch: one tuple per level,
                or one for all levels.
            aspect_ratios: Height over width of the anchors.
            num_convs: 3 x 3 convolutions before the prediction.
            foreground_iou: From here on an anchor belongs to an object.
            background_iou: Below it is background.
            samples_per_image: Anchors to learn from.
            positive_fraction: At most this part of them on objects.
            box_loss: "smooth_l1" of the deltas, or of the boxes "giou", "diou" or "ciou".
            box_weight: Factor of the loss `rpn_box`. It is divided by all samples, so that losses
                of boxes need about 10 (as in MMDetection), that of deltas 1.
            pre_nms_train: Best boxes of each level kept before duplicates go, in training.
            pre_nms_test: The same in prediction.
            post_nms_train: Proposals of a picture in training.
            post_nms_test: The same in prediction.
            nms_threshold: IoU above which the lower score is a duplicate.
            score_threshold: Proposals score at least this, from 0 to 1.
        """

        strides: tuple[PositiveCount, ...] | None = None
        anchor_sizes: tuple[tuple[Positive, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
        aspect_ratios: tuple[Positive, ...] = (0.5, 1.0, 2.0)
        num_convs: Count = 1
        foreground_iou: Fraction = 0.7
        background_iou: Fraction = 0.3
        samples_per_image: PositiveCount = 256
        positive_fraction: Fraction = 0.5
        box_loss: BoxLoss = "smooth_l1"
        box_weight: Positive = 1.0
        pre_nms_train: PositiveCount = 2000
        pre_nms_test: PositiveCount = 1000
        post_nms_train: PositiveCount = 2000
        post_nms_test: PositiveCount = 1000
        nms_threshold: Fraction = 0.7
        score_threshold: Fraction = 0.0

    def __init__(self, channels: Mapping[int, int], config: RPN.Config) -> None:
        super().__init__()
        self.config = config
        self.strides = _levels(channels, config)
        width = channels[self.strides[0]]
        sizes = config.anchor_sizes * (len(self.strides) if len(config.anchor_sizes) == 1 else 1)
        self._cells = [cell_anchors(each, config.aspect_ratios) for each in sizes]
        per_cell = len(self._cells[0])
        self.conv = nn.Sequential(
            *(
                Conv2dNormActivation(width, width, kernel_size=3, norm_layer=None)
                for _ in range(config.num_convs)
            )
        )
        self.objectness = nn.Conv2d(width, per_cell, kernel_size=1)
        self.deltas = nn.Conv2d(width, per_cell * 4, kernel_size=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)  # Faster R-CNN, section 3.1.3
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.sampler: Sampler = BalancedSampler(
            num_samples=config.samples_per_image, positive_fraction=config.positive_fraction
        )

    def loss(
        self,
        features: Features,
        targets: Sequence[Instances],
        image_sizes: Sequence[Size],
        batch_size: Size,
    ) -> tuple[Losses, list[Tensor]]:
        """Return the losses `objectness` and `rpn_box`, and the proposals for training.

        Args:
            features: Levels by stride.
            targets: The true objects of each picture.
            image_sizes: Of each picture inside the padding.
            batch_size: (H, W) of the padded batch.
        """
        logits, deltas, anchors = self._predict(features, batch_size)
        boxes = self._propose(
            [each.detach() for each in logits],
            [each.detach() for each in deltas],
            anchors,
            image_sizes,
            self.config.pre_nms_train,
            self.config.post_nms_train,
        )
        losses = self._losses(torch.cat(logits, 1), torch.cat(deltas, 1), anchors, targets)
        return losses, boxes

    def propose(
        self, features: Features, image_sizes: Sequence[Size], batch_size: Size
    ) -> list[Float[Tensor, "_ 4"]]:
        """Return the proposals of each picture, the likeliest first.

        Args:
            features: Levels by stride.
            image_sizes: Of each picture inside the padding.
            batch_size: (H, W) of the padded batch.
        """
        return self.propose_from(self.dense(features, batch_size), image_sizes)

    def dense(self, features: Features, batch_size: Size) -> Dense:
        """Return of each level of stride s `objectness_s`, `deltas_s` and `anchors_s`.

        Of shapes (b, a_s), (b, a_s, 4) and (a_s, 4).
        """
        dense: Dense = {}
        levels = zip(self.strides, *self._predict(features, batch_size), strict=True)
        for stride, logits, deltas, anchors in levels:
            dense[f"objectness_{stride}"] = logits
            dense[f"deltas_{stride}"] = deltas
            dense[f"anchors_{stride}"] = anchors
        return dense

    def propose_from(self, dense: Dense, image_sizes: Sequence[Size]) -> list[Float[Tensor, "_ 4"]]:
        """Return what `propose` does, from what `dense` returned."""
        logits, deltas, anchors = (
            [dense[f"{name}_{stride}"] for stride in self.strides]
            for name in ("objectness", "deltas", "anchors")
        )
        config = self.config
        return self._propose(
            logits, deltas, anchors, image_sizes, config.pre_nms_test, config.post_nms_test
        )

    def _predict(
        self, features: Features, batch_size: Size
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return logits (b, a_i), deltas (b, a_i, 4) and anchors (a_i, 4) of each level i."""
        logits, deltas, anchors = [], [], []
        for stride, cell in zip(self.strides, self._cells, strict=True):
            x = self.conv(features[stride])  # (b, c, h, w)
            scores = self.objectness(x).permute(0, 2, 3, 1)  # (b, h, w, k)
            shifts = self.deltas(x).permute(0, 2, 3, 1)  # (b, h, w, k * 4)
            logits.append(scores.flatten(1).float())
            deltas.append(shifts.reshape(x.shape[0], -1, 4).float())
            height, width = x.shape[-2:]
            anchors.append(grid_anchors(cell.to(x.device), (height, width), batch_size))
        return logits, deltas, anchors

    def _propose(
        self,
        logits: Sequence[Tensor],
        deltas: Sequence[Tensor],
        anchors: Sequence[Tensor],
        image_sizes: Sequence[Size],
        pre_nms: int,
        post_nms: int,
    ) -> list[Tensor]:
        scores, boxes, levels = [], [], []
        for level, (logit, delta, anchor) in enumerate(zip(logits, deltas, anchors, strict=True)):
            best, order = logit.topk(min(pre_nms, logit.shape[1]), dim=1)
            chosen = delta.gather(1, order[..., None].expand(-1, -1, 4))
            scores.append(best.sigmoid())
            boxes.append(decode_boxes(chosen, anchor[order]))  # (b, pre_nms, 4)
            levels.append(torch.full_like(order, level))
        together = zip(torch.cat(boxes, 1), torch.cat(scores, 1), torch.cat(levels, 1), strict=True)
        return [
            self._filter(*picture, size, post_nms)
            for picture, size in zip(together, image_sizes, strict=True)
        ]

    def _filter(
        self, boxes: Tensor, scores: Tensor, levels: Tensor, size: Size, post_nms: int
    ) -> Tensor:
        boxes = clip_boxes(boxes, size)
        real = are_larger(boxes, _MIN_SIDE) & (scores >= self.config.score_threshold)
        boxes, scores, levels = boxes[real], scores[real], levels[real]
        best: Tensor = batched_nms(boxes, scores, levels, self.config.nms_threshold)
        return boxes[best[:post_nms]]

    def _losses(
        self,
        logits: Tensor,
        deltas: Tensor,
        anchors: Sequence[Tensor],
        targets: Sequence[Instances],
    ) -> Losses:
        together = torch.cat(list(anchors))
        objectness, box, counts, positives = [], [], [], []
        for picture, target in enumerate(targets):
            matched = match_targets(
                together,
                target,
                foreground=self.config.foreground_iou,
                background=self.config.background_iou,
                keep_best=True,
            )
            positive, negative = self.sampler(matched)
            sampled = torch.cat((positive, negative))
            truth = (matched[sampled] != BACKGROUND).to(logits.dtype)
            objectness.append(
                F.binary_cross_entropy_with_logits(
                    logits[picture, sampled], truth, reduction="none"
                )
            )
            box.append(
                delta_loss(
                    self.config.box_loss,
                    deltas[picture, positive],
                    together[positive],
                    target.boxes[matched[positive]],
                    beta=_BETA,
                )
            )
            counts.append(len(sampled))
            positives.append(len(positive))
        mean = mean_over_pictures(torch.cat(box), positives, divisors=counts)
        return {
            "objectness": mean_over_pictures(torch.cat(objectness), counts),
            "rpn_box": self.config.box_weight * mean,
        }


def _levels(channels: Mapping[int, int], config: RPN.Config) -> list[int]:
    """Return the strides to propose on, checked."""
    strides = sorted(channels) if config.strides is None else list(config.strides)
    if missing := sorted(set(strides) - set(channels)):
        raise ConfigError(
            f"rpn.strides asks for {missing}; the features have strides {sorted(channels)}"
        )
    if len({channels[stride] for stride in strides}) != 1:
        widths = {stride: channels[stride] for stride in strides}
        raise ConfigError(
            f"one RPN serves all levels, so their channels must be equal, got {widths} "
            "(stride: channels): add a neck, or name one level in rpn.strides"
        )
    if len(config.anchor_sizes) not in (1, len(strides)):
        raise ConfigError(
            f"rpn.anchor_sizes has {len(config.anchor_sizes)} lists for {len(strides)} levels "
            f"of strides {strides}: give one list per level, or one for all"
        )
    if len({len(sizes) for sizes in config.anchor_sizes}) != 1:
        raise ConfigError(
            f"every level needs as many anchor sizes as the others, got {config.anchor_sizes}"
        )
    return strides
