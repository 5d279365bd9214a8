"""Is B better than A? Two sets of predictions for the same pictures, held against each other.

**Interval.** Pictures are drawn with replacement, the same for both, and the difference B - A is
scored each time (Efron and Tibshirani 1993, chapter 13). How hard the drawn pictures are cancels,
so it is narrower than two separate intervals suggest.

**p-value.** A sign-flip permutation test over pictures: if A and B were equally good, whose
predictions are whose in a picture would be arbitrary. So for every picture (or group of pictures)
a coin decides whether A and B swap their predictions there, the two mixtures are scored, and p is
the share of mixtures that differ at least as much as A and B do, both ways, the real one counted
too (Phipson and Smyth 2010, so p is never 0). Chosen over a p-value read off the bootstrap because
it is exact for any number that is scored, AP included, which is no mean over pictures; the
bootstrap's is right only for many pictures.

Nothing is matched again: every picture is there twice, once with A's predictions and once with
B's, and a replicate is a row of picture weights.

**Deciding pictures.** How much the difference changes when a picture is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from maskwright.evaluation.counting import Kind
from maskwright.evaluation.deciding import DecidingPicture, deciding_pictures
from maskwright.evaluation.families import (
    Family,
    ScoringOptions,
    check_families,
    family_statistic,
    lvis_kinds,
    needs_masks,
)
from maskwright.evaluation.limits import detection_limit
from maskwright.evaluation.paired_pictures import PairedNumber, doubled, paired_numbers
from maskwright.evaluation.prediction_sources import (
    PredictionFormat,
    PredictionSource,
    load_results,
)
from maskwright.evaluation.predictions import read_predictions
from maskwright.evaluation.resampling import Key, key_text
from maskwright.evaluation.scoring import kinds_to_score
from maskwright.evaluation.truth import TruthSource, load_truth, read_truth
from maskwright.evaluation.truth_groups import with_groups

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["DecidingPicture", "PairedComparison", "PairedNumber", "compare_predictions"]

_SIGNIFICANT = 0.05
_LOWER_IS_BETTER = "MAE"
"""The one number that may decide of which less is better, and which counts objects."""


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """Whether B is better than A.

    Args:
        names: Of A and B.
        primary: The number that the verdict is about.
        numbers: Every number of the families asked for.
        deciding: The pictures that decide the primary number, the most influential first.
        num_images: Pictures of the truth.
        num_replicates: Of bootstrap and permutation each.
        notes: What a reader must know, in sentences.
    """

    names: tuple[str, str]
    primary: str
    numbers: dict[str, PairedNumber]
    deciding: tuple[DecidingPicture, ...]
    num_images: int
    num_replicates: int
    notes: tuple[str, ...] = ()

    @property
    def is_better(self) -> bool | None:
        """True where B is better, False where A is, None where the pictures do not tell."""
        one = self.numbers[self.primary]
        if one.p_value is None or one.difference is None or one.p_value >= _SIGNIFICANT:
            return None
        return (one.difference > 0) != (self.primary == _LOWER_IS_BETTER)

    @property
    def verdict(self) -> str:
        """One sentence for people."""
        a, b = self.names
        one = self.numbers[self.primary]
        if one.difference is None or one.p_value is None:
            return f"{self.primary} is undefined, so nothing can be said of {b} against {a}."
        factor, unit = (1, "objects") if self.primary == _LOWER_IS_BETTER else (100, "points")
        how = f"{self.primary} {factor * one.difference:+.1f} {unit}"
        if one.interval is not None:
            low, high = one.interval
            how += f", 95 % interval {factor * low:+.1f} to {factor * high:+.1f}"
        how += f", p = {one.p_value:.3f}"
        if self.is_better is None:
            return f"These {self.num_images} pictures do not tell {b} from {a}: {how}."
        return f"{b} is {'better' if self.is_better else 'worse'} than {a}: {how}."

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        return {
            "names": list(self.names),
            "primary": self.primary,
            "verdict": self.verdict,
            "is_better": self.is_better,
            "numbers": {name: asdict(one) for name, one in self.numbers.items()},
            "deciding": [asdict(one) for one in self.deciding],
            "images": self.num_images,
            "replicates": self.num_replicates,
            "notes": list(self.notes),
        }

    def to_table(self) -> Group:
        """Return verdict, numbers and deciding pictures as rich tables, ready to be printed."""
        from maskwright.evaluation.paired_tables import paired_tables

        return paired_tables(self)


def compare_predictions(
    a: PredictionSource,
    b: PredictionSource,
    truth: TruthSource,
    families: Sequence[Family] = ("coco",),
    *,
    names: tuple[str, str] = ("A", "B"),
    kinds: Sequence[Kind] | None = None,
    options: ScoringOptions | None = None,
    num_deciding: int = 10,
    predictions_format: PredictionFormat | None = None,
) -> PairedComparison:
    """Say whether B is better than A, from predictions of both for the same pictures.

    Args:
        a: Predictions of A, as for `evaluate`.
        b: Predictions of B.
        truth: As for `evaluate`.
        families: Of metrics; the first one's main number decides.
        names: What A and B are called.
        kinds: As for `evaluate`; by default masks where both have them, and boxes.
        options: Thresholds, limits, and how pictures are drawn.
        num_deciding: How many deciding pictures to name.
        predictions_format: Of both, as for `evaluate`.

    Raises:
        DataError: The truth cannot be read or contradicts itself.
        EvaluationError: A prediction that does not fit the truth, or an option out of range.
    """
    check_families(families)
    options = options or ScoringOptions()
    coco = load_truth(truth)
    options = replace(options, resampling=with_groups(options.resampling, coco))
    results = [load_results(source, coco, format=predictions_format) for source in (a, b)]
    chosen = [kinds_to_score(kinds, one, coco)[0] for one in results]
    both = [kind for kind in chosen[0] if kind in chosen[1]]
    if kinds is None:
        both = [kind for kind in both if kind != "boundary"]
    masks = needs_masks(families, both)
    true = read_truth(coco, need_masks=masks)
    sides = [read_predictions(one, true, need_masks=masks) for one in results]
    inputs = doubled(true, sides[0], sides[1])
    statistics = [(family, family_statistic(family, inputs, both, options)) for family in families]
    decisive = _decisive(families[0], both)
    primary = _primary(families[0], decisive)
    numbers: dict[str, PairedNumber] = {}
    for family, statistic in statistics:
        prefix = "" if family == families[0] else f"{family} "
        own = paired_numbers(statistic, len(true.image_ids), options.resampling)
        # The number that decides stands first.
        order = sorted(own, key=lambda key: (family, key) != (families[0], primary))
        numbers |= {prefix + key_text(key): own[key] for key in order}
    notes = [
        f"{name}: {note}" for name, one in zip(names, results, strict=True) for note in one.notes
    ]
    if options.resampling.groups is not None:
        notes.append("Pictures of one group are drawn and swapped together.")
    return PairedComparison(
        names=names,
        primary=key_text(primary),
        numbers=numbers,
        deciding=deciding_pictures(
            inputs,
            family_statistic(families[0], inputs, [decisive], options),
            primary,
            kind=decisive,
            limit=detection_limit(inputs.true, options.max_detections)[0],
            most=num_deciding,
        ),
        num_images=len(true.image_ids),
        num_replicates=options.resampling.num_replicates,
        notes=tuple(notes),
    )


def _decisive(family: Family, kinds: Sequence[Kind]) -> Kind:
    """Return the kind whose number decides: masks before boxes before boundaries."""
    scored = lvis_kinds(kinds) if family == "lvis" else kinds
    by_rank: tuple[Kind, ...] = ("segm", "bbox", "boundary")
    return next(kind for kind in by_rank if kind in scored)


def _primary(family: Family, decisive: Kind) -> Key:
    by_family: dict[Family, Key] = {
        "coco": (decisive, "AP"),
        "agnostic": (decisive, "AP"),
        "lvis": (key_text((decisive, "AP")),),
        "cells": ("AP",),
        "panoptic": ("PQ",),
        "counting": ("MAE",),
    }
    return by_family[family]
