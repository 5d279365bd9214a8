"""Work that overlaps with a network's: reading ahead of it and writing behind it, in order.

Decoding a picture, the network and writing files mostly wait for each other, and all of them
leave Python's lock while they work, so one thread for each end keeps the network busy.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

__all__ = ["Behind", "ahead"]

T = TypeVar("T")
_WAIT = 0.1
"""Seconds after which a thread looks whether it is still wanted."""


class _End(Generic[T]):
    """Says that no more items come, and why."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def ahead(items: Iterable[T], size: int = 2) -> Iterator[T]:
    """Yield the items in order, made in a thread of their own while the caller works.

    An error of `items` is raised where its item would have come. Closing the iterator, or leaving
    it behind, ends the thread after the item at hand.

    Args:
        items: Gone through in the other thread.
        size: The most items that wait, which bounds memory.

    >>> list(ahead(range(3)))
    [0, 1, 2]
    """
    made: queue.Queue[T | _End[T]] = queue.Queue(size)
    is_left = threading.Event()

    def hand_over(item: T | _End[T]) -> bool:
        while not is_left.is_set():
            try:
                made.put(item, timeout=_WAIT)
            except queue.Full:
                continue
            return True
        return False

    def make() -> None:
        try:
            for item in items:
                if not hand_over(item):
                    return
        except BaseException as error:  # noqa: BLE001 - raised where the items are wanted
            hand_over(_End(error))
        else:
            hand_over(_End())

    def take() -> Iterator[T]:
        thread = threading.Thread(target=make, name="ahead", daemon=True)
        thread.start()
        try:
            while not isinstance(item := made.get(), _End):
                yield item
            if item.error is not None:
                raise item.error
        finally:
            is_left.set()
            thread.join()

    return take()


class Behind:
    """Does work in a thread of its own, in order, while the caller goes on; use with `with`.

    An error in the work is raised at the next call or at the end of the block, and what was still
    waiting is left undone. When the block is left by an error of its own, the work that was given
    is still done: it is little, and whole.

    Args:
        size: The most pieces of work that wait, which bounds memory.
    """

    def __init__(self, size: int = 2) -> None:
        self._waiting: queue.Queue[Callable[[], Any] | None] = queue.Queue(size)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="behind", daemon=True)

    def __call__(self, work: Callable[[], Any]) -> None:
        """Let the work be done; waits while too much is waiting."""
        self._raise()
        self._waiting.put(work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        if error is None:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            if self._error is not None:
                continue  # taken off, so that nobody waits for room
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised where the work was given
                self._error = error
