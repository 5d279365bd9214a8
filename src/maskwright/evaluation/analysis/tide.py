"""TIDE: what kinds of mistakes there are, and what each kind costs in AP.

Bolya, Foley, Hays, Hoffman: TIDE, A General Toolbox for Identifying Object Detection Errors, 2020
(arXiv 2008.08115); the numbers equal those of its package, tidecv 1.0.1. With t the IoU threshold
and b the background's, a found object that matches nothing is, by the first line that fits:

    Loc   of the right class, with an IoU from b to t: badly placed
    Cls   of the wrong class, with an IoU of t or more: well placed
    Dupe  of the right class and well placed, on an object that a surer one has taken
    Bkg   with no true object by IoU above b
    Both  what is left: of the wrong class and badly placed

and a true object that matches nothing, and at which no Loc or Cls aims, is

    Miss

The cost of a kind is the AP that is won when it alone is mended: of the Loc and Cls errors at a
free object the surest becomes right and the others go; Dupe, Bkg and Both go; missed objects are
taken out of the truth. Costs do not add up to what is missing. A negative cost, an accident of
ranking, is shown as 0. Two more say what all mistakes of a side cost: FP, when every wrong object
is ranked below every right one; FN, when every object that nobody matched is taken out.

The AP is tidecv's, which is not quite COCO's AP50: the limit on found objects holds for a picture
and not for a class in it; a class that was found but is nowhere in the truth counts with AP 0;
objects of equal score rank as tidecv ranks them, right ones last once something is mended. A found
object in a crowd of its class is not counted as wrong, but is named and may be mended like others.

hotcoco has a TIDE as well. Measured in version 1.3.0, it is another: its AP leaves out classes
without truth (4 to 5 points more than tidecv on the golden results of the COCO API), crowds and
ties are treated otherwise, and its costs differ by up to 11 points on the made-up pictures of our
tests.

Shapes: n found objects, g true objects, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Int64

from maskwright.errors import EvaluationError
from maskwright.evaluation.analysis.matching import (
    best_true,
    lies_in_crowd,
    match_in_class,
    owners,
)
from maskwright.evaluation.analysis.pairs import FoundAndTrue
from maskwright.evaluation.analysis.tide_costs import BKG, BOTH, CLS, DUPE, LOC, Mended

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ERROR_KINDS", "ErrorKind", "TideErrors", "TideNumbers", "tide_errors"]

ErrorKind: TypeAlias = Literal["Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"]

ERROR_KINDS: tuple[ErrorKind, ...] = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
"""In the paper's order."""


