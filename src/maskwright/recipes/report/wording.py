"""Numbers as people read them: percent with one decimal, "n/a" where undefined (below 0)."""

from __future__ import annotations

__all__ = ["count_of", "interval_text", "number_text", "percent", "points", "with_interval"]


def percent(value: float) -> str:
    """Return a share as percent without the sign.

    >>> percent(0.4321), percent(-1.0)
    ('43.2', 'n/a')
    """
    return "n/a" if value < 0 else f"{100 * value:.1f}"


def points(value: float) -> str:
    """Return a difference of shares as points of percent.

    >>> points(-0.0321)
    '-3.2'
    """
    return f"{100 * value:+.1f}"


def interval_text(ends: tuple[float, float] | None) -> str:
    """Return "40.1 to 46.2" of a share's interval, "" without one.

    >>> interval_text((0.401, 0.462))
    '40.1 to 46.2'
    """
    return "" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"


def with_interval(value: float, ends: tuple[float, float] | None) -> str:
    """Return "43.2 (40.1 to 46.2)", or the number alone.

    >>> with_interval(0.432, (0.401, 0.462)), with_interval(0.432, None)
    ('43.2 (40.1 to 46.2)', '43.2')
    """
    return percent(value) if ends is None else f"{percent(value)} ({interval_text(ends)})"


def number_text(value: float | int | None) -> str:
    """Return a number that is no share: whole ones as they are, others with two decimals.

    >>> number_text(1200), number_text(-0.25), number_text(None)
    ('1,200', '-0.25', 'n/a')
    """
    if value is None:
        return "n/a"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def count_of(number: int, singular: str, plural: str = "") -> str:
    """Return a count with its noun.

    >>> count_of(1, "picture"), count_of(1200, "class", "classes")
    ('1 picture', '1,200 classes')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
