"""The pictures that decide between two sets of predictions: those that change the difference most.

Shapes: m pictures; of the doubled pictures 2i is A's and 2i + 1 is B's (`paired_pictures.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from maskwright.evaluation.counting import Kind
from maskwright.evaluation.inputs import Inputs
from maskwright.evaluation.matching import Outcomes, match_objects
from maskwright.evaluation.paired_pictures import differences, one_side
from maskwright.evaluation.resampling import Key, Statistic

__all__ = ["DecidingPicture", "deciding_pictures"]

_MOST_LEFT_OUT = 1000
"""Pictures that are left out in turn: those in which A and B differ most."""


@dataclass(frozen=True, kw_only=True)
class DecidingPicture:
    """A picture and what it does for the difference.

    Args:
        file_name: Its name, or its id.
        influence: How much of B - A is lost when it is left out; above 0 it speaks for B.
        a_right: A's detections that match at the lowest IoU.
        a_wrong: A's that do not.
        b_right: B's that match.
        b_wrong: B's that do not.
        num_true: True objects.
    """

    file_name: str
    influence: float
    a_right: int
    a_wrong: int
    b_right: int
    b_wrong: int
    num_true: int


def deciding_pictures(
    inputs: Inputs,
    statistic: Statistic,
    primary: Key,
    *,
    kind: Kind,
    limit: int,
    most: int,
) -> tuple[DecidingPicture, ...]:
    """Leave pictures out in turn and return those that change the difference most.

    Args:
        inputs: Doubled.
        statistic: Over doubled pictures.
        primary: Which of its numbers.
        kind: By what detections are called right or wrong.
        limit: Detections per picture and class that count.
        most: How many to return.
    """
    m = inputs.num_images // 2
    tallies = _tallies(
        match_objects(
            inputs.true, inputs.found, inputs.closeness(kind), limit=limit, thresholds=[0.5]
        )
    )
    change = np.abs(tallies[:, 1] - tallies[:, 0]).sum(axis=1)
    # Where both are right and wrong equally often they may still differ: a last resort, by order.
    candidates = np.argsort(-change, kind="stable")[:_MOST_LEFT_OUT]
    without = np.ones((len(candidates), m), np.int64)
    without[np.arange(len(candidates)), candidates] = 0
    once = np.ones((1, m), np.int64)
    whole = differences(statistic, one_side(once, 0), one_side(once, 1))[primary][0]
    left = differences(statistic, one_side(without, 0), one_side(without, 1))[primary]
    influence = np.where(np.isfinite(left), whole - left, 0.0)
    best = np.argsort(-np.abs(influence), kind="stable")[:most]
    return tuple(
        _deciding_picture(inputs, int(candidates[i]), float(influence[i]), tallies)
        for i in best.tolist()
        if influence[i] != 0
    )


def _deciding_picture(
    inputs: Inputs, picture: int, influence: float, tallies: Int64[np.ndarray, "m 2 2"]
) -> DecidingPicture:
    true = inputs.true.objects
    (a_right, a_wrong), (b_right, b_wrong) = tallies[picture].tolist()
    return DecidingPicture(
        file_name=inputs.true.file_names[2 * picture] or f"picture number {picture + 1}",
        influence=influence,
        a_right=a_right,
        a_wrong=a_wrong,
        b_right=b_right,
        b_wrong=b_wrong,
        num_true=int(((true.images == 2 * picture) & ~true.is_crowd).sum()),
    )


def _tallies(outcomes: Outcomes) -> Int64[np.ndarray, "m 2 2"]:
    """Right and wrong detections of A and B in every picture at the one threshold."""
    tallies = np.zeros((outcomes.num_images, 2), np.int64)
    for column, value in enumerate((1, 2)):
        rows = np.flatnonzero(outcomes.outcome[0, 0] == value)
        tallies[:, column] = np.bincount(outcomes.pictures[rows], minlength=len(tallies))
    return tallies.reshape(-1, 2, 2)
