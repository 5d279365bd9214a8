"""Which pictures processes have died on: a picture that kills every process must not stop a run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

__all__ = ["Marks"]

_MOST_DEATHS = 2


class Marks:
    """Notes of a part beside its results, written before pictures are looked at.

    The first process takes a part as a whole. If it dies, the next takes the pictures in groups
    and notes each beforehand; a group that two processes have died on is left out.

    Args:
        path: The file of the notes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_first = not path.exists()
        lines = [] if self.is_first else path.read_text(encoding="utf-8").split()
        begun, survived = Counter(lines), Counter(line[1:] for line in lines if line[0] == "+")
        self._deaths = {int(g): n - survived[g] for g, n in begun.items() if g[0] != "+"}

    def begin(self) -> None:
        """Note that the part as a whole was begun."""
        self._path.touch()

    def note(self, group: int) -> None:
        """Note that a group is looked at."""
        self._append(f"{group}\n")

    def survive(self, group: int) -> None:
        """Note that nobody died on it."""
        self._append(f"+{group}\n")

    def is_deadly(self, group: int) -> bool:
        """Whether processes have died on a group as often as may be."""
        return self._deaths.get(group, 0) >= _MOST_DEATHS

    def _append(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line)

    def forget(self) -> None:
        """Remove the notes: the part is done."""
        self._path.unlink(missing_ok=True)
