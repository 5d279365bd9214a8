"""Selective search on the pictures of a batch, which remembers what it has searched.

The search runs on the processor, on the very pixels the network sees, in the frame of the batch.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from maskwright.detectors.selective_search import ProposalCache, SearchMode, selective_search
from maskwright.ops import PositiveCount
from maskwright.structures import Batch, Size

__all__ = ["PictureSearch"]

_REMEMBERED_BYTES = 64 * 1024 * 1024
"""Boxes kept in memory: 2,000 pictures of 2,000 boxes each."""


class PictureSearch:
    """Proposes boxes on each picture of a batch.

    Boxes of the last pictures searched are kept in memory by the content of their pixels, so
    pictures that come again as they were (validation, training without augmentation) are searched
    once. A picture that augmentation changed is a new one and is searched anew.

    Args:
        config: How long to search, and for how many boxes.

    Attributes:
        cache: A folder that keeps the boxes beyond this process; None until one is set.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `PictureSearch`.

        Args:
            mode: "fast" or "quality", see `selective_search`.
            max_proposals: Of one picture.
            longest_side: Pixels to which the longer side is brought for the search; its time
                grows with the square.
        """

        mode: SearchMode = "fast"
        max_proposals: PositiveCount = 2000
        longest_side: PositiveCount = 400

    def __init__(self, config: PictureSearch.Config) -> None:
        self.config = config
        self.cache: ProposalCache | None = None
        self._known: OrderedDict[bytes, Float32[np.ndarray, "n 4"]] = OrderedDict()
        self._known_bytes = 0
        self._held: Tensor | None = None

    def __call__(self, batch: Batch, *, keep: bool = True) -> list[Float[Tensor, "_ 4"]]:
        """Return the boxes of each picture inside its padding, at least one, on its device.

        Args:
            batch: The pictures.
            keep: Use the folder of `cache`, if there is one. Views that augmentation made do not
                come again and would only fill it.
        """
        if self._held is not None:
            return [self._held.to(image.device) for image in batch.images]
        cache = self.cache if keep else None
        return [
            torch.from_numpy(self._search(_pixels(image, size), cache).copy()).to(image.device)
            for image, size in zip(batch.images, batch.image_sizes, strict=True)
        ]

    @contextmanager
    def holding(self, boxes: Float[Tensor, "_ 4"]) -> Iterator[None]:
        """Propose these boxes for every picture meanwhile, and search none.

        For what looks at many copies of one picture: the search jumps where pixels change a
        little, and would be made for each of them.
        """
        before, self._held = self._held, boxes
        try:
            yield
        finally:
            self._held = before

    def _search(
        self, image: UInt8[np.ndarray, "h w 3"], cache: ProposalCache | None
    ) -> Float32[np.ndarray, "n 4"]:
        digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
        digest.update(image.data)
        key = digest.digest()
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        search = selective_search if cache is None else cache.search
        boxes = search(
            image,
            mode=self.config.mode,
            max_proposals=self.config.max_proposals,
            longest_side=self.config.longest_side,
        )
        self._known[key] = boxes
        self._known_bytes += boxes.nbytes
        while self._known_bytes > _REMEMBERED_BYTES:
            _, oldest = self._known.popitem(last=False)
            self._known_bytes -= oldest.nbytes
        return boxes


def _pixels(image: Float[Tensor, "3 H W"], size: Size) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture of the batch without its padding, as it was read."""
    inside = image[:, : size[0], : size[1]]
    if inside.is_floating_point():  # resized for prediction
        inside = inside.round().clamp(0, 255)
    return np.ascontiguousarray(inside.to(torch.uint8).permute(1, 2, 0).cpu().numpy())
