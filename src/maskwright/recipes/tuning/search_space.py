"""What a study may vary: names of options, each with its range or its choices."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from maskwright.errors import ConfigError

__all__ = ["Choices", "Range", "Search", "SearchSpace", "Value", "parse_search", "to_space"]

Value: TypeAlias = bool | int | float | str
"""What a trial tries of one option; text is read as `--set` reads it."""

DEFAULT = "default"
"""Stands for the default space among the options that are searched."""

_INTEGER = re.compile(r"[+-]?\d+")
_NAME = re.compile(r"[A-Za-z][\w-]*(?:\.[A-Za-z][\w-]*)*")


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers from `low` to `high`, both included; of two integers, integers alone.

    Args:
        low: The lowest.
        high: The highest, above `low`.
        log: Alike by ratio: as many trials between 0.001 and 0.01 as between 0.01 and 0.1.
        step: Only `low`, `low + step` and so on; None takes any.

    Raises:
        ConfigError: Not a range, a logarithm of 0 or less, or a step with a logarithm.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(f"a range goes from a number to a higher one, got {self.text}")
        if self.log and self.low <= 0:
            raise ConfigError(f"a range by ratio (log) must begin above 0, got {self.text}")
        if self.step is not None and (self.log or not 0 < self.step <= self.high - self.low):
            raise ConfigError(
                f"a step must be above 0, fit into its range and not go with log, got {self.text}"
            )

    @property
    def is_integer(self) -> bool:
        """Whether only integers are tried."""
        ends = (self.low, self.high, 1 if self.step is None else self.step)
        return all(isinstance(end, int) for end in ends)

    @property
    def ends(self) -> tuple[Value, Value]:
        """The lowest and the highest value."""
        return self.low, self.high

    @property
    def text(self) -> str:
        """As `--search` takes it."""
        extra = ":log" if self.log else "" if self.step is None else f":{self.step!r}"
        return f"{self.low!r}:{self.high!r}{extra}"

    def holds(self, value: Value) -> bool:
        """Whether a value is in the range (and on its steps)."""
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.is_integer and value != int(value):
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-9)


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Values without an order.

    Args:
        values: Two or more, each once.

    Raises:
        ConfigError: Fewer than two, or one that comes twice.
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2 or len(set(self.values)) < len(self.values):
            raise ConfigError(
                f"there must be two or more different values to choose from, got {self.text}"
            )

    @property
    def ends(self) -> tuple[Value, ...]:
        """All values: each must be possible."""
        return self.values

    @property
    def text(self) -> str:
        """As `--search` takes it."""
        if any("," in str(value) for value in self.values):
            return json.dumps(self.values)
        return ",".join(str(value) for value in self.values) or "none"

    def holds(self, value: Value) -> bool:
        """Whether a value is one of them."""
        return value in self.values


Search: TypeAlias = Range | Choices
SearchSpace: TypeAlias = dict[str, Search]
"""Name of an option -> what is tried of it, in order."""


def parse_search(text: str) -> tuple[str, Search]:
    """Read "NAME=LOW:HIGH", "NAME=LOW:HIGH:log", "NAME=LOW:HIGH:STEP" or "NAME=A,B,C".

    Two integers are a range of integers. Dashes stand for underscores in names. Values that hold
    commas themselves are written as a JSON list of all values.

    Raises:
        ConfigError: Anything else.

    >>> parse_search("optimizer.learning-rate=1e-4:1e-2:log")
    ('optimizer.learning_rate', Range(low=0.0001, high=0.01, log=True, step=None))
    >>> parse_search("batch_size=2,4,8")[1].values, parse_search("preset=tiny,fast")[1].values
    ((2, 4, 8), ('tiny', 'fast'))
    """
    name, equals, wanted = (part.strip() for part in text.partition("="))
    if not (equals and wanted and _NAME.fullmatch(name)):
        raise ConfigError(f"--search takes NAME=LOW:HIGH[:log] or NAME=A,B,C, got {text!r}")
    try:
        return name.replace("-", "_"), _parse_wanted(wanted)
    except ConfigError as error:
        raise ConfigError(f"--search {name}: {error}") from error


def _parse_wanted(text: str) -> Search:
    """Read the part after the equals sign, see `parse_search`.

    Raises:
        ConfigError: Neither a range nor choices.
    """
    if text.startswith("["):
        return _listed(text)
    low, *others = text.split(":")
    if others and all(_number(part) is not None for part in (low, others[0])):
        return _range(text, [low, *others])
    return Choices(values=tuple(_value(part.strip()) for part in text.split(",") if part.strip()))


def to_space(
    search: Sequence[str] | Mapping[str, Search | str], default: SearchSpace
) -> SearchSpace:
    """Return what is searched: nothing stated means the default.

    Args:
        search: Texts as `parse_search` takes them, or name -> range, choices or their text.
            "default" among the texts (or as a name) adds the default space; what is stated by
            name takes the place of what it says there.
        default: The default space.

    Raises:
        ConfigError: A text that cannot be read, or an option that comes twice.
    """
    if not search:
        return dict(default)
    space: SearchSpace = {}
    stated: SearchSpace = {}
    items = search.items() if isinstance(search, Mapping) else ((text, None) for text in search)
    for text, wanted in items:
        if text.strip() == DEFAULT:
            space |= default
            continue
        name, found = parse_search(text) if wanted is None else _named(text, wanted)
        if name in stated:
            raise ConfigError(f"--search names {name} twice: leave one out")
        stated[name] = found
    return space | stated


def _named(name: str, wanted: Search | str) -> tuple[str, Search]:
    found = _parse_wanted(wanted) if isinstance(wanted, str) else wanted
    return name.replace("-", "_"), found


def _range(text: str, parts: list[str]) -> Range:
    low, high = _number(parts[0]), _number(parts[1])
    assert low is not None
    assert high is not None
    if len(parts) == 2:
        return Range(low=low, high=high)
    last = parts[2].strip()
    if len(parts) == 3 and last == "log":
        return Range(low=low, high=high, log=True)
    if len(parts) == 3 and (step := _number(last)) is not None:
        return Range(low=low, high=high, step=step)
    raise ConfigError(f"a range is LOW:HIGH, LOW:HIGH:log or LOW:HIGH:STEP, got {text!r}")


def _listed(text: str) -> Choices:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{text!r} begins like a JSON list and is none: {error}") from error
    plain = [
        value if isinstance(value, bool | int | float | str) else json.dumps(value)
        for value in values
    ]
    return Choices(values=tuple(plain))


def _value(text: str) -> Value:
    number = _number(text)
    return text if number is None else number


def _number(text: str) -> int | float | None:
    text = text.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
