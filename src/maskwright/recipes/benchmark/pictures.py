"""Pictures for a benchmark: the user's, or one that is made up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from maskwright.errors import ConfigError
from maskwright.inference import find_sources
from maskwright.structures import Size

__all__ = ["bench_pictures", "make_picture", "parse_size"]

_LARGEST = 100_000
_GRAIN = 40
"""Pixels between two colours of a made-up picture."""


def bench_pictures(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    folder: Path,
    size: Size,
    limit: int,
) -> list[Path]:
    """Return picture files, at most `limit`, evenly drawn; without sources a made-up JPEG.

    Args:
        sources: Files, folders and patterns.
        folder: Where a picture is made up.
        size: (height, width) of that.
        limit: Pictures at most, 1 or more.

    Raises:
        ConfigError: A limit below 1, or an impossible size.
        DataError: A source that does not exist or holds no pictures.
    """
    if limit < 1:
        raise ConfigError(f"--limit must be 1 or more, got {limit}")
    if sources:
        names = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
        paths = find_sources(names)
        places = np.linspace(0, len(paths) - 1, min(limit, len(paths))).round().astype(int)
        return [paths[place] for place in places.tolist()]
    if not all(0 < side <= _LARGEST for side in size):
        raise ConfigError(f"a picture of {size[0]} x {size[1]} pixels cannot be made up")
    path = folder / "picture.jpg"
    cv2.imwrite(str(path), make_picture(size))
    return [path]


def make_picture(size: Size) -> np.ndarray:
    """Return (h, w, 3) uint8: soft blobs of colour with a little noise."""
    height, width = size
    rng = np.random.default_rng(0)
    coarse_size = (max(2, height // _GRAIN), max(2, width // _GRAIN), 3)
    coarse = rng.integers(0, 256, coarse_size).astype(np.float32)
    smooth = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    smooth += rng.normal(0, 6, smooth.shape).astype(np.float32)
    return np.asarray(np.clip(smooth, 0, 255), np.uint8)


def parse_size(text: str) -> Size:
    """Return (height, width) of a text such as "480x640", or "640" for a square.

    Raises:
        ConfigError: Another form.

    >>> parse_size("480x640"), parse_size("640")
    ((480, 640), (640, 640))
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.strip().isdigit() and int(part) for part in parts):
        raise ConfigError(f"--size is HEIGHTxWIDTH in pixels, such as 480x640, got {text!r}")
    return int(parts[0]), int(parts[-1])
