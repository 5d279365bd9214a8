"""The names of models to compare, and the time each may take."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from maskwright.errors import ConfigError

__all__ = ["Contestant", "parse_budget", "parse_contestants"]

_MINUTES = {"s": 1 / 60, "m": 1.0, "h": 60.0}


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A pair of detector and mask head, on a backbone.

    Args:
        detector: Its kind, such as "faster-rcnn".
        mask_head: Its kind, such as "mask-rcnn".
        backbone: Its name; None leaves it to the preset.
    """

    detector: str
    mask_head: str
    backbone: str | None = None

    @property
    def pair(self) -> str:
        """Detector and mask head as `train` takes them."""
        return f"{self.detector}+{self.mask_head}"

    @property
    def name(self) -> str:
        """The pair, and the backbone where it was named."""
        return self.pair if self.backbone is None else f"{self.pair}@{self.backbone}"

    @property
    def folder(self) -> str:
        """The name as a folder may be called; timm's names may hold slashes and colons."""
        return re.sub(r"[^\w.+@-]", "_", self.name)


def parse_contestants(models: str | Sequence[str]) -> list[Contestant]:
    """Read the names of models, "detector+mask-head" or "detector+mask-head@backbone".

    Whether the parts exist is checked where recipes are chosen.

    Args:
        models: Names, or one text with commas between them.

    Raises:
        ConfigError: No name, one of another form, or one that comes twice.

    >>> [one.name for one in parse_contestants("yolo+fcn, faster_rcnn+mask_rcnn@resnet18")]
    ['yolo+fcn', 'faster-rcnn+mask-rcnn@resnet18']
    """
    names = models.split(",") if isinstance(models, str) else models
    found: list[Contestant] = []
    for name in names:
        if not name.strip():
            continue
        match = re.fullmatch(r"([\w-]+)\+([\w-]+)(?:@(\S+))?", name.strip())
        if match is None:
            raise ConfigError(
                f"a model to compare is detector+mask-head or detector+mask-head@backbone, "
                f"such as faster-rcnn+mask-rcnn@resnet18, got {name.strip()!r}"
            )
        one = Contestant(
            detector=match[1].replace("_", "-"),
            mask_head=match[2].replace("_", "-"),
            backbone=match[3],
        )
        if one in found:
            raise ConfigError(f"{one.name} is named twice: leave one out")
        found.append(one)
    if not found:
        raise ConfigError(
            "there is no model to compare: name some, such as "
            "faster-rcnn+mask-rcnn,faster-rcnn+mask-rcnn@resnet18"
        )
    return found


def parse_budget(text: str) -> float:
    """Return the minutes that a text such as "10m", "90s" or "1.5h" stands for.

    Raises:
        ConfigError: Not a number above 0 with one of these units.

    >>> parse_budget("90s"), parse_budget("1h")
    (1.5, 60.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip().lower())
    minutes = float(match[1]) * _MINUTES[match[2]] if match else 0.0
    if not 0 < minutes < math.inf:
        raise ConfigError(
            f"a budget is a time above 0 with its unit, 90s, 10m or 1h for example, got {text!r}"
        )
    return minutes
