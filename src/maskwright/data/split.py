"""Dividing a dataset into training, validation and test parts, or into folds.

Shapes: m pictures, g groups, k classes (with one more for pictures without objects and four for
quarters by number of objects), p parts.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from maskwright.data.dataset import Dataset
from maskwright.errors import ConfigError, DataError

__all__ = ["fold_dataset", "split_dataset"]

_TRIES = 10
_MANY_GROUPS = 1000  # so many are dealt evenly at the first try
_MOST_PRODUCTS = 1e9  # what looking for groups to move may cost: a second
_CROWDING_STEPS = 4


def split_dataset(
    dataset: Dataset,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    *,
    seed: int = 0,
    groups: Sequence[int] | np.ndarray | None = None,
) -> tuple[Dataset, ...]:
    """Divide pictures so that every class is spread like the whole.

    Iterative stratification (Sechidis et al. 2011, "On the Stratification of Multi-label Data",
    algorithm 1): the class with the fewest pictures left is dealt out first, each picture to
    the part that lacks it most. Pictures without objects count as a class of their own, and so
    do the quarters by number of objects, or one part of a one-class dataset could get
    all the crowded pictures. Unlike the paper's, parts have exactly the rounded size, as far as
    groups allow.

    A group is dealt as a whole, the largest first; then groups are moved while that brings sizes
    and classes nearer to what was wanted. Of ten such deals (of fewer than a
    thousand groups) the nearest is taken.

    Args:
        dataset: Pictures with their objects.
        fractions: Share of each part; they sum to 1. Each part gets at least one picture where
            there are enough for that.
        seed: Decides ties and the order in which pictures are dealt.
        groups: A number for each picture; those of one number stay together (`group_pictures`
            makes them). None takes every picture by itself.

    Returns:
        One dataset per fraction, pictures in the order of `dataset`; every picture is in
        exactly one. The same dataset, groups and seed give the same parts.

    Raises:
        ConfigError: Fractions that are not positive or do not sum to 1, a negative seed, or not
            one group per picture.
        DataError: There are fewer groups than parts.
    """
    shares = np.asarray(fractions, np.float64)
    if shares.ndim != 1 or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ConfigError(f"fractions must be positive and sum to 1, got {tuple(fractions)}")
    part_of = _part_of(dataset, shares, seed, groups)
    return tuple(dataset.subset(np.flatnonzero(part_of == part)) for part in range(len(shares)))


def fold_dataset(
    dataset: Dataset,
    num_folds: int,
    *,
    seed: int = 0,
    groups: Sequence[int] | np.ndarray | None = None,
) -> list[tuple[Dataset, Dataset]]:
    """Divide pictures for cross-validation: each is in the validation part of one fold.

    Args:
        dataset: Pictures with their objects.
        num_folds: 2 or more.
        seed: As for `split_dataset`.
        groups: As for `split_dataset`.

    Returns:
        (training, validation) per fold; the validation parts are stratified as by `split_dataset`
        and of equal size, as far as groups allow.

    Raises:
        ConfigError: Fewer than two folds, a negative seed, or not one group per picture.
        DataError: There are fewer pictures or groups than folds.
    """
    if num_folds < 2:
        raise ConfigError(f"cross-validation takes 2 folds or more, got {num_folds}")
    if len(dataset) < num_folds:
        raise DataError(f"{len(dataset)} pictures cannot make {num_folds} folds: ask for fewer")
    part_of = _part_of(dataset, np.full(num_folds, 1 / num_folds), seed, groups)
    return [
        (dataset.subset(np.flatnonzero(part_of != k)), dataset.subset(np.flatnonzero(part_of == k)))
        for k in range(num_folds)
    ]


def _part_of(
    dataset: Dataset,
    shares: Float64[np.ndarray, " p"],
    seed: int,
    groups: Sequence[int] | np.ndarray | None,
) -> Int64[np.ndarray, " m"]:
    """Return the part of each picture."""
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    rng = np.random.default_rng(seed)
    sizes = _part_sizes(len(dataset), shares)
    has_class = _has_class(dataset)
    if groups is None:
        counts = has_class.astype(np.int64)
        return _deal(counts, np.ones(len(dataset), np.int64), sizes, rng)
    numbers = np.asarray(groups)
    if numbers.shape != (len(dataset),):
        raise ConfigError(f"groups must be one per picture ({len(dataset)}), got {numbers.shape}")
    if not len(numbers):
        return np.zeros(0, np.int64)
    _, group_of = np.unique(numbers, return_inverse=True)
    group_sizes = np.bincount(group_of)
    if len(group_sizes) < len(shares) <= len(dataset):
        raise DataError(
            f"{len(dataset)} pictures in {len(group_sizes)} groups (of "
            f"{', '.join(map(str, sorted(group_sizes.tolist(), reverse=True)))} pictures) cannot "
            f"make {len(shares)} parts, for a group stays together: ask for fewer parts, or group "
            "more finely"
        )
    counts = np.zeros((len(group_sizes), has_class.shape[1]), np.int64)
    np.add.at(counts, group_of, has_class)
    tries = []
    for _ in range(_TRIES if len(group_sizes) < _MANY_GROUPS else 1):
        part_of = _deal(counts, group_sizes, sizes, rng)
        tries.append((_balance(part_of, counts, group_sizes, sizes), part_of))
    return min(tries, key=lambda one: one[0])[1][group_of]


def _has_class(dataset: Dataset) -> Bool[np.ndarray, "m k"]:
    """Say which classes each picture has: the data's, "none", and how crowded it is."""
    num_classes = len(dataset.class_names)
    has_class = np.zeros((len(dataset), num_classes + 1 + _CROWDING_STEPS), bool)
    has_class[dataset.object_image, dataset.labels] = True
    is_empty = ~has_class.any(axis=1)
    has_class[:, num_classes] = is_empty
    num_objects = np.bincount(dataset.object_image, minlength=len(dataset))
    filled = np.flatnonzero(~is_empty)
    if len(filled):
        steps = np.quantile(num_objects[filled], np.arange(1, _CROWDING_STEPS) / _CROWDING_STEPS)
        has_class[filled, num_classes + 1 + np.searchsorted(steps, num_objects[filled])] = True
    return has_class


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
    counts: Int64[np.ndarray, "g k"],
    group_sizes: Int64[np.ndarray, " g"],
    sizes: Int64[np.ndarray, " p"],
    rng: np.random.Generator,
) -> Int64[np.ndarray, " g"]:
    """Return the part of each group of pictures.

    Args:
        counts: Pictures with each class.
        group_sizes: Pictures.
        sizes: Pictures wanted in each part.
        rng: For the order and for ties.
    """
    part_of = np.full(len(counts), -1)
    room = sizes.astype(np.float64)
    num_left = counts.sum(0)
    wanted = num_left * (sizes / max(1, sizes.sum()))[:, None]  # (p, k)
    queue = [(int(count), label) for label, count in enumerate(num_left) if count]
    heapq.heapify(queue)
    while queue:
        count, label = heapq.heappop(queue)
        if count != num_left[label]:
            if num_left[label]:
                heapq.heappush(queue, (int(num_left[label]), label))
            continue
        waiting = rng.permutation(np.flatnonzero((counts[:, label] > 0) & (part_of < 0)))
        for group in waiting[np.argsort(-group_sizes[waiting], kind="stable")]:
            luck = rng.random(len(sizes))
            fits = room >= group_sizes[group]
            # Where it fits nowhere, it goes where it overflows least.
            first = room if not fits.any() else wanted[:, label]
            part = np.lexsort((luck, room, first, fits))[-1]
            part_of[group] = part
            room[part] -= group_sizes[group]
            wanted[part] -= counts[group]
            num_left -= counts[group]
    assert (part_of >= 0).all()
    _fill_parts(part_of, group_sizes, len(sizes))
    return part_of


