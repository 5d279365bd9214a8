"""What to look at when one batch could not be learnt by heart."""

from __future__ import annotations

from maskwright.data import Dataset
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.training_check import FALLEN, TrainingCheck
from maskwright.structures import Batch

__all__ = ["hints_of"]

_FEW_STEPS = 30
_SMALL_SIDE = 4.0
"""Pixels of the network's picture: half a cell of the finest map, at stride 4 and 8."""


def hints_of(
    check: TrainingCheck,
    recipe: Recipe,
    batch: Batch,
    pictures: Dataset,
    seconds: float,
    num_steps: int,
) -> tuple[str, ...]:
    """Return what may be wrong, the most telling first.

    Args:
        check: What happened.
        recipe: What the run would do.
        batch: The pictures as the network saw them.
        pictures: The same as they are on the disk.
        seconds: Wall clock that the check had.
        num_steps: Steps that it might have taken.
    """
    hints = [*_of_steps(check, seconds, num_steps), *_of_rates(check, recipe)]
    hints += [*_of_objects(recipe, batch, pictures), *_of_refound(check)]
    return tuple(hints) or (
        "draw what the network sees with maskwright data view --augment none, and look for "
        "faults with maskwright data check",
    )


def _of_steps(check: TrainingCheck, seconds: float, num_steps: int) -> list[str]:
    if check.failure is None and check.steps < min(num_steps, _FEW_STEPS):
        return [
            f"only {check.steps} steps fitted into {seconds:.0f} seconds, too few to judge: take "
            "--preset tiny or a smaller --model.short-side"
        ]
    return []


def _of_rates(check: TrainingCheck, recipe: Recipe) -> list[str]:
    rate = recipe.optimizer.learning_rate
    better = {r: ratio for r, ratio in check.rates.items() if ratio < min(check.ratio, FALLEN)}
    if better:
        best = min(better, key=lambda each: better[each])
        return [
            f"the learning rate {rate:g} is too {'high' if best < rate else 'low'}: at {best:g} "
            f"the loss falls to {better[best]:.0%}: --optimizer.learning-rate {best:g}"
        ]
    if check.rates:
        tried = ", ".join(f"{each:g}" for each in sorted(check.rates))
        hints = [f"learning rates of {tried} do not help either: look at the data first"]
        if recipe.optimizer.backbone_factor == 0 and recipe.weights == "none":
            hints.append("the backbone has weights of chance and optimizer.backbone-factor is 0")
        return hints
    return []


def _of_objects(recipe: Recipe, batch: Batch, pictures: Dataset) -> list[str]:
    """Look for objects that are lost or too small, and pictures that are too full."""
    hints = []
    targets = batch.targets or ()
    left = sum(len(target) for target in targets)
    if left < len(pictures.labels):
        hints.append(
            f"{len(pictures.labels) - left} of {len(pictures.labels)} objects of the batch have no "
            "pixel, as annotated or once the picture is resized: see maskwright data check, or "
            "take a larger --model.short-side"
        )
    sides = [float(s) for t in targets for s in (t.boxes[:, 2:] - t.boxes[:, :2]).amin(dim=1)]
    small = sum(side < _SMALL_SIDE for side in sides)
    if small > len(sides) / 4:
        hints.append(
            f"{small} of {len(sides)} objects are under {_SMALL_SIDE:g} pixels in the network's "
            f"picture of {recipe.model.short_side}: take a larger --model.short-side"
        )
    room = getattr(getattr(recipe.model, "detector", None), "detections_per_image", None)
    fullest = max((len(target) for target in targets), default=0)
    if room is not None and fullest > room:
        hints.append(
            f"a picture has {fullest} objects and the model finds {room} at most: "
            f"--model.detector.detections-per-image {fullest}"
        )
    return hints


def _of_refound(check: TrainingCheck) -> list[str]:
    """Look at what the detections that do not count have right."""
    refound, hints = check.refound, []
    if refound.num_misnamed > max(refound.num_found, 1) / 2:
        hints.append(
            f"{refound.num_misnamed} objects are found under another class: do like objects have "
            "different classes? maskwright data view --class NAME --objects shows them"
        )
    if refound.num_boxed > 2 * max(refound.num_found, 1):
        hints.append(
            f"{refound.num_boxed} objects have their box but not their mask: do masks and boxes of "
            "the annotations agree? maskwright data view draws both"
        )
    if check.loss_falls and not hints:
        hints.append(
            "the loss falls but the objects do not come back yet: more steps may do it "
            "(check_training(..., num_steps=300)); if not, look at boxes and classes with "
            "maskwright data check"
        )
    return hints
