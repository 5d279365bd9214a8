"""A bar of pictures or tiles done, for people at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["pictures_bar"]


@contextmanager
def pictures_bar(
    title: str, *, unit: str = "pictures", quiet: bool = False
) -> Iterator[Callable[[int, int], None]]:
    """Lend a function that is told (pictures done, pictures in all) and moves a bar.

    Args:
        title: What is being done.
        unit: What is counted.
        quiet: Show nothing. Nothing is shown either where standard error is no terminal.
    """
    console = Console(stderr=True)
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )
    with bar:
        task = bar.add_task(title, total=None, rate="")

        def progress(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            rate = f"{speed:.1f} {unit}/s" if speed else ""
            bar.update(task, completed=done, total=total, rate=rate)

        yield progress
