"""What gradients are taken of: one number that says how much of an object a network sees.

Shapes: n copies of one picture, (H, W) of the padded batch, s cells of a mask crop per side.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from maskwright.explain.detection_score import Target, require_target
from maskwright.model import InstanceSegmenter
from maskwright.model.picture_batches import evaluating
from maskwright.ops import pairwise_iou
from maskwright.structures import Batch, Features, Instances

__all__ = ["ObjectTarget"]

_HELD = 64
"""Proposals of selective search that are kept, those that overlap the object most. They bound the
memory of R-CNN's gradients; one that overlaps it less than these does not become its box."""


class ObjectTarget:
    """Maps copies of a picture to how much of one object the network sees on each.

    The gradient's counterpart of `DetectionScore`, without its jumps. It looks at what the
    detector says before anything is chosen (`Detector.candidates`), so neither thresholds nor
    duplicates come in: the largest product of the score of the object's class and the IoU with
    its box. The mask head is asked for the mask inside the object's box, and the soft IoU with
    the mask that was found there counts. Proposals of selective search are those of the picture
    as it is: they are made from the pixels by steps that have no gradient.

    Args:
        model: The network; it is put in evaluation mode where it is called.
        batch: The picture alone, as `model.collate` makes it.
        found: The object, alone, in the frame of the original picture.
        target: What is explained.

    Raises:
        ConfigError: "mask" of a model that finds boxes alone.
    """

    def __init__(
        self, model: InstanceSegmenter, batch: Batch, found: Instances, target: Target
    ) -> None:
        require_target(target, has_masks=model.mask_head is not None)
        self._model, self._batch = model, batch
        self._explains_class = target != "mask"
        self._explains_mask = target != "class" and model.mask_head is not None
        (height, width), (tall, wide) = batch.original_sizes[0], batch.image_sizes[0]
        factors = torch.tensor([wide / width, tall / height]).repeat(2)
        self._object = Instances(
            image_size=batch.image_sizes[0],
            boxes=(found.boxes.cpu() * factors).to(batch.images.device),
            labels=found.labels.to(batch.images.device),
        )
        self._proposals = self._nearest_proposals()
        self._crop: Tensor | None = None
        if self._explains_mask:
            with torch.no_grad(), evaluating(model):
                self._crop = (self._crops(model.features(batch), 1) > 0.5).float()  # (1, s, s)

    def __call__(self, images: Float[Tensor, "n 3 H W"]) -> Float[Tensor, " n"]:
        """Return the number of each copy, 0 to 1, with a gradient to its pixels (0..255)."""
        count = len(images)
        batch = replace(
            self._batch,
            images=images,
            image_sizes=self._batch.image_sizes * count,
            original_sizes=self._batch.original_sizes * count,
        )
        with evaluating(self._model), self._holding_proposals():
            features = self._model.features(batch)
            seen = images.new_ones(count)
            if self._explains_class:
                candidates = self._model.detector.candidates(features, batch)
                seen = torch.stack([self._best(*each) for each in candidates])
            if self._explains_mask:
                seen = seen * self._mask_overlap(self._crops(features, count))
        return seen

    def _best(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """Return the largest product of score and overlap among candidates of the class."""
        label = int(self._object.labels)
        if not len(boxes) or label >= scores.shape[1]:
            return scores.new_zeros(())
        own = boxes[:, min(label, boxes.shape[1] - 1)]
        overlap = pairwise_iou(own, self._object.boxes.to(own))[:, 0]
        return (torch.nan_to_num(overlap) * scores[:, label]).max()

    def _crops(self, features: Features, count: int) -> Float[Tensor, "n s s"]:
        head = self._model.mask_head
        assert head is not None
        return torch.cat(head.crops(features, [self._object] * count))

    def _mask_overlap(self, crops: Float[Tensor, "n s s"]) -> Float[Tensor, " n"]:
        """Return the soft IoU of each copy's mask with the mask that was found."""
        assert self._crop is not None
        shared = (crops * self._crop).sum(dim=(1, 2))
        union = crops.sum(dim=(1, 2)) + self._crop.sum() - shared
        return shared / union.clamp(min=1e-6)

    def _nearest_proposals(self) -> Tensor | None:
        search = self._model.detector.search
        if search is None:
            return None
        boxes = search(self._batch)[0]
        overlap = pairwise_iou(boxes, self._object.boxes.to(boxes))[:, 0]
        return boxes[overlap.topk(min(_HELD, len(boxes))).indices]

    def _holding_proposals(self) -> AbstractContextManager[None]:
        search = self._model.detector.search
        if search is None or self._proposals is None:
            return nullcontext()
        return search.holding(self._proposals)
