"""A study under way: trials begun, watched, recorded and reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from maskwright.errors import TrainingError
from maskwright.recipes.tuning.journal import Asked, Journal
from maskwright.recipes.tuning.planning import Plan
from maskwright.recipes.tuning.ray_trials import Crew
from maskwright.recipes.tuning.report import best_test_score, train_command, write_study
from maskwright.recipes.tuning.study import Study
from maskwright.recipes.tuning.study_folder import Keep, point_to_best, remove_models, take_over
from maskwright.recipes.tuning.tables import values_text
from maskwright.recipes.tuning.trial import Job, Outcome, run_trial

__all__ = ["RunningStudy"]

_MOST_FAILURES = 5
"""Trials that may fail one after the other: then it is not their values."""


class RunningStudy:
    """A study under way, in its folder.

    Args:
        folder: The folder, held by this process.
        plan: What is tried.
        pruner: See `Journal`.
        keep: Whose model files stay.
        say: Told what happens.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        *,
        pruner: str,
        keep: Keep,
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._plan, self._keep, self._say = folder, plan, keep, say
        self._evaluations = plan.recipe.evaluations
        self._journal = Journal(
            folder / "study.journal",
            plan.space,
            seed=plan.common.request.seed,
            pruner=pruner,
            evaluations=self._evaluations,
        )
        self._failures = 0

    def run(self, trials: int, crew: Crew | None = None) -> Study:
        """Run trials until so many are finished; write the report, also on Ctrl-C.

        Args:
            trials: In all, those of earlier calls included.
            crew: Runs several at a time; None runs them here, one after the other.

        Raises:
            TrainingError: Five trials failed one after the other.
        """
        if self._journal.is_empty:
            self._journal.enqueue(self._plan.start)
        for number in self._journal.mend():
            self._say(f"trial {number} was interrupted: it is tried again")
        try:
            if crew is None:
                while self._finished() < trials:
                    asked = self._begin(self._finished() + 1, trials)
                    self._end(asked, run_trial(self._job(asked), partial(self._report, asked)))
            else:
                self._run_many(trials, crew)
        finally:
            if self._finished():
                write_study(self._study(), self._plan.space)
        return self._study()

    def _run_many(self, trials: int, crew: Crew) -> None:
        """Keep the crew busy."""
        while crew.num_running or self._finished() < trials:
            while crew.num_running < min(crew.size, trials - self._finished()):
                asked = self._begin(self._finished() + crew.num_running + 1, trials)
                crew.start(asked, self._job(asked))
            for asked, outcome in crew.look(self._report):
                if outcome is not None:
                    self._end(asked, outcome)
                    continue
                self._journal.mend(asked.number)
                self._say(f"trial {asked.number}: its process died")

    def _finished(self) -> int:
        return sum(one.is_finished for one in self._journal.rows())

    def _begin(self, place: int, trials: int) -> Asked:
        asked = self._journal.ask()
        if asked.continues is not None:
            dead = self._folder / "trials" / f"{asked.continues:04d}"
            take_over(dead, self._folder / "trials" / f"{asked.number:04d}")
            self._journal.repeat_scores(asked)
        self._say(f"trial {asked.number} ({place} of {trials}): {values_text(asked.values)}")
        return asked

    def _job(self, asked: Asked) -> Job:
        return Job(
            common=self._plan.common,
            values=asked.values,
            folder=self._folder / "trials" / f"{asked.number:04d}",
            evaluations=self._evaluations,
        )

    def _report(self, asked: Asked, rung: int, score: float) -> bool:
        is_behind = asked.report(rung, score)
        self._say(f"trial {asked.number}: {self._plan.metric} {100 * score:.1f} % "
                  f"at {rung / self._evaluations:.0%} of the budget")  # fmt: skip
        return is_behind

    def _end(self, asked: Asked, outcome: Outcome) -> None:
        """Record a trial, and keep the best model and no other."""
        self._journal.tell(asked, outcome)
        study = self._study()
        row = study.trials[asked.number]
        best = study.best
        sentence = f"trial {asked.number}: {row.state}"
        if row.state == "failed":
            sentence += f": {row.reason}"
        elif best is not None and best.score is not None:
            sentence += f"; the best is trial {best.number} with {100 * best.score:.1f} %"
        self._say(sentence)
        point_to_best(study)
        if self._keep == "best":
            remove_models(study)
        self._failures = self._failures + 1 if row.state == "failed" else 0
        if self._failures >= _MOST_FAILURES:
            raise TrainingError(
                f"{_MOST_FAILURES} trials failed one after the other, the last with: {row.reason}; "
                f"mend that, then the same command goes on (traces: {self._folder}/trials)"
            )

    def _study(self) -> Study:
        study = Study(
            path=self._folder,
            metric=self._plan.metric,
            trials=tuple(self._journal.rows()),
            importances=self._journal.importances(),
            evaluations=self._evaluations,
            is_first_plain=set(self._plan.start) == set(self._plan.space),
            notes=self._plan.notes(),
        )
        if study.best is None:
            return study
        command = train_command(self._plan.common, study.best.values)
        return replace(study, command=command, test=best_test_score(self._folder))
