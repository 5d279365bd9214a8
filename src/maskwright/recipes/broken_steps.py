"""What people are told when the steps of a run break off: what would help, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator

from maskwright.errors import OutOfMemoryError, TrainingError
from maskwright.recipes.memory_advice import memory_advice
from maskwright.recipes.moving_parts import MovingParts
from maskwright.training import StepReport
from maskwright.training.fit import DivergedError, StepOutOfMemoryError

__all__ = ["advised"]


def advised(reports: Iterator[StepReport], training: MovingParts) -> Iterator[StepReport]:
    """Hand the reports on; where steps break off, say what would help."""
    try:
        yield from reports
    except DivergedError as error:
        raise TrainingError(f"{error}\n{_after_divergence(training)}") from error
    except StepOutOfMemoryError as error:
        advice = memory_advice(error, training.model, training.recipe)
    else:
        return
    raise OutOfMemoryError(f"{advice}\n{_kept(training)}")


def _after_divergence(training: MovingParts) -> str:
    optimizer = training.recipe.optimizer
    return (
        f"{_kept(training)}. Resumed, the run would go the same way again: start another with "
        f"--optimizer.learning-rate {optimizer.learning_rate / 2:g}, after train --sanity"
    )


def _kept(training: MovingParts) -> str:
    """Say what there is of the run until now."""
    folder, point = training.folder, training.point
    kept = f"kept: the state of step {point.step} in {folder.state_path}"
    if point.best_score is None:
        return kept
    name = training.task.decisive.removeprefix("val/")
    return f"{kept}, the best model ({name} {point.best_score:.3f}) in {folder.best_path}"
