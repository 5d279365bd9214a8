"""Trials of a study on Ray: each a task, while the journal stays with the process that asked.

A task tells a desk, an actor, of each validation, and waits there for the word whether to go on;
the process with the journal looks at the desk, asks the pruner and answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from maskwright.ray_session import worker_resources
from maskwright.recipes.tuning.journal import Asked
from maskwright.recipes.tuning.trial import Job, Outcome, run_trial

__all__ = ["Crew"]

_LOOK_SECONDS = 0.3
"""How often the desk is looked at: a training waits so long, at most, at each validation."""


class Crew:
    """Workers that run trials.

    Args:
        ray: Connected.
        parallel: Trials at once; None for one per GPU, or per core where there are no GPUs.
    """

    def __init__(self, ray: Any, parallel: int | None) -> None:
        self._ray = ray
        self.size, resources = worker_resources(ray, parallel)
        self._desk = ray.remote(_Desk).options(num_cpus=0).remote()
        # Not again by Ray: the journal knows how a trial goes on.
        self._task = ray.remote(_run).options(max_retries=0, **resources)
        self._running: dict[Any, Asked] = {}

    @property
    def num_running(self) -> int:
        """Trials under way."""
        return len(self._running)

    def start(self, asked: Asked, job: Job) -> None:
        """Begin a trial."""
        self._running[self._task.remote(self._desk, asked.number, job)] = asked

    def look(
        self, report: Callable[[Asked, int, float], bool]
    ) -> list[tuple[Asked, Outcome | None]]:
        """Wait a little, answer reports, and return the trials that ended.

        Args:
            report: Told of each validation; says whether the trial should end there.

        Returns:
            Each with its outcome; None where its process died.
        """
        ended, _ = self._ray.wait(list(self._running), timeout=_LOOK_SECONDS)
        by_number = {asked.number: asked for asked in self._running.values()}
        for number, rung, score in self._ray.get(self._desk.waiting.remote()):
            is_known = number in by_number
            is_behind = is_known and report(by_number[number], rung, score)
            self._desk.answer.remote(number, is_behind)
        return [(self._running.pop(task), self._outcome(task)) for task in ended]

    def _outcome(self, task: Any) -> Outcome | None:
        try:
            outcome: Outcome = self._ray.get(task)
        except self._ray.exceptions.RayError:
            return None
        return outcome


class _Desk:
    """Where trials report and wait."""

    def __init__(self) -> None:
        self._reports: dict[int, tuple[int, float, asyncio.Future[bool]]] = {}

    async def report(self, number: int, rung: int, score: float) -> bool:
        """Wait for the answer to a report."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._reports[number] = (rung, score, answer)
        return await answer

    async def waiting(self) -> list[tuple[int, int, float]]:
        """Return the reports without an answer."""
        return [(number, rung, score) for number, (rung, score, _) in self._reports.items()]

    async def answer(self, number: int, is_behind: bool) -> None:
        """Answer one."""
        if number in self._reports:
            self._reports.pop(number)[2].set_result(is_behind)


def _run(desk: Any, number: int, job: Job) -> Outcome:
    """Run a trial in a process of its own."""
    import ray

    study = job.folder.parent.parent
    if not (study / "config.json").is_file():
        reason = (
            f"{study} is not there on the machine of the trial: data and study must lie on storage "
            "that all machines of the cluster see under the same path"
        )
        return Outcome(state="failed", steps=0, seconds=0.0, reason=reason)

    def report(rung: int, score: float) -> bool:
        return bool(ray.get(desk.report.remote(number, rung, score)))

    return run_trial(job, report)
