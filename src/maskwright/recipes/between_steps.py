"""What may happen between two steps of a run: evaluating, saving, stopping."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGINT, SIGTERM
from types import FrameType

__all__ = ["Calendar", "stop_between_steps"]

_SAVE_SECONDS = 120.0
"""A killed run loses at most this much work; writing the state takes a second or less."""

_REST = 12
"""After an evaluation, train at least this many times as long before the next one."""


class Calendar:
    """Says when to evaluate and when to save.

    Args:
        evaluations: How often to evaluate over the whole budget, at most.
        spent: Share of the budget spent so far.
        now: Seconds on the run's clock.
    """

    def __init__(self, evaluations: int, spent: float, now: float) -> None:
        shares = [k / evaluations for k in range(1, evaluations + 1)]
        self._due = [share for share in shares if share > spent]
        self._rested_at = now
        self._saved_at = now

    def is_evaluation_due(self, spent: float, now: float) -> bool:
        """Whether to evaluate now; always when the budget is spent.

        >>> calendar = Calendar(evaluations=4, spent=0.0, now=0.0)
        >>> [calendar.is_evaluation_due(spent, now=0.0) for spent in (0.2, 0.25, 1.0)]
        [False, True, True]
        """
        return spent >= 1 or (spent >= self._due[0] and now >= self._rested_at)

    def evaluated(self, spent: float, began: float, now: float) -> None:
        """Note an evaluation, after which the state was saved."""
        self._due = [share for share in self._due if share > spent]
        self._rested_at = now + _REST * (now - began)
        self.saved(now)

    def is_saving_due(self, now: float) -> bool:
        """Whether to save now.

        >>> Calendar(evaluations=1, spent=0.0, now=0.0).is_saving_due(now=600.0)
        True
        """
        return now - self._saved_at > _SAVE_SECONDS

    def saved(self, now: float) -> None:
        """Note that the state was saved."""
        self._saved_at = now


@contextmanager
def stop_between_steps() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C and SIGTERM back until the step is done; a second one stops at once.

    Yields a function that says whether a stop was asked for. Outside the main thread, where
    Python delivers no signals, nothing is held back.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, remember) for number in (SIGINT, SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
