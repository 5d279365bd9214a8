"""Which sides a benchmark has: the model in each runtime, more models, and peers."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from maskwright.errors import ConfigError, nearest_name
from maskwright.inference import RUNTIMES
from maskwright.model import InstanceSegmenter
from maskwright.model.torchvision_rcnn import RCNN_MODELS
from maskwright.model.torchvision_ssd import SSD_MODELS
from maskwright.recipes.benchmark.models import BenchModel
from maskwright.recipes.benchmark.twin import norm_eps, twin_name, twin_options, twin_state

__all__ = ["PEERS", "SideSpec", "our_sides", "peer_side"]

PEERS = ("torchvision", "ultralytics", "MODULE:FUNCTION")
"""What `against` takes; the last is a function of the user's."""


@dataclass(frozen=True, kw_only=True)
class SideSpec:
    """One side before it is started.

    Args:
        name: In tables.
        kind: As `child.py` knows it.
        options: What that kind takes.
        python: The interpreter; None for this one.
        same_weights: Whether its results should be the model's.
    """

    name: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    python: str | None = None
    same_weights: bool = True

    def as_message(self) -> dict[str, Any]:
        """Return what `child.py` reads."""
        return {"name": self.name, "kind": self.kind, **self.options}


def our_sides(
    model: BenchModel,
    runtimes: Sequence[str],
    precisions: Sequence[str],
    *,
    prefix: str = "",
    same_weights: bool = True,
    device: str | None,
    threads: int | None,
    keeps_memory: bool,
) -> list[SideSpec]:
    """Return the model in each runtime and precision that go together.

    Args:
        model: What is measured.
        runtimes: Of `RUNTIMES`, or "auto".
        precisions: Of the runtimes'; of an exported folder its own is taken.
        prefix: Before the runtime's name.
        same_weights: Whether results should be those of the other sides.
        device: As for `load`.
        threads: Of PyTorch and the runtimes; None leaves them.
        keeps_memory: Whether the process keeps memory that it has used, as the command line does.

    Raises:
        ConfigError: An unknown runtime or precision, or one that no runtime has.
    """
    common = {
        "model": os.path.abspath(model.path),
        "device": device,
        "threads": threads,
        "keeps_memory": keeps_memory,
    }
    if model.is_exported:
        return [
            SideSpec(
                name=f"{prefix or 'exported, '}{runtime}",
                kind="maskwright",
                options={**common, "runtime": runtime, "precision": "fp32"},
                same_weights=same_weights,
            )
            for runtime in runtimes
        ]
    _require_known(runtimes)
    sides = []
    for precision in precisions:
        able = [each for each in runtimes if each == "auto" or precision in _precisions(each)]
        if not able or precision == "int8":
            raise ConfigError(_nobody(precision, runtimes))
        for runtime in able:
            name = f"{prefix}{runtime}" + ("" if precision == "fp32" else f", {precision}")
            options = {**common, "runtime": runtime, "precision": precision}
            sides.append(
                SideSpec(name=name, kind="maskwright", options=options, same_weights=same_weights)
            )
    return sides


def peer_side(
    text: str,
    model: BenchModel,
    folder: Path,
    *,
    threads: int | None,
    python: str | None,
) -> SideSpec:
    """Return the side that `--against` names.

    Args:
        text: "torchvision" for its network of the model's architecture, with the model's weights;
            "torchvision:NAME" for another, with random ones; "ultralytics:FILE" for weights or an
            exported folder of that library's; "module:function" for a function that returns
            `predict(picture file) -> COCO results`.
        model: What is measured.
        folder: Where weights are written for the peer.
        threads: PyTorch's; None leaves them.
        python: The interpreter that has the peer; None for this one.

    Raises:
        ConfigError: An unknown peer, or one that has nothing of the model's architecture.
    """
    peer, _, argument = text.partition(":")
    if peer == "torchvision":
        return _torchvision(model, argument, folder, threads, python)
    if peer == "ultralytics":
        return _ultralytics(argument, threads, python)
    if not re.fullmatch(r"[\w.]+:\w+", text):
        near = nearest_name(peer, ["torchvision", "ultralytics"])
        raise ConfigError(
            f"there is no peer {text!r}.{near} There are torchvision, torchvision:NAME, "
            "ultralytics:FILE, and module:function for one of your own"
        )
    options = {"function": text, "folder": os.getcwd(), "threads": threads}
    return SideSpec(name=text, kind="own", options=options, python=python, same_weights=False)


def _torchvision(
    model: BenchModel, name: str, folder: Path, threads: int | None, python: str | None
) -> SideSpec:
    ours = model.model
    if name:
        known = RCNN_MODELS | SSD_MODELS
        if name not in known:
            raise ConfigError(
                f"torchvision has no detector {name!r}.{nearest_name(name, list(known))} There "
                f"are {', '.join(known)}"
            )
        options = {"network": name, "options": {"num_classes": 91}, "threads": threads}
        return SideSpec(
            name=f"torchvision {name}",
            kind="torchvision",
            options=options,
            python=python,
            same_weights=False,
        )
    if ours is None:
        raise ConfigError(
            f"{model.name} is exported; benchmark the model that it was made of, with --also "
            f"{model.name}, against torchvision"
        )
    name = twin_name(ours)
    assert isinstance(ours, InstanceSegmenter)
    built = twin_options(ours, name)
    weights = folder / "torchvision.pth"
    torch.save(twin_state(ours, name, built), weights)
    message = {
        "network": name,
        "options": built,
        "weights": str(weights),
        "norm_eps": norm_eps(ours),
        "threads": threads,
    }
    return SideSpec(name="torchvision", kind="torchvision", options=message, python=python)


def _ultralytics(weights: str, threads: int | None, python: str | None) -> SideSpec:
    # without a file it would be fetched over the network, which nobody has asked for
    if not weights or not (Path(weights).exists() or weights.endswith(".yaml")):
        raise ConfigError(
            f"--against ultralytics:FILE needs weights or an exported folder of Ultralytics' on "
            f"this machine, or one of its .yaml names for random weights, got {weights!r}"
        )
    path = os.path.abspath(weights) if Path(weights).exists() else weights
    return SideSpec(
        name=f"ultralytics {Path(weights).name}",
        kind="ultralytics",
        options={"weights": path, "options": {}, "threads": threads},
        python=python,
        same_weights=False,
    )


def _require_known(runtimes: Sequence[str]) -> None:
    for name in runtimes:
        if name != "auto" and name not in RUNTIMES:
            known = ["auto", *RUNTIMES]
            raise ConfigError(
                f"there is no runtime {name!r}.{nearest_name(name, known)} There are "
                f"{', '.join(known)}"
            )


def _precisions(runtime: str) -> tuple[str, ...]:
    return RUNTIMES[runtime].precisions


def _nobody(precision: str, runtimes: Sequence[str]) -> str:
    if precision == "int8":
        return (
            "int8 needs pictures to calibrate on: export the model with maskwright export --int8 "
            "--calibrate DATA and benchmark the folder, or add it with --also FOLDER"
        )
    return f"none of the runtimes {', '.join(runtimes)} computes in {precision!r}"
