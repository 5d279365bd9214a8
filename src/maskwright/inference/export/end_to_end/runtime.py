"""An end-to-end graph as a `Runtime`: it is given the pictures as they are.

Shapes: b pictures, (H, W) of the largest, n objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from maskwright.data import check_pixels
from maskwright.inference.export.folder import ExportHeader
from maskwright.inference.export.sessions import GraphSession
from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter
from maskwright.structures import Batch, Instances, Size

__all__ = ["EndToEndSegmenter"]


class EndToEndSegmenter:
    """Predicts what its graph says.

    Args:
        header: What the folder says.
        session: Its one graph.
    """

    def __init__(self, header: ExportHeader, session: GraphSession) -> None:
        assert isinstance(header.model, InstanceSegmenter.Config)
        self.header, self.config, self.session = header, header.model, session
        self.class_names = header.class_names
        self.category_ids = header.category_ids

    @property
    def picture_side(self) -> int:
        """Short side, in pixels, of the pictures it knows."""
        config = self.config
        return config.picture_side or min(config.fixed_size or (config.short_side,))

    @property
    def object_side(self) -> int | None:
        """Side of large objects in the pictures it was trained on, in pixels, where known."""
        return self.config.object_side

    def collate(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Batch:
        """Put RGB pictures into one array, as they are.

        Raises:
            ImageError: Not (h, w, 3) uint8, or without pixels.
            ValueError: No pictures.
        """
        if not len(images):
            raise ValueError("a batch needs at least one picture")
        for image in images:
            check_pixels(image, None, "a picture")
        sizes = tuple((image.shape[0], image.shape[1]) for image in images)
        height, width = (max(side) for side in zip(*sizes, strict=True))
        together = np.zeros((len(images), height, width, 3), np.uint8)
        for place, image in zip(together, images, strict=True):
            place[: image.shape[0], : image.shape[1]] = image
        return Batch(
            images=torch.from_numpy(together).permute(0, 3, 1, 2),
            image_sizes=sizes,
            original_sizes=sizes,
        )

    def predict(self, batch: Batch) -> list[Instances]:
        """Return the objects of each picture."""
        found = self.session.run(
            {
                "images": np.ascontiguousarray(batch.images.permute(0, 2, 3, 1).numpy()),
                "sizes": np.array(batch.image_sizes, np.int64),
            }
        )
        results = []
        for place, size in enumerate(batch.image_sizes):
            here = found["pictures"] == place
            results.append(self._of_picture({key: each[here] for key, each in found.items()}, size))
        return results

    def _of_picture(self, found: dict[str, np.ndarray], size: Size) -> Instances:
        masks = None
        if "masks" in found:
            masks = Masks.from_dense(found["masks"][:, : size[0], : size[1]] > 0)
        elif "crops" in found:
            masks = Masks.paste(found["crops"], found["boxes"], size)
        return Instances(
            image_size=size,
            boxes=torch.from_numpy(found["boxes"]),
            labels=torch.from_numpy(found["labels"]),
            scores=torch.from_numpy(found["scores"]),
            masks=masks,
            class_names=self.class_names,
            category_ids=self.category_ids,
        )
