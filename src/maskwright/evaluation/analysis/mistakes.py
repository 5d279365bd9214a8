"""Where to look: the worst pictures, the most confident mistakes, the objects that were missed.

Shapes: n found objects, m pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int64

from maskwright.evaluation.analysis.listed import ListedObject, found_entry, true_entry
from maskwright.evaluation.analysis.matching import best_true, iou_of, owners, strongest
from maskwright.evaluation.analysis.pairs import FoundAndTrue
from maskwright.evaluation.analysis.tide import ERROR_KINDS, TideErrors

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PictureScore",
    "confident_mistakes",
    "missed_objects",
    "picture_scores",
    "pictures_dataframe",
]

_SENTENCES = {
    "Cls": "found as {found}, annotated as {true}",
    "Loc": "right class, badly placed (IoU {iou:.2f})",
    "Both": "neither class nor place are right",
    "Dupe": "found a second time",
    "Bkg": "nothing is annotated there",
}


@dataclass(frozen=True, kw_only=True)
class PictureScore:
    """How one picture went.

    Args:
        picture: Index in the truth.
        image_id: The truth's id.
        file_name: "" where the truth has none.
        num_true: True objects, crowds left out.
        num_found: Found objects that count.
        num_right: Of these, right ones.
        f1: 2 right / (true + found); -1 where there is neither.
        mean_iou: Of right objects with their true ones; -1 without.
    """

    picture: int
    image_id: int | str
    file_name: str
    num_true: int
    num_found: int
    num_right: int
    f1: float
    mean_iou: float

    @property
    def num_wrong(self) -> int:
        """Found objects that are wrong."""
        return self.num_found - self.num_right

    @property
    def num_missed(self) -> int:
        """True objects that were not found."""
        return self.num_true - self.num_right

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        return asdict(self) | {"num_wrong": self.num_wrong, "num_missed": self.num_missed}


def picture_scores(
    objects: FoundAndTrue, partner: Int64[np.ndarray, " n"], counted: Bool[np.ndarray, " n"]
) -> list[PictureScore]:
    """Return every picture, the worst first: lowest F1, then most mistakes, then lowest IoU.

    Pictures with neither true nor found objects come last: nothing went wrong there.

    Args:
        objects: Found and true.
        partner: (n,) true object of each found one, -1 without.
        counted: (n,) which found objects count.
    """
    m = len(objects.truth.image_ids)
    right = partner >= 0
    num_true = np.bincount(objects.truth.objects.images[objects.is_single], minlength=m)
    num_found = np.bincount(objects.found.images[counted], minlength=m)
    num_right = np.bincount(objects.found.images[right], minlength=m)
    pairs = objects.pairs
    own = pairs[partner[pairs.found] == pairs.true]
    iou = np.bincount(objects.found.images[own.found], own.iou, minlength=m)
    every = num_true + num_found
    f1 = np.where(every > 0, 2 * num_right / np.maximum(every, 1), -1.0)
    mean_iou = np.where(num_right > 0, iou / np.maximum(num_right, 1), -1.0)
    order = np.lexsort((mean_iou, -(every - 2 * num_right), np.where(every > 0, f1, 2.0)))
    return [
        PictureScore(
            picture=picture,
            image_id=objects.truth.image_ids[picture],
            file_name=objects.truth.file_names[picture],
            num_true=int(num_true[picture]),
            num_found=int(num_found[picture]),
            num_right=int(num_right[picture]),
            f1=float(f1[picture]),
            mean_iou=float(mean_iou[picture]),
        )
        for picture in order.tolist()
    ]


def confident_mistakes(
    objects: FoundAndTrue, errors: TideErrors, *, limit: int = 100
) -> list[ListedObject]:
    """Return the wrong found objects of the highest scores, each with its kind of mistake.

    Args:
        objects: Found and true.
        errors: What `tide_errors` said of them.
        limit: How many at most.
    """
    wrong = np.flatnonzero((errors.kinds >= 0) & ~errors.is_ignored)
    chosen = wrong[np.argsort(-objects.found.scores[wrong], kind="stable")][:limit]
    near, _ = best_true(objects.pairs, len(objects.found))
    # What a mistake aims at, else what is nearest; an object on the background is about nothing.
    about = np.where(errors.aims >= 0, errors.aims, near)
    about = np.where(errors.kinds == ERROR_KINDS.index("Bkg"), -1, about)
    iou = iou_of(objects.pairs, np.arange(len(about)), about)
    names = objects.truth.class_names
    entries = []
    for row in chosen.tolist():
        kind = ERROR_KINDS[errors.kinds[row]]
        true_row, ratio = int(about[row]) if about[row] >= 0 else None, float(iou[row])
        true_name = "" if true_row is None else names[objects.truth.objects.labels[true_row]]
        entries.append(
            found_entry(
                objects,
                row,
                reason=kind,
                explanation=_SENTENCES[kind].format(
                    found=names[objects.found.labels[row]], true=true_name, iou=ratio
                ),
                rank_value=float(objects.found.scores[row]),
                true_row=true_row,
                iou=ratio,
            )
        )
    return entries


def missed_objects(
    objects: FoundAndTrue,
    partner: Int64[np.ndarray, " n"],
    *,
    score_threshold: float,
    limit: int | None = 100,
) -> list[ListedObject]:
    """Return the true objects that were not found, the largest first, with what was found instead.

    Reasons: `unseen`, nothing found meets it; `unsure`, found rightly, but below the score
    threshold; `class`, found as another class; `misplaced`, found, but badly placed.

    Args:
        objects: Found and true.
        partner: (n,) true object of each found one at any score, -1 without.
        score_threshold: Found objects below it do not count as found.
        limit: How many at most; None for all.
    """
    sure = objects.found.scores >= score_threshold
    missed = objects.is_single & (owners(np.where(sure, partner, -1), len(objects.is_single)) < 0)
    rows = np.flatnonzero(missed)
    rows = rows[np.argsort(-objects.true_areas[rows], kind="stable")][:limit]
    whose = owners(partner, len(missed))
    nearest, _ = strongest(objects.pairs.true, objects.pairs.iou, len(missed))
    near_found = np.where(nearest >= 0, np.append(objects.pairs.found, -1)[nearest], -1)
    about = np.where(whose >= 0, whose, near_found)
    iou = iou_of(objects.pairs, about, np.arange(len(about)))
    entries = []
    for row in rows.tolist():
        found_row = int(about[row])
        reason, explanation = _why_missed(objects, row, found_row, whose[row] >= 0, float(iou[row]))
        entries.append(
            true_entry(
                objects,
                row,
                reason=reason,
                explanation=explanation,
                rank_value=float(objects.true_areas[row]),
                found_row=found_row if found_row >= 0 else None,
                iou=float(iou[row]),
            )
        )
    return entries


def _why_missed(
    objects: FoundAndTrue, row: int, found_row: int, is_matched: bool, iou: float
) -> tuple[str, str]:
    if found_row < 0:
        return "unseen", "nothing was found there"
    score = objects.found.scores[found_row]
    if is_matched:
        return "unsure", f"found, with a score of only {score:.2f}"
    label, found_label = objects.truth.objects.labels[row], objects.found.labels[found_row]
    if label != found_label:
        name = objects.truth.class_names[found_label]
        return "class", f"the nearest found object is {name} (IoU {iou:.2f}, score {score:.2f})"
    return "misplaced", f"the nearest found object has IoU {iou:.2f} (score {score:.2f})"


def pictures_dataframe(scores: Sequence[PictureScore]) -> pd.DataFrame:
    """Return a row per picture, in order."""
    import pandas as pd

    return pd.DataFrame([one.as_dict() for one in scores])
