"""Choosing a few pictures or objects of a dataset to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Int64

from maskwright.data.dataset import Dataset
from maskwright.errors import ConfigError, DataError, nearest_name
from maskwright.structures import Sample

__all__ = ["SampleOrder", "choose_objects", "choose_pictures", "object_samples", "picture_samples"]

SampleOrder: TypeAlias = Literal["random", "objects", "smallest"]

_MARGIN = 0.3  # of an object's larger side, on every side of its crop
_LEAST_MARGIN = 8  # pixels


def choose_pictures(
    dataset: Dataset,
    count: int,
    *,
    classes: Sequence[str] = (),
    sort: SampleOrder = "random",
    seed: int = 0,
) -> Int64[np.ndarray, " c"]:
    """Return the positions of some pictures.

    Args:
        dataset: To choose from.
        count: How many, at most.
        classes: Only pictures with an object of one of these; () takes all.
        sort: "random", "objects" (those with the most objects first) or "smallest" (those with
            the smallest object first, by area; those without objects last). Only objects of
            `classes` count.
        seed: Of the random choice, and of the order of equals.

    Raises:
        ConfigError: A class that the data does not list, a count below 1, a negative seed.
        DataError: No picture has such an object.
    """
    items = _items(dataset, count, classes)
    order = _generator(seed).permutation(len(dataset))
    num_objects = np.bincount(dataset.object_image[items], minlength=len(dataset))
    if sort == "objects":
        order = order[np.argsort(-num_objects[order], kind="stable")]
    elif sort == "smallest":
        smallest = np.full(len(dataset), np.inf)
        np.minimum.at(smallest, dataset.object_image[items], dataset.areas[items])
        order = order[np.argsort(smallest[order], kind="stable")]
    if classes:
        order = order[num_objects[order] > 0]
    if not len(order):
        raise DataError("there are no pictures to choose from")
    return order[:count]


def choose_objects(
    dataset: Dataset,
    count: int,
    *,
    classes: Sequence[str] = (),
    sort: SampleOrder = "random",
    seed: int = 0,
) -> Int64[np.ndarray, " c"]:
    """Return the positions, in the columns over objects, of some objects with a mask.

    Args:
        dataset: To choose from.
        count: How many, at most.
        classes: Only objects of these; () takes all.
        sort: "random", "objects" (those of the pictures with the most objects first) or
            "smallest" (by area).
        seed: Of the random choice, and of the order of equals.

    Raises:
        ConfigError: A class that the data does not list, a count below 1, a negative seed.
        DataError: There is no such object.
    """
    items = _generator(seed).permutation(_items(dataset, count, classes))
    if sort == "objects":
        image = dataset.object_image[items]
        items = items[np.argsort(-np.bincount(image)[image], kind="stable")]
    elif sort == "smallest":
        items = items[np.argsort(dataset.areas[items], kind="stable")]
    if not len(items):
        raise DataError("there are no objects to choose from")
    return items[:count]


def picture_samples(
    dataset: Dataset, positions: Sequence[int] | np.ndarray, *, classes: Sequence[str] = ()
) -> Iterator[Sample]:
    """Read pictures with their objects, or with those of some classes only.

    Raises:
        ImageError: A picture cannot be read.
    """
    for i in np.asarray(positions).tolist():
        sample = dataset.sample(i)
        if classes:
            is_wanted = [name in classes for name in sample.targets.names]
            targets = sample.targets[np.flatnonzero(is_wanted)]
            sample = Sample(
                image=sample.image, targets=targets, image_id=sample.image_id, name=sample.name
            )
        yield sample


def object_samples(dataset: Dataset, items: Sequence[int] | np.ndarray) -> Iterator[Sample]:
    """Read objects, each as the part of its picture around it, with no object but itself.

    Raises:
        ImageError: A picture cannot be read.
    """
    object_image, is_empty = dataset.object_image, dataset.is_empty
    first_of = np.searchsorted(object_image, np.arange(len(dataset)))
    for item in np.asarray(items).tolist():
        position = int(object_image[item])
        whole = dataset.sample(position)
        # Objects without a pixel are not among the targets.
        rank = int((~is_empty[first_of[position] : item]).sum())
        yield _around(whole, rank)


def _around(whole: Sample, k: int) -> Sample:
    """Return the part of a picture around its object `k`."""
    chosen = whole.targets[[k]]
    assert chosen.masks is not None
    left, top, right, bottom = chosen.masks.boxes[0].tolist()
    margin = max(_LEAST_MARGIN, _MARGIN * max(right - left, bottom - top))
    height, width = chosen.image_size
    x1, y1 = max(0, int(left - margin)), max(0, int(top - margin))
    x2, y2 = min(width, int(right + margin)), min(height, int(bottom + margin))
    masks = chosen.masks.crop((x1, y1, x2, y2))
    targets = type(chosen)(
        image_size=(y2 - y1, x2 - x1),
        boxes=chosen.boxes - chosen.boxes.new_tensor([x1, y1, x1, y1]),
        labels=chosen.labels,
        masks=masks,
        is_crowd=chosen.is_crowd,
        class_names=chosen.class_names,
        category_ids=chosen.category_ids,
    )
    return Sample(
        image=np.ascontiguousarray(whole.image[y1:y2, x1:x2]),
        targets=targets,
        image_id=whole.image_id,
        name=whole.name,
    )


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise ConfigError(f"seed must be 0 or more, got {seed}")
    return np.random.default_rng(seed)


def _items(dataset: Dataset, count: int, classes: Sequence[str]) -> Int64[np.ndarray, " n"]:
    """Return the positions of the objects that count: with a mask, no crowds, of the classes."""
    if count < 1:
        raise ConfigError(f"count must be 1 or more, got {count}")
    for name in classes:
        if name not in dataset.class_names:
            raise ConfigError(
                f"the data has no class {name!r}; it has: {', '.join(dataset.class_names)}."
                f"{nearest_name(name, dataset.class_names)}"
            )
    is_wanted = ~dataset.is_empty & ~dataset.is_crowd
    if classes:
        labels = [dataset.class_names.index(name) for name in classes]
        is_wanted &= np.isin(dataset.labels, labels)
    return np.flatnonzero(is_wanted)