def _fill_parts(
    part_of: Int64[np.ndarray, " g"], group_sizes: Int64[np.ndarray, " g"], num_parts: int
) -> None:
    """Give every part a group, in place, where there are enough: the smallest of the richest."""
    num_groups = np.bincount(part_of, minlength=num_parts)
    while len(part_of) >= num_parts and num_groups.min() == 0:
        members = np.flatnonzero(part_of == num_groups.argmax())
        part_of[members[group_sizes[members].argmin()]] = num_groups.argmin()
        num_groups = np.bincount(part_of, minlength=num_parts)


def _balance(
    part_of: Int64[np.ndarray, " g"],
    counts: Int64[np.ndarray, "g k"],
    group_sizes: Int64[np.ndarray, " g"],
    sizes: Int64[np.ndarray, " p"],
) -> float:
    """Move groups to other parts, in place, while that brings the parts nearer to what is wanted.

    The cost is the sum of squares of what parts have too much or too little of each class and of
    pictures, as fractions of all there are; the pictures count as much as all classes together.
    A part keeps at least one group. Returns the cost that is left.
    """
    totals = np.maximum(counts.sum(0), 1)
    columns = np.column_stack([counts / totals, group_sizes / max(1, group_sizes.sum())])
    weights = np.append(np.full(counts.shape[1], 1 / counts.shape[1]), 1.0)
    num_parts = len(sizes)
    wanted = columns.sum(0) * (sizes / max(1, sizes.sum()))[:, None]  # (p, k + 1)
    surplus = -wanted
    np.add.at(surplus, part_of, columns)
    own = (columns**2) @ weights
    for _ in range(int(_MOST_PRODUCTS / (columns.size * num_parts + 1000 * num_parts))):
        # Moving c from part a to b changes the squares by 2 c (surplus_b - surplus_a) + 2 c^2.
        pull = (columns * weights) @ surplus.T  # (g, p)
        change = pull - pull[np.arange(len(part_of)), part_of][:, None] + own[:, None]
        change[np.arange(len(part_of)), part_of] = 0.0
        change[np.bincount(part_of, minlength=num_parts)[part_of] == 1] = 0.0
        group, part = np.unravel_index(int(change.argmin()), change.shape)
        if change[group, part] > -1e-12:
            break
        surplus[part_of[group]] -= columns[group]
        surplus[part] += columns[group]
        part_of[group] = part
    return float(((surplus**2) @ weights).sum())