@dataclass(frozen=True, kw_only=True)
class TideNumbers:
    """Of all classes together, or of one.

    Args:
        ap: As things are, 0 to 1; -1 where there is nothing to score.
        costs: AP won by mending each kind alone; "FP" and "FN" besides the six.
        counts: Mistakes of each kind.
    """

    ap: float
    costs: Mapping[str, float]
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class TideErrors:
    """The mistakes, kind by kind, and which object made which.

    Args:
        kind: "segm" or "bbox".
        iou_threshold: From which IoU a match counts.
        background_iou: Up to which IoU nothing is there.
        total: Over all classes.
        per_class: Class name -> numbers; a Cls error counts for the class that was found, and its
            cost where the mended object goes. Classes with nothing to score are left out.
        kinds: (n,) index into `ERROR_KINDS` of each found object's mistake, -1 without.
        aims: (n,) true object that a Loc or Cls error aims at or a Dupe repeats, -1 otherwise.
        partner: (n,) true object that each found one matches, -1 without.
        is_missed: (g,) whether a true object counts as Miss.
        is_ignored: (n,) whether a found object counts neither way, for it lies in a crowd.
    """

    kind: str
    iou_threshold: float
    background_iou: float
    total: TideNumbers
    per_class: Mapping[str, TideNumbers]
    kinds: Int64[np.ndarray, " n"]
    aims: Int64[np.ndarray, " n"]
    partner: Int64[np.ndarray, " n"]
    is_missed: Bool[np.ndarray, " g"]
    is_ignored: Bool[np.ndarray, " n"]

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values, ready for json."""
        return {
            "kind": self.kind,
            "iou_threshold": self.iou_threshold,
            "background_iou": self.background_iou,
            **asdict(self.total),
            "per_class": {name: asdict(one) for name, one in self.per_class.items()},
        }

    def to_dataframe(self) -> pd.DataFrame:
        """Return a row per class, "(all)" first: AP, and per kind `cost_*` and `count_*`."""
        import pandas as pd

        rows = {"(all)": self.total} | dict(self.per_class)
        return pd.DataFrame(
            [
                {"class": name, "ap": one.ap}
                | {f"cost_{kind}": cost for kind, cost in one.costs.items()}
                | {f"count_{kind}": count for kind, count in one.counts.items()}
                for name, one in rows.items()
            ]
        )


def tide_errors(
    objects: FoundAndTrue, *, iou_threshold: float = 0.5, background_iou: float = 0.1
) -> TideErrors:
    """Name every mistake and say what each kind costs.

    Args:
        objects: Found and true.
        iou_threshold: From which IoU a match counts, up to 1.
        background_iou: Up to which IoU a found object is on nothing; above 0 and below the other.

    Raises:
        EvaluationError: Thresholds out of range.
    """
    if not 0 < background_iou < iou_threshold <= 1:
        raise EvaluationError(
            "background_iou must be above 0 and below iou_threshold, and that at most 1; got "
            f"{background_iou} and {iou_threshold}"
        )
    partner = match_in_class(objects, iou_threshold)
    is_free = objects.is_single & (owners(partner, len(objects.truth.objects)) < 0)
    kinds, aims = _name(objects, partner, is_free, iou_threshold, background_iou)
    aimed = np.zeros(len(is_free), bool)
    aimed[aims[np.isin(kinds, (LOC, CLS))]] = True
    is_missed = is_free & ~aimed
    is_ignored = lies_in_crowd(objects, partner, iou_threshold)
    mended = Mended(objects, partner, kinds, aims, is_free, is_missed, is_ignored)
    total, per_class = _numbers(mended)
    return TideErrors(
        kind=objects.kind,
        iou_threshold=iou_threshold,
        background_iou=background_iou,
        total=total,
        per_class=per_class,
        kinds=kinds,
        aims=aims,
        partner=partner,
        is_missed=is_missed,
        is_ignored=is_ignored,
    )


def _name(
    objects: FoundAndTrue,
    partner: np.ndarray,
    is_free: np.ndarray,
    iou_threshold: float,
    background_iou: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Kind of each found object's mistake and the true object it is about, -1 without."""
    n, pairs = len(objects.found), objects.pairs
    same = objects.same_class(pairs)
    own, own_iou = best_true(pairs[same], n)
    other, other_iou = best_true(pairs[~same], n)
    taken, taken_iou = best_true(pairs[same & ~is_free[pairs.true]], n)
    _, any_iou = best_true(pairs, n)
    fits = [
        (own_iou >= background_iou) & (own_iou <= iou_threshold),
        other_iou >= iou_threshold,
        taken_iou >= iou_threshold,
        any_iou <= background_iou,
    ]
    kinds = np.select(fits, [LOC, CLS, DUPE, BKG], BOTH)
    aims = np.select(fits[:3], [own, other, taken], -1)
    wrong = partner < 0
    return np.where(wrong, kinds, -1), np.where(wrong, aims, -1)


def _numbers(mended: Mended) -> tuple[TideNumbers, dict[str, TideNumbers]]:
    as_is = mended.as_is()
    aps: dict[str, np.ndarray] = {
        name: mended.without(kind) for kind, name in enumerate(ERROR_KINDS[:5])
    }
    aps["Miss"] = mended.without_unmatched(mended.is_missed)
    aps["FP"] = mended.without_false()
    aps["FN"] = mended.without_unmatched(mended.is_free)
    k = len(mended.class_names)
    counts = np.zeros((6, k), np.int64)
    wrong = mended.kinds >= 0
    np.add.at(counts, (mended.kinds[wrong], mended.labels[wrong]), 1)
    counts[5] = mended.per_class(mended.is_missed)
    total = TideNumbers(
        ap=_mean(as_is),
        costs={name: _cost(name, _mean(ap), _mean(as_is)) for name, ap in aps.items()},
        counts=dict(zip(ERROR_KINDS, counts.sum(axis=1).tolist(), strict=True)),
    )
    per_class = {
        mended.class_names[label]: TideNumbers(
            ap=float(as_is[label]),
            costs={name: _cost(name, ap[label], as_is[label]) for name, ap in aps.items()},
            counts=dict(zip(ERROR_KINDS, counts[:, label].tolist(), strict=True)),
        )
        for label in np.flatnonzero(np.isfinite(as_is)).tolist()
    }
    return total, per_class


def _mean(ap: np.ndarray) -> float:
    known = ap[np.isfinite(ap)]
    return float(known.sum() / len(known)) if len(known) else -1.0


def _cost(name: str, mended: float, as_is: float) -> float:
    """AP won; only the six kinds are cut at 0, as in tidecv."""
    if as_is < 0 or not np.isfinite(mended) or mended < 0:
        return 0.0
    won = float(mended - as_is)
    return won if name in ("FP", "FN") else max(won, 0.0)
