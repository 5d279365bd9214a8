"""The pictures of a run, opened and divided: always alike for the same source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from maskwright.data import Dataset, fold_dataset, group_pictures, open_dataset, split_dataset
from maskwright.errors import ConfigError, DataError
from maskwright.recipes.moving_parts import Parts

__all__ = ["open_parts"]

_FEWEST = 3

_FOLD_SHARES = (0.85, 0.15)
"""Training and validation pictures of what a fold leaves: 15 % choose, as in a single run."""


def open_parts(source: Mapping[str, Any]) -> Parts:
    """Open the data of a run and divide it, always alike for the same source.

    Args:
        source: "data", "validation", "images", "seed" and, if there are any, "groups", each as
            `train` takes it; "fold", see `RunRequest.source`; "classes", where a trained model
            decides them, its names and ids by label; "limit", see `RunRequest`.

    Raises:
        DataError: The data cannot be read, or has too few pictures or groups to split; the
            validation pictures have objects of classes that the others do not list.
        ConfigError: A rule for groups that is not one, or a limit below 1.
    """
    limit = source.get("limit")
    if limit is None:
        return _open_all(source)
    if limit < 1:
        raise ConfigError(f"limit must be 1 picture or more, got {limit}")
    parts = _open_all(source)
    return Parts(
        train=_drawn(parts.train, limit, source["seed"]),
        validation=_drawn(parts.validation, limit, source["seed"]),
        test=None if parts.test is None else _drawn(parts.test, limit, source["seed"]),
    )


def _drawn(dataset: Dataset, limit: int, seed: int) -> Dataset:
    """At most so many pictures, in the order of the dataset."""
    if limit >= len(dataset):
        return dataset
    return dataset.subset(np.sort(np.random.default_rng(seed).permutation(len(dataset))[:limit]))


def _open_all(source: Mapping[str, Any]) -> Parts:
    follow_links = source.get("follow_links", False)
    data = open_dataset(source["data"], images=source["images"], follow_links=follow_links)
    if (classes := source.get("classes")) is not None:
        data = data.with_classes(classes["names"], classes["ids"])
    if source["validation"] is not None:
        # By name: the ids and the order of two files may differ.
        validation = open_dataset(source["validation"], follow_links=follow_links).with_classes(
            data.class_names, data.category_ids
        )
        return Parts(train=data, validation=validation, test=None)
    if len(data) < _FEWEST:
        raise DataError(
            f"{source['data']} has {len(data)} pictures, and {_FEWEST} or more are needed to make "
            "training, validation and test pictures of them: annotate more, or give validation"
        )
    rules = source.get("groups", ())  # runs from before there were groups do not state them
    groups = group_pictures(data, rules, source=source["data"]) if rules else None
    if source.get("fold") is not None:
        return _fold(data, source["fold"], source["seed"], groups)
    train_part, held_out, test = split_dataset(data, seed=source["seed"], groups=groups)
    return Parts(train=train_part, validation=held_out, test=test)


def _fold(
    data: Dataset, fold: Sequence[int], seed: int, groups: Int64[np.ndarray, " m"] | None
) -> Parts:
    """Hold a fold out as the test pictures, and divide the others for training and validation.

    The best model of a run is chosen on its validation pictures: were they the fold itself, every
    fold's score would be too good.
    """
    number, count = fold
    rest, test = fold_dataset(data, count, seed=seed, groups=groups)[number - 1]
    if len(rest) < 2:
        raise DataError(
            f"fold {number} of {count} leaves {len(rest)} pictures, and 2 or more are needed to "
            "make training and validation pictures of them: annotate more"
        )
    if groups is not None:
        groups = groups[np.isin(data.image_ids, rest.image_ids)]
    train_part, held_out = split_dataset(rest, _FOLD_SHARES, seed=seed, groups=groups)
    return Parts(train=train_part, validation=held_out, test=test)
