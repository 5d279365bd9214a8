"""Which of the compared models to take, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

__all__ = ["ComparedModel", "Recommendation", "are_undecided", "pareto_front", "recommend"]

_WORTH = 1.5
"""A less accurate model must be so many times faster to be recommended in place of the best,"""

_KEPT = 0.9
"""and keep this share of its mask AP: intervals of few pictures overlap over any distance."""


@dataclass(frozen=True, kw_only=True)
class ComparedModel:
    """A row of the table. Scores are AP over IoU 0.50 to 0.95, in [0, 1]; -1 where undefined.

    Args:
        model: Its name, "detector+mask-head" or "detector+mask-head@backbone".
        detector: Kind of its detector.
        mask_head: Kind of its mask head.
        backbone: Its backbone, whoever chose it.
        mask_ap: On the test pictures.
        mask_ap_low: Lower end of the 95 % bootstrap interval over pictures; None without one.
        mask_ap_high: Upper end.
        mask_ap50: Mask AP at IoU 0.50.
        boundary_ap: AP of boundaries, dilation 0.02 of the diagonal.
        box_ap: AP of boxes.
        ms: Median milliseconds of a test picture, from file to objects with masks; None until all
            models are timed in turn.
        peak_memory_mb: Largest resident memory, in 10^6 bytes, of a fresh process that loads the
            model and predicts, Python and its libraries included; None where the operating system
            does not tell.
        parameters: Numbers that are learnt.
        gflops: 10^9 multiplications and additions on one picture.
        file_mb: Model file, in 10^6 bytes.
        steps: Optimiser steps that fitted into the budget.
        training_seconds: Wall clock of the training.
        is_on_front: No other model is at least as fast and as accurate, and better in one.
        is_recommended: The one recommended.
        run: Its run folder, relative to the comparison's.
        note: What to know about its numbers; may be "".
    """

    model: str
    detector: str
    mask_head: str
    backbone: str
    mask_ap: float
    mask_ap_low: float | None
    mask_ap_high: float | None
    mask_ap50: float
    boundary_ap: float
    box_ap: float
    ms: float | None = None
    peak_memory_mb: float | None
    parameters: int
    gflops: float
    file_mb: float
    steps: int
    training_seconds: float
    is_on_front: bool = False
    is_recommended: bool = False
    run: str
    note: str = ""

    def as_dict(self) -> dict[str, str | float | bool | None]:
        """Return the row as plain values, in the order of the table."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What the numbers say.

    Args:
        model: Name of the recommended model; None where nothing can be recommended.
        front: Names on the Pareto front of speed and mask AP, fastest first.
        reason: In sentences.
    """

    model: str | None
    front: tuple[str, ...]
    reason: str


def pareto_front(models: Sequence[ComparedModel]) -> list[ComparedModel]:
    """Return the timed models that no other beats in speed and mask AP, fastest first.

    A model is beaten by one that is at least as fast and at least as accurate, and better in one
    of the two.
    """
    timed = sorted(
        (one for one in models if one.ms is not None), key=lambda one: (one.ms or 0, -one.mask_ap)
    )
    front: list[ComparedModel] = []
    for one in timed:
        is_level = bool(front) and (one.ms, one.mask_ap) == (front[-1].ms, front[-1].mask_ap)
        if not front or one.mask_ap > front[-1].mask_ap or is_level:
            front.append(one)
    return front


def are_undecided(one: ComparedModel, other: ComparedModel) -> bool:
    """Return whether the intervals overlap; without an interval nothing is decided."""
    ends = (one.mask_ap_low, one.mask_ap_high, other.mask_ap_low, other.mask_ap_high)
    low, high, other_low, other_high = ends
    if low is None or high is None or other_low is None or other_high is None:
        return True
    return low <= other_high and other_low <= high


def recommend(models: Sequence[ComparedModel]) -> Recommendation:
    """Recommend the most accurate model, or a much faster one that is not clearly worse.

    A faster one is preferred where it is on the Pareto front, its interval overlaps that of the
    most accurate, it keeps nine tenths of the mask AP and takes at most two thirds of the time.

    Args:
        models: Scored and timed.
    """
    front = pareto_front(models)
    names = tuple(one.model for one in front)
    if not front:
        return Recommendation(model=None, front=(), reason="No model was trained.")
    best = front[-1]
    if best.mask_ap <= 0:
        why = (
            "the test pictures hold no object"
            if best.mask_ap < 0
            else "no model finds anything yet, so a larger budget is needed"
        )
        return Recommendation(model=None, front=names, reason=f"Nothing to recommend: {why}.")
    chosen = next(one for one in front if one is best or _is_worth_it(one, best))
    sentences = [_choice(chosen, best, len(models)), _front(front), _others(models, best)]
    return Recommendation(model=chosen.model, front=names, reason=" ".join(filter(None, sentences)))


def score_text(one: ComparedModel) -> str:
    """Return mask AP in percent with its interval, "41.0 (35.2 to 46.3)".

    >>> from types import SimpleNamespace
    >>> score_text(SimpleNamespace(mask_ap=0.41, mask_ap_low=0.352, mask_ap_high=0.463))
    '41.0 (35.2 to 46.3)'
    """
    if one.mask_ap < 0:
        return "n/a"
    if one.mask_ap_low is None or one.mask_ap_high is None:
        return f"{100 * one.mask_ap:.1f}"
    low, high = 100 * one.mask_ap_low, 100 * one.mask_ap_high
    return f"{100 * one.mask_ap:.1f} ({low:.1f} to {high:.1f})"


def _is_worth_it(one: ComparedModel, best: ComparedModel) -> bool:
    return (
        are_undecided(one, best)
        and one.mask_ap >= _KEPT * best.mask_ap
        and (best.ms or 0) >= _WORTH * (one.ms or 0)
    )


def _choice(chosen: ComparedModel, best: ComparedModel, count: int) -> str:
    if count == 1:
        return f"{chosen.model} is the only model: mask AP {score_text(chosen)} %."
    if chosen is best:
        return (
            f"Take {chosen.model}: it has the highest mask AP, {score_text(chosen)} %, in "
            f"{chosen.ms:.0f} ms a picture."
        )
    return (
        f"Take {chosen.model}: mask AP {score_text(chosen)} % in {chosen.ms:.0f} ms a picture. "
        f"{best.model} has the highest mask AP, {score_text(best)} %, but takes {best.ms:.0f} ms; "
        "as the intervals overlap, it is undecided whether it is more accurate."
    )


def _front(front: Sequence[ComparedModel]) -> str:
    listed = ", ".join(f"{one.model} ({one.ms:.0f} ms, {100 * one.mask_ap:.1f})" for one in front)
    return f"On the Pareto front of speed and mask AP: {listed}."


def _others(models: Sequence[ComparedModel], best: ComparedModel) -> str:
    """Say which models the pictures cannot tell from the most accurate one."""
    others = [one for one in models if one is not best]
    undecided = [one.model for one in others if are_undecided(one, best)]
    worse = [one.model for one in others if not are_undecided(one, best)]
    sentences = []
    if undecided:
        sentences.append(
            f"Undecided against {best.model}, since the 95 % intervals overlap: "
            f"{', '.join(undecided)}; more test pictures would tell."
        )
    if worse:
        sentences.append(f"Clearly less accurate than {best.model}: {', '.join(worse)}.")
    return " ".join(sentences)
