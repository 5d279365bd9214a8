"""The trials of a study in Optuna's journal: asking for the next, telling how one went.

Everything of Optuna that a study uses is in this file.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from maskwright.errors import ConfigError, MissingExtraError, TrainingError
from maskwright.recipes.tuning.search_space import Choices, Search, SearchSpace, Value
from maskwright.recipes.tuning.study import Tried
from maskwright.recipes.tuning.trial import Outcome

__all__ = ["PRUNERS", "Asked", "Journal", "PrunerName", "require_optuna"]

PrunerName: TypeAlias = Literal["median", "hyperband", "none"]
PRUNERS: tuple[PrunerName, ...] = ("median", "hyperband", "none")

_NAME = "maskwright"
"""Of the study in its journal; Hyperband deals trials to brackets by it."""

_RANDOM_TRIALS = 6
"""Trials before the sampler learns from them; Optuna's 10 is half of what a training budget
allows."""

_UNPRUNED_TRIALS = 3
"""Trials that must be complete before the median of them ends others."""

_MOST_ATTEMPTS = 3
"""A configuration whose process has died so often is not tried again."""


def require_optuna() -> None:
    """Check that Optuna is there.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingExtraError("optuna", "tune", "search for hyperparameters") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


_FEWEST_FOR_SHARES = 10
"""Complete trials before anything is said of what matters: a tenth of fewer is none. Of seven real
trials the detector, whose best score was five times the other's, came out with a share of 0 %."""


class Asked:
    """A trial that is under way."""

    def __init__(self, trial: Any) -> None:
        self._trial = trial
        self.number: int = trial.number
        self.values: dict[str, Value] = dict(trial.params)

    @property
    def continues(self) -> int | None:
        """The number of the trial whose process died and whose run goes on here."""
        number: int | None = self._trial.user_attrs.get("continues")
        return number

    def report(self, rung: int, score: float) -> bool:
        """Keep the score of a validation; return whether the trial should end there."""
        self._trial.report(score, rung)
        return bool(self._trial.should_prune())


