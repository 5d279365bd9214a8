"""What a person sees while a model trains: a live bar, plain lines, or nothing."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import deque
from time import monotonic
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from maskwright.training.fit import StepReport

__all__ = ["LiveDisplay", "PlainDisplay", "SilentDisplay", "StepDisplay", "choose_display"]

_WINDOW = 50
"""Steps over which rates and the loss are averaged: steady, yet follows a change in a minute."""


def choose_display(
    *, num_steps: int | None = None, quiet: bool = False, stream: TextIO | None = None
) -> StepDisplay:
    """Return a live bar on a terminal, plain lines elsewhere, nothing if `quiet`.

    Args:
        num_steps: Steps in all, if known.
        quiet: Show nothing (as with `--json`).
        stream: Where to write; standard error by default, so that results can be piped.
    """
    stream = sys.stderr if stream is None else stream
    if quiet:
        return SilentDisplay()
    if stream.isatty():
        return LiveDisplay(stream, num_steps)
    return PlainDisplay(stream, num_steps)


class StepDisplay(ABC):
    """Shows the steps of a run; use in a `with` statement around the loop."""

    @abstractmethod
    def step(self, report: StepReport, progress: float) -> None:
        """Show a step, and the share of the budget that is spent, in [0, 1]."""

    @abstractmethod
    def message(self, text: str) -> None:
        """Show a line that stays, such as a validation score."""

    @abstractmethod
    def close(self) -> None:
        """Leave the terminal as it is wanted after the run; harmless when repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SilentDisplay(StepDisplay):
    """Shows nothing."""

    def step(self, report: StepReport, progress: float) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class PlainDisplay(StepDisplay):
    """Prints a line for the first step, the last one, and every so often between them.

    Args:
        stream: Where to print.
        num_steps: Steps in all, if known.
        every_seconds: Wall clock between two lines.
    """

    def __init__(
        self, stream: TextIO, num_steps: int | None = None, *, every_seconds: float = 15.0
    ) -> None:
        self._stream = stream
        self._every_seconds = every_seconds
        self._summary = _Summary(num_steps)
        self._printed_at: float | None = None
        self._unprinted: str | None = None

    def step(self, report: StepReport, progress: float) -> None:
        """Print the step if it is time to."""
        self._unprinted = self._summary.line(report, progress)
        due = self._printed_at is None or monotonic() - self._printed_at >= self._every_seconds
        if due:
            self.close()

    def message(self, text: str) -> None:
        """Print the line."""
        self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Print the last step if it was not."""
        if self._unprinted is not None:
            self.message(self._unprinted)
            self._unprinted, self._printed_at = None, monotonic()


class LiveDisplay(StepDisplay):
    """A progress bar that is redrawn in place.

    Args:
        stream: A terminal.
        num_steps: Steps in all, if known.
    """

    def __init__(self, stream: TextIO, num_steps: int | None = None) -> None:
        self._summary = _Summary(num_steps)
        self._progress = Progress(
            BarColumn(bar_width=20),
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(overflow="ellipsis", no_wrap=True),
            ),
            console=Console(file=stream),
        )
        self._task = self._progress.add_task("waiting for the first batch", total=1.0)
        self._progress.start()

    def step(self, report: StepReport, progress: float) -> None:
        """Redraw the bar."""
        line = self._summary.line(report, progress)
        self._progress.update(self._task, completed=progress, description=line)

    def message(self, text: str) -> None:
        """Print the line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the bar where it stands."""
        self._progress.stop()


class _Summary:
    """Words a step as one line, with rates over the last steps."""

    def __init__(self, num_steps: int | None) -> None:
        self._num_steps = num_steps
        self._recent: deque[StepReport] = deque(maxlen=_WINDOW)
        self._first: tuple[float, float] | None = None  # clock and progress at the first step

    def line(self, report: StepReport, progress: float) -> str:
        self._recent.append(report)
        seconds = max(sum(recent.seconds for recent in self._recent), 1e-9)
        images = sum(recent.num_images for recent in self._recent)
        waiting = sum(recent.data_seconds for recent in self._recent)
        loss = sum(recent.total for recent in self._recent) / len(self._recent)
        of_all = f"/{self._num_steps}" if self._num_steps is not None else ""
        return ", ".join(
            [
                f"step {report.step}{of_all}",
                f"loss {loss:.4g}",
                f"lr {report.learning_rate:.2g}",
                f"{images / seconds:.3g} images/s",
                f"{waiting / seconds:.0%} waiting for data",
                self._time_left(progress),
            ]
        )

    def _time_left(self, progress: float) -> str:
        """Extrapolate from the clock, so that evaluations between steps count too."""
        now = monotonic()
        if self._first is None:
            self._first = (now, progress)
        since, done = now - self._first[0], progress - self._first[1]
        if progress >= 1.0:
            return "done"
        if done <= 0.0:
            return "time left unknown"
        return f"{_clock(since / done * (1.0 - progress))} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
