"""Reading ahead and writing behind: order, errors, bounds, and an early end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from maskwright.inference.overlapping import Behind, ahead


def test_items_come_in_order_and_are_made_in_another_thread() -> None:
    made_in = []

    def items() -> Iterator[int]:
        for number in range(50):
            made_in.append(threading.get_ident())
            yield number

    assert list(ahead(items(), size=3)) == list(range(50))
    assert threading.get_ident() not in made_in


def test_no_more_items_wait_than_asked() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    taken = ahead(items(), size=2)
    next(taken)
    time.sleep(0.3)
    assert len(made) <= 1 + 2 + 1  # taken, waiting, at hand
    taken.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_an_error_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("broken")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(KeyError, match="broken"):
        next(taken)


def test_nothing_is_read_before_the_first_item_is_asked_for() -> None:
    made = []
    taken = ahead(made.append(number) or number for number in range(3))  # type: ignore[func-returns-value]
    time.sleep(0.05)
    assert made == []
    assert list(taken) == [0, 1, 2]


def test_work_is_done_in_order_and_before_the_block_is_left() -> None:
    done: list[int] = []
    with Behind(size=2) as behind:
        for number in range(20):
            behind(lambda number=number: (time.sleep(0.002), done.append(number)))
    assert done == list(range(20))


def test_an_error_in_the_work_is_raised_and_the_rest_left_undone() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("no space left")

    def write_all() -> None:
        with Behind() as behind:
            behind(lambda: done.append(1))
            behind(fail)
            for number in range(100):
                behind(lambda number=number: done.append(number))  # type: ignore[misc]

    with pytest.raises(OSError, match="no space left"):
        write_all()
    assert done == [1]


def test_an_error_in_the_block_lets_the_work_end() -> None:
    done: list[int] = []

    def stop_midway() -> None:
        with Behind() as behind:
            behind(lambda: time.sleep(0.1))
            behind(lambda: done.append(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_midway()
    assert done == [1]