class Journal:
    """The study in a file, which several calls of `tune` go on with, one at a time.

    What is asked depends on the seed, the number of the trial and the trials before it alone, so a
    study that was stopped between two trials goes on as one that was not.

    Args:
        path: The journal's file.
        space: What is varied.
        seed: Of the sampler.
        pruner: "median" ends a trial whose best score so far is below the median of the others'
            at the same share of the budget; "hyperband" (Li et al., 2018) gives brackets of trials
            different patience; "none" ends none.
        evaluations: Validations of a training: the highest rung.

    Raises:
        MissingExtraError: Optuna is not installed.
        ConfigError: An unknown pruner.
        TrainingError: The journal cannot be read.
    """

    def __init__(
        self, path: Path, space: SearchSpace, *, seed: int, pruner: str, evaluations: int
    ) -> None:
        require_optuna()
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        self._space = {name: _distribution(wanted) for name, wanted in space.items()}
        self._seed = seed
        try:
            self._study = optuna.create_study(
                storage=JournalStorage(JournalFileBackend(str(path))),
                study_name=_NAME,
                direction="maximize",
                pruner=_pruner(pruner, evaluations),
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise TrainingError(
                f"{path} is no journal of a study ({error}): restore it, or name another folder"
            ) from error

    @property
    def is_empty(self) -> bool:
        """Whether there is no trial, done or waiting."""
        return not self._study.get_trials(deepcopy=False)

    def enqueue(self, values: Mapping[str, Value]) -> None:
        """Let one of the next trials try these values; what is left out is chosen."""
        self._study.enqueue_trial(dict(values))

    def ask(self) -> Asked:
        """Begin a trial."""
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = _sampler(1_000_003 * self._seed + number)
        return Asked(self._study.ask(self._space))

    def tell(self, asked: Asked, outcome: Outcome) -> None:
        """End a trial; its score is the best that was reported of it."""
        from optuna.trial import TrialState

        trial = asked._trial
        trial.set_user_attr("steps", outcome.steps)
        trial.set_user_attr("seconds", outcome.seconds)
        scores = list(self._frozen(asked.number).intermediate_values.values())
        if outcome.state == "complete" and scores:
            self._study.tell(trial, max(scores))
            return
        if outcome.state == "pruned":
            self._study.tell(trial, state=TrialState.PRUNED)
            return
        trial.set_user_attr("reason", outcome.reason or "it was never scored")
        self._study.tell(trial, state=TrialState.FAIL)

    def mend(self, number: int | None = None) -> list[int]:
        """Mark trials whose process died as failed, and enqueue what they tried again.

        Args:
            number: Of one; None for all that are said to run, when none does.

        Returns:
            Their numbers.
        """
        from optuna.trial import TrialState

        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        numbers = []
        for dead in running:
            if number not in (None, dead.number):
                continue
            attempt = int(dead.user_attrs.get("attempt", 1))
            if attempt < _MOST_ATTEMPTS:
                # Enqueued first: killed in between, it is tried twice, and not forgotten.
                self._study.enqueue_trial(
                    dead.params,
                    user_attrs={"continues": dead.number, "attempt": attempt + 1},
                )
            self._study.tell(dead.number, state=TrialState.FAIL)
            numbers.append(dead.number)
        return numbers

    def repeat_scores(self, asked: Asked) -> None:
        """Report what the trial that this one continues had reported."""
        if asked.continues is not None:
            for rung, score in self._frozen(asked.continues).intermediate_values.items():
                asked._trial.report(score, rung)

    def rows(self) -> list[Tried]:
        """Return all trials that were begun, in order."""
        from optuna.trial import TrialState

        trials = [
            trial
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state != TrialState.WAITING
        ]
        continued = {
            trial.user_attrs["continues"]
            for trial in self._study.get_trials(deepcopy=False)
            if "continues" in trial.user_attrs
        }
        return [_row(trial, is_continued=trial.number in continued) for trial in trials]

    def importances(self) -> dict[str, float]:
        """Return the share of each option in the differences of scores, the largest first.

        By PED-ANOVA (Watanabe et al., 2023), which looks at where the best tenth of the trials
        lies; {} of fewer than ten complete trials, or of scores that are all alike.
        """
        import optuna
        from optuna.trial import TrialState

        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(done) < _FEWEST_FOR_SHARES or len({trial.value for trial in done}) < 2:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is called experimental, and speaks of few trials
            found = optuna.importance.get_param_importances(
                self._study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
        return {name: round(float(share), 4) for name, share in found.items()}

    def _frozen(self, number: int) -> Any:
        return self._study.get_trials(deepcopy=False)[number]


def _row(trial: Any, *, is_continued: bool) -> Tried:
    from optuna.trial import TrialState

    names: dict[Any, Any] = {
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.RUNNING: "running",
    }
    curve = {int(rung): float(score) for rung, score in sorted(trial.intermediate_values.items())}
    reason = trial.user_attrs.get("reason", "")
    state = names.get(trial.state, "failed")
    if state == "failed" and not reason:
        state = "interrupted" if is_continued else "failed"
        reason = "its process died" + ("" if is_continued else f" {_MOST_ATTEMPTS} times")
    return Tried(
        number=trial.number,
        state=state,
        score=max(curve.values(), default=None),
        values=dict(trial.params),
        curve=curve,
        steps=int(trial.user_attrs.get("steps", 0)),
        seconds=float(trial.user_attrs.get("seconds", 0.0)),
        reason=str(reason),
    )


def _sampler(seed: int) -> Any:
    import optuna

    with warnings.catch_warnings():
        # Options that one release of Optuna calls experimental and the next has as its default.
        warnings.simplefilter("ignore")
        return optuna.samplers.TPESampler(
            seed=seed % 2**32,
            n_startup_trials=_RANDOM_TRIALS,
            multivariate=True,
            constant_liar=True,
        )


def _pruner(name: str, evaluations: int) -> Any:
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(
            n_startup_trials=_UNPRUNED_TRIALS, n_warmup_steps=max(1, evaluations // 5)
        )
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=max(2, evaluations))
    if name == "none":
        return pruners.NopPruner()
    raise ConfigError(f"unknown pruner {name!r}; there are {', '.join(PRUNERS)}")


def _distribution(wanted: Search) -> Any:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(wanted, Choices):
        return CategoricalDistribution(wanted.values)
    if wanted.is_integer:
        step = 1 if wanted.step is None else int(wanted.step)
        return IntDistribution(int(wanted.low), int(wanted.high), log=wanted.log, step=step)
    return FloatDistribution(wanted.low, wanted.high, log=wanted.log, step=wanted.step)
