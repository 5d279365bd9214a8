"""What a compression was asked to do, as one typed value that its folder stores as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from maskwright.errors import ConfigError, nearest_name
from maskwright.inference.export.sessions import Format
from maskwright.ops import PositiveCount
from maskwright.recipes.recipe import Preset

__all__ = ["METHODS", "Method", "Plan", "parse_methods", "parse_target"]

Method = Literal["prune", "distill", "quantise"]
"""prune: take channels out; distill: learn from a larger model; quantise: get used to int8."""

METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides what a compression does.

    Args:
        model: The model file to begin with.
        data: Annotations to train on.
        validation: Annotations to choose and score on; None takes parts of `data`.
        images: The folder of the pictures of `data`.
        groups: What a split of `data` keeps together.
        follow_links: As for `open_dataset`.
        methods: In the order in which they are applied.
        target: How many times fewer multiply-adds; None where no method needs one.
        teacher: Model file to learn from; None for none, or for `model` where a new network is
            taught.
        student: "detector+mask-head" of a new network, None for the model's own.
        backbone: Of a new network.
        preset: Of a new network; None takes the largest, or a smaller backbone, that reaches the
            target.
        num_steps: Length of each training run; None by the data.
        minutes: The same by the clock.
        int8: What int8 graphs are written to in the end; None writes none.
        calibrate: Annotations to learn ranges from; None takes the training pictures.
        max_ap_drop: As for `export_model`.
        overrides: Options of the recipes by dotted name.
        seed: Of everything random.
    """

    model: str
    data: str
    validation: str | None = None
    images: str | None = None
    groups: tuple[str, ...] = ()
    follow_links: bool = False
    methods: tuple[Method, ...] = ("prune",)
    target: Annotated[float, Field(gt=1)] | None = None
    teacher: str | None = None
    student: str | None = None
    backbone: str | None = None
    preset: Preset | None = None
    num_steps: PositiveCount | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    int8: Format | None = None
    calibrate: str | None = None
    max_ap_drop: Annotated[float, Field(ge=0, le=1)] | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    seed: Annotated[int, Field(ge=0)] = 0


def parse_target(text: str | float) -> float:
    """Return how many times fewer multiply-adds are wanted.

    Raises:
        ConfigError: Not a number above 1, with or without an x behind it.

    >>> parse_target("2x"), parse_target("1.5"), parse_target(3)
    (2.0, 1.5, 3.0)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*[xX]?\s*", str(text))
    if match is None or not float(match[1]) > 1:
        raise ConfigError(
            f"the target is how many times fewer multiply-adds there shall be, a number above 1 "
            f"such as 2x, got {text!r}"
        )
    return float(match[1])


def parse_methods(methods: str | Sequence[str]) -> tuple[Method, ...]:
    """Return the methods in their order, from names or one text with commas.

    Raises:
        ConfigError: None, an unknown one, or one that comes twice.

    >>> parse_methods("prune, quantise")
    ('prune', 'quantise')
    """
    texts = [methods] if isinstance(methods, str) else list(methods)
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    known = {name: name for name in METHODS} | {"quantize": "quantise"}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"there is no method {name!r}.{nearest_name(name, METHODS)} There are: "
                f"{', '.join(METHODS)}"
            )
    found = [known[name] for name in names]
    if not found or len(set(found)) < len(found):
        raise ConfigError(f"name one or more of {', '.join(METHODS)}, each once, got {names}")
    return tuple(each for name in found for each in METHODS if each == name)
