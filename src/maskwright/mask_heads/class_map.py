"""The class map: what the whole picture shows, cell by cell; FCN and DeepLab draw it.

A class map knows classes, not objects: `ClassMapHead.crops` cuts the probability of a detection's
class out of it with the detection's box. Two objects of one class in one box are therefore drawn
as one; the other mask heads can tell them apart.

Shapes: b pictures, k classes, (gh, gw) cells of the map, n objects, s cells of a crop per side.
Channel 0 of a map is the background, channel i + 1 is the class with label i.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskwright.mask_heads.class_map_losses import class_map_losses
from maskwright.mask_heads.map_crops import crop_maps
from maskwright.mask_heads.mask_head import MaskHead
from maskwright.structures import Dense, Features, Instances, Losses, Rois, Size

__all__ = ["ClassMapHead", "class_counts"]


class ClassMapHead(MaskHead):
    """A mask head that gives every cell of the picture a class, and cuts boxes out of that.

    Attributes:
        map_stride: Pixels per cell of the map; cell j covers [j * stride, (j + 1) * stride).
        num_classes: Classes of objects.
        crop_size: Cells per side of a crop.
        mask_loss: What the map learns with, see `parse_mask_loss`.
        mask_points: Learn from at most so many cells of a picture; all where None.
    """

    map_stride: int
    num_classes: int
    crop_size: int
    mask_loss: str = "cross_entropy"
    mask_points: int | None = None

    @abstractmethod
    def class_logits(self, features: Features) -> Float[Tensor, "b k+1 gh gw"]:
        """Return the map as logits; their softmax over channels are probabilities."""

    def class_loss(self, features: Features, targets: Sequence[Instances]) -> Losses:
        """Return `class_map`: by default cross-entropy, mean over the pixels of each picture.

        Crowds and padding are not counted; a picture without objects is all background. Several
        losses have names of their own, such as `class_map_dice`.

        Raises:
            ValueError: Targets without masks.
        """
        logits = self.class_logits(features)
        size = (logits.shape[-2], logits.shape[-1])
        counts = torch.stack(
            [class_counts(each, self.num_classes, size, self.map_stride) for each in targets]
        )
        return class_map_losses(
            logits,
            counts.to(logits.device),
            mask_loss=self.mask_loss,
            num_cells=self.mask_points,
        )

    def loss(
        self, features: Features, rois: Sequence[Rois], targets: Sequence[Instances]
    ) -> Losses:
        """Return `class_loss`: every pixel teaches, whoever found the boxes."""
        del rois
        return self.class_loss(features, targets)

    def crops(
        self, features: Features, detections: Sequence[Instances]
    ) -> list[Float[Tensor, "_ s s"]]:
        """Return per picture the probability of each detection's class inside its box."""
        return self.crops_from(self.dense(features), features, detections)

    def dense(self, features: Features) -> Dense:
        """Return the map `class_logits` (b, k + 1, gh, gw)."""
        return {"class_logits": self.class_logits(features)}

    def crops_from(
        self, dense: Dense, features: Features, detections: Sequence[Instances]
    ) -> list[Float[Tensor, "_ s s"]]:
        """Return what `crops` does, from the map; no features are read."""
        del features
        probs = dense["class_logits"].float().softmax(dim=1)
        channels = probs.shape[1]
        owners = [each.labels + 1 + i * channels for i, each in enumerate(detections)]
        cut = crop_maps(
            probs.flatten(0, 1),  # (b * (k + 1), gh, gw): only the wanted channels are sampled
            torch.cat(owners),
            torch.cat([each.boxes for each in detections]),
            stride=self.map_stride,
            size=self.crop_size,
        )
        # sums of bilinear weights may round to more than one
        return list(torch.split(cut.clamp(0, 1), [len(each) for each in detections]))


def class_counts(
    targets: Instances, num_classes: int, map_size: Size, stride: int
) -> Float[Tensor, "k+1 gh gw"]:
    """Return how many pixels of each cell are background and of each class.

    Whose a pixel is says `Instances.to_class_map`. Pixels that it does not know (crowds), and
    those beyond the picture (padding), count nowhere, so a cell may sum to less than stride^2.
    Only one map of the picture's size is made, whatever the number of objects.

    Args:
        targets: The true objects of the picture, with masks.
        num_classes: Classes of objects.
        map_size: Cells of the map, padding included.
        stride: Pixels per cell.

    Raises:
        ValueError: The targets have no masks.

    >>> from maskwright.masks import Masks
    >>> masks = Masks.from_boxes([[0, 0, 3, 2]], (2, 4))
    >>> targets = Instances(image_size=(2, 4), boxes=torch.tensor(masks.boxes),
    ...                     labels=torch.tensor([0]), masks=masks)
    >>> class_counts(targets, 1, (1, 2), stride=2).tolist()
    [[[0.0, 2.0]], [[4.0, 2.0]]]
    """
    if targets.masks is None:
        raise ValueError("targets have no masks, and a mask head cannot learn without")
    class_map = targets.to_class_map()
    cells = _cells_of(class_map.shape[0], stride, map_size[0])[:, None] * map_size[1]
    cells = cells + _cells_of(class_map.shape[1], stride, map_size[1])
    channels = num_classes + 2  # not known, background, classes
    counts = np.bincount(
        (cells * channels + class_map + 1).ravel(), minlength=map_size[0] * map_size[1] * channels
    )
    by_cell = counts.reshape(*map_size, channels)[..., 1:].transpose(2, 0, 1)
    return torch.from_numpy(by_cell.astype(np.float32))


def _cells_of(pixels: int, stride: int, cells: int) -> Int64[np.ndarray, " p"]:
    """The cell of each pixel along one side; the last cell has what is left over."""
    return np.minimum(np.arange(pixels) // stride, cells - 1)
