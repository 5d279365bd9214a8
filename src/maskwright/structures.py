"""The words the parts of maskwright speak: what passes from one to the next.

Shapes: n objects, b pictures, c channels, (h, w) size of one picture, (H, W) padded size.
Boxes are xyxy float pixels, x2 and y2 exclusive. Labels run from 0. Sizes are (height, width).
Everything here is frozen; `n = 0` is normal.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int32, Int64, Shaped
from torch import Tensor

from maskwright import conversions
from maskwright.masks import Masks, Outline

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PIXELS", "Batch", "Dense", "Features", "Instances", "Losses", "Rois", "Sample", "Size"]

Size = tuple[int, int]
"""(height, width) in pixels."""

Features = dict[int, Tensor]
"""Stride in pixels of the batch -> feature map (b, c, H / stride, W / stride)."""

PIXELS = 1
"""The stride under which `Features` hold the normalised pixels, for a mask head that reads them."""

Dense = dict[str, Tensor]
"""Name -> what layers on the feature maps say, before anything is chosen: what a graph can hold."""

Losses = dict[str, Tensor]
"""Name -> scalar, each a mean over the pictures of the batch; their sum is minimised."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Instances:
    """The objects of one picture, found or true.

    Args:
        image_size: Frame of boxes and masks, (height, width) in pixels.
        boxes: (n, 4) xyxy float32 pixels.
        labels: (n,) int64 class labels from 0.
        scores: (n,) float32 in [0, 1]; None for truth.
        masks: The n masks, of the same image size; None before a mask head has run.
        is_crowd: (n,) bool, True where one annotation stands for a crowd; None means no crowd.
        class_names: Names by label; () while they do not matter (inside a network).
        category_ids: A dataset's ids by label, used when results are written; () means 1 to k.
        source: The picture the objects are of: its file, read again when it is drawn on, or its
            pixels, (h, w, 3) uint8 RGB or (h, w, c) as stored; None where it is not known.

    Raises:
        ValueError: Shapes or lengths that disagree.
    """

    image_size: Size
    boxes: Float[Tensor, "n 4"]
    labels: Int64[Tensor, " n"]
    scores: Float[Tensor, " n"] | None = None
    masks: Masks | None = None
    is_crowd: Bool[Tensor, " n"] | None = None
    class_names: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()
    source: Path | Shaped[np.ndarray, "h w c"] | None = None

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            hint = ": transposed?" if self.boxes.ndim == 2 and self.boxes.shape[0] == 4 else ""
            raise ValueError(f"boxes must be (n, 4) xyxy, got {tuple(self.boxes.shape)}{hint}")
        n = len(self.boxes)
        for name in ("labels", "scores", "masks", "is_crowd"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise ValueError(f"{name} must have one entry per box ({n}), got {len(value)}")
        if self.masks is not None and self.masks.image_size != self.image_size:
            raise ValueError(
                f"masks are of a {self.masks.image_size} picture, boxes of {self.image_size}"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        height, width = self.image_size
        counts = Counter(self.names).most_common()
        what = ": " + ", ".join(f"{count} {name}" for name, count in counts) if counts else ""
        return f"<Instances {len(self)} on {height} x {width}{what}>"

    def __getitem__(self, index: int | slice | Sequence[int] | np.ndarray | Tensor) -> Instances:
        """Select objects by integer, slice, integer indices or a boolean per object."""
        order = torch.arange(len(self))
        if isinstance(index, int):
            chosen = order[index : index + 1] if index >= 0 else order[[index]]
            if not len(chosen):
                raise IndexError(f"object {index} of {len(self)}")
        elif isinstance(index, slice):
            chosen = order[index]
        else:
            chosen = order[torch.as_tensor(np.asarray(index)) if len(index) else []]
        on_device = chosen.to(self.boxes.device)
        return replace(
            self,
            boxes=self.boxes[on_device],
            labels=self.labels[on_device],
            scores=None if self.scores is None else self.scores[on_device],
            masks=None if self.masks is None else self.masks[chosen.numpy()],
            is_crowd=None if self.is_crowd is None else self.is_crowd[on_device],
        )

    @property
    def names(self) -> list[str]:
        """Class name of each object; the label as text where no names are known."""
        if not self.class_names:
            return [str(label) for label in self.labels.tolist()]
        return [self.class_names[label] for label in self.labels.tolist()]

    def to_coco(self, image_id: int = 0) -> list[dict[str, Any]]:
        """COCO results (annotations for truth), plain numbers ready for `json.dumps`."""
        return conversions.to_coco(self, image_id)

    def to_polygons(self) -> list[list[Outline]]:
        """Per object the exact pixel outlines of its parts, with holes: `Masks.to_polygons`."""
        return conversions.masks_of(self, "an outline").to_polygons()

    def to_label_map(
        self, *, overlap: conversions.OverlapRule | None = None
    ) -> Int32[np.ndarray, "h w"]:
        """One picture of numbers: 0 background, i + 1 object i; `overlap` says who wins.

        None: the higher score wins; true objects, which have no scores, must not overlap.
        """
        return conversions.to_label_map(self, overlap=overlap)

    def to_class_map(self) -> Int32[np.ndarray, "h w"]:
        """The class of every pixel: 0 background, label + 1; -1 where there are only crowds.

        The smaller of overlapping objects has the pixel.
        """
        return conversions.to_class_map(self)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per object: class, score, box and area."""
        return conversions.to_dataframe(self)

    def to_supervision(self, *, compact: bool = False) -> Any:
        """`supervision.Detections`, with dense masks or its own compact ones."""
        return conversions.to_supervision(self, compact=compact)

    def save_overlay(
        self,
        path: str | os.PathLike[str],
        image: Shaped[np.ndarray, "h w c"] | None = None,
        *,
        min_score: float = 0.5,
    ) -> None:
        """Draw the objects over their picture and save it; the suffix says PNG or JPEG.

        Args:
            path: The file to write, atomically.
            image: The picture, where `source` does not know it.
            min_score: Found objects with a lower score are not drawn; 0 draws all.
        """
        # The one import upwards of this layer: the method is what people look for on a result,
        # and drawing itself belongs where cv2 and fonts are (docs/architecture.md).
        from maskwright.draw import save_overlay

        save_overlay(path, self, image, min_score=min_score)

    @classmethod
    def empty(cls, image_size: Size, **known: Any) -> Instances:
        """No objects, on a picture of `image_size`; `known` sets further fields."""
        return cls(
            image_size=image_size,
            boxes=torch.zeros((0, 4)),
            labels=torch.zeros(0, dtype=torch.int64),
            **known,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One picture with its truth.

    Args:
        image: (h, w, 3) uint8 RGB, or (h, w, c) uint8, uint16 or float32 as stored.
        targets: The true objects, in the frame of `image`, with masks.
        image_id: The dataset's id of the picture.
        name: The picture's file name, for messages.
    """

    image: Shaped[np.ndarray, "h w c"]
    targets: Instances
    image_id: int
    name: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Pictures padded to one size at the bottom and the right, for a network.

    Args:
        images: (b, c, H, W) raw pixel values, of RGB 0..255 (uint8, or float32 after a resize and
            for values that uint8 does not hold).
        image_sizes: (h, w) of each picture inside the padding.
        original_sizes: (h, w) of each picture before it was resized; results are in this frame.
        targets: The true objects of each picture in the frame of `images`; None at prediction.
        names: File name of each picture, for messages; may be ().
    """

    images: Tensor
    image_sizes: tuple[Size, ...]
    original_sizes: tuple[Size, ...]
    targets: tuple[Instances, ...] | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.image_sizes)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rois:
    """The boxes of one picture in which a mask head learns.

    Args:
        boxes: (n, 4) xyxy float32, frame of the batch; each overlaps its target.
        labels: (n,) int64 class of the target.
        matched: (n,) int64 index of the target in the picture's targets.
    """

    boxes: Float[Tensor, "n 4"]
    labels: Int64[Tensor, " n"]
    matched: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.boxes)
