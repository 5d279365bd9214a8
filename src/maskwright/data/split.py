"""Dividing a dataset into training, validation and test parts."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from maskwright.data.dataset import Dataset
from maskwright.errors import ConfigError

__all__ = ["split_dataset"]


def split_dataset(
    dataset: Dataset, fractions: Sequence[float] = (0.7, 0.15, 0.15), *, seed: int = 0
) -> tuple[Dataset, ...]:
    """Divide pictures so that every class is spread like the whole.

    Iterative stratification (Sechidis et al. 2011, "On the Stratification of Multi-label Data",
    algorithm 1): the class with the fewest pictures left is dealt out first, each picture to
    the part that lacks it most. Pictures without objects count as a class of their own. Unlike
    the paper's, parts have exactly the rounded size.

    Args:
        dataset: Pictures with their objects.
        fractions: Share of each part; they sum to 1. Each part gets at least one picture where
            there are enough for that.
        seed: Decides ties and the order in which pictures are dealt.

    Returns:
        One dataset per fraction, pictures in the order of `dataset`; every picture is in
        exactly one. The same dataset and seed give the same parts.

    Raises:
        ConfigError: Fractions that are not positive or do not sum to 1.
    """
    shares = np.asarray(fractions, np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ConfigError(f"fractions must be positive and sum to 1, got {tuple(fractions)}")
    has_class = np.zeros((len(dataset), len(dataset.class_names) + 1), bool)
    has_class[dataset.object_image, dataset.labels] = True
    has_class[:, -1] = ~has_class.any(axis=1)
    part_of = _deal(has_class, _part_sizes(len(dataset), shares), np.random.default_rng(seed))
    return tuple(dataset.subset(np.flatnonzero(part_of == part)) for part in range(len(shares)))


def _part_sizes(num_images: int, shares: Float64[np.ndarray, " p"]) -> Int64[np.ndarray, " p"]:
    """Round by largest remainder, then let the largest part give to those that got nothing."""
    exact = shares * num_images
    # A hair is added so that 0.15 * 20, a little under 3 in binary, counts as 3.
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    by_remainder = np.argsort(sizes - exact, kind="stable")
    sizes[by_remainder[: num_images - sizes.sum()]] += 1
    while num_images >= len(shares) and sizes.min() == 0:
        sizes[sizes.argmax()] -= 1
        sizes[sizes.argmin()] += 1
    return sizes


def _deal(
    has_class: Bool[np.ndarray, "m k"],
    sizes: Int64[np.ndarray, " p"],
    rng: np.random.Generator,
) -> Int64[np.ndarray, " m"]:
    """Return the part of each picture."""
    num_images, num_classes = has_class.shape
    part_of = np.full(num_images, -1)
    room = sizes.astype(np.float64)
    wanted = has_class.sum(0) * (sizes / max(1, num_images))[:, None]  # (p, k)
    num_left = has_class.sum(0)
    queue = [(int(count), label) for label, count in enumerate(num_left) if count]
    heapq.heapify(queue)
    while queue:
        count, label = heapq.heappop(queue)
        if count != num_left[label]:
            if num_left[label]:
                heapq.heappush(queue, (int(num_left[label]), label))
            continue
        for image in rng.permutation(np.flatnonzero(has_class[:, label] & (part_of < 0))):
            luck = rng.random(len(sizes))
            part = np.lexsort((luck, room, wanted[:, label], room > 0))[-1]
            part_of[image] = part
            room[part] -= 1
            wanted[part, has_class[image]] -= 1
            num_left -= has_class[image]
    assert num_classes == 0 or (part_of >= 0).all()
    return part_of
