"""Fingerprints of pictures: little enough to keep of a million, enough to find copies by.

Shapes: m pictures, t = 8 turns (see `turned`), s = 16 pixels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt8, UInt64
from PIL import Image

if TYPE_CHECKING:
    from maskwright.data.dataset import Dataset

__all__ = [
    "NUM_TURNS",
    "THUMBNAIL",
    "Fingerprints",
    "fingerprint_dataset",
    "fingerprint_pictures",
    "turned",
]

NUM_TURNS = 8
"""Quarter turns, and the mirrored picture in quarter turns."""

THUMBNAIL = 16
"""Height and width of the thumbnails in pixels."""

_SIDE = 32  # pixels of the grey picture that is hashed, as imagehash has it


@dataclass(frozen=True, kw_only=True, eq=False)
class Fingerprints:
    """What is kept of pictures to find duplicates among them: 340 bytes a picture.

    Args:
        digests: (m,) hash of the decoded pixels with their shape and type, 16 bytes.
        hashes: (m, t) perceptual hash of each turn of the picture; the first is upright.
        thumbnails: (m, 16, 16) grey.
        aspects: (m,) logarithm of height over width.
    """

    digests: Shaped[np.ndarray, " m"]
    hashes: UInt64[np.ndarray, "m t"]
    thumbnails: UInt8[np.ndarray, "m s s"]
    aspects: Float32[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.digests)

    @classmethod
    def concatenate(cls, parts: Iterable[Fingerprints]) -> Fingerprints:
        """Return those of several sets of pictures in turn, to look for duplicates across them."""
        parts = [fingerprint_pictures([]), *parts]
        return cls(
            digests=np.concatenate([part.digests for part in parts]),
            hashes=np.concatenate([part.hashes for part in parts]),
            thumbnails=np.concatenate([part.thumbnails for part in parts]),
            aspects=np.concatenate([part.aspects for part in parts]),
        )


def fingerprint_pictures(images: Iterable[Shaped[np.ndarray, "h w *c"]]) -> Fingerprints:
    """Return the fingerprints of pictures, one held at a time.

    Args:
        images: (h, w) or (h, w, channels), any number type. Other types than uint8 are spread
            from their least to their greatest value; colour counts by its mean.
    """
    digests, hashes, thumbnails, aspects = [], [], [], []
    for image in images:
        digests.append(_digest(image))
        small = _small_grey(image)
        hashes.append([_perceptual_hash(turned(small, turn)) for turn in range(NUM_TURNS)])
        thumbnails.append(cv2.resize(small, (THUMBNAIL,) * 2, interpolation=cv2.INTER_AREA))
        aspects.append(math.log(image.shape[0] / image.shape[1]))
    return Fingerprints(
        digests=np.array(digests, "V16"),
        hashes=np.array(hashes, np.uint64).reshape(-1, NUM_TURNS),
        thumbnails=np.array(thumbnails, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL),
        aspects=np.array(aspects, np.float32),
    )


def fingerprint_dataset(
    dataset: Dataset, *, progress: Callable[[int, int], None] | None = None
) -> Fingerprints:
    """Return the fingerprints of all pictures of a dataset.

    Args:
        dataset: With its pictures.
        progress: Called after each picture with the pictures done and all.

    Raises:
        ImageError: A picture cannot be read.
    """

    def images() -> Iterable[np.ndarray]:
        for i in range(len(dataset)):
            yield dataset.image(i)
            if progress is not None:
                progress(i + 1, len(dataset))

    return fingerprint_pictures(images())


def turned(images: np.ndarray, turn: int) -> np.ndarray:
    """Return square pictures in one of the eight turns: quarters, then mirrored quarters."""
    turned = np.rot90(images, turn % 4, axes=(-2, -1))
    return turned[..., ::-1] if turn >= 4 else turned


def _digest(image: np.ndarray) -> bytes:
    digest = hashlib.blake2b(f"{image.shape} {image.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()


def _small_grey(image: np.ndarray) -> UInt8[np.ndarray, "32 32"]:
    """Return the picture as 32 x 32 grey values, averaged over the pixels that fall together."""
    if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    else:
        grey = image if image.ndim == 2 else image.mean(axis=2)
        if image.dtype != np.uint8:
            grey = np.nan_to_num(grey.astype(np.float32))
            low, high = float(grey.min(initial=0)), float(grey.max(initial=0))
            grey = (grey - low) * (255 / (high - low) if high > low else 0.0)
    small = cv2.resize(grey.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def _perceptual_hash(grey: UInt8[np.ndarray, "32 32"]) -> np.uint64:
    import imagehash

    bits = imagehash.phash(Image.fromarray(np.ascontiguousarray(grey))).hash
    return np.uint64(np.packbits(bits).view(np.uint64)[0])
