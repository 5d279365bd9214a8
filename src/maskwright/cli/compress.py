"""`maskwright compress`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

__all__ = ["compress"]


def compress(
    model: str | None = None,
    /,
    *,
    data: Path | None = None,
    out: Path | None = None,
    resume: Path | None = None,
    val: Path | None = None,
    method: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = ("prune",),
    target: str | None = None,
    teacher: str | None = None,
    student: str | None = None,
    backbone: str | None = None,
    preset: Literal["tiny", "fast", "best"] | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    int8: Annotated[bool, Parameter(negative="")] = False,
    to: Literal["onnx", "openvino"] = "onnx",
    calibrate: Path | None = None,
    max_ap_drop: float | None = None,
    images: Path | None = None,
    seed: int = 0,
    device: str | None = None,
    follow_links: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Make a trained model smaller or faster, and measure what that cost.

    Methods, one or several in the order in which they are named: prune takes channels out until
    there are --target times fewer multiply-adds and trains what is left; distill lets a new,
    smaller network learn from the model, or, with --teacher, the model from a larger one; quantise
    trains the model with its numbers rounded as int8 graphs round them. In the end a table shows
    size, multiply-adds, milliseconds and AP of every version on the validation pictures;
    OUT/table.md and OUT/table.json hold it, OUT/best.safetensors the model.

    Options of the training recipes can be set by dotted names as for train.

    Args:
        model: A model file or a run folder.
        data: Annotated pictures to train on, with the model's classes.
        out: The folder to make.
        resume: Go on with the compression in this folder.
        val: Annotations of the validation pictures. Without them DATA is split as train does.
        method: prune (the default), distill, quantise.
        target: How many times fewer multiply-adds, such as 2x, the default for prune.
        teacher: A larger model with the same classes, of any detector and mask head, that every
            training learns from besides the data.
        student: Detector and mask head of the new network of distill. By default the model's.
        backbone: Of the new network, as for train.
        preset: Of the new network. By default the largest that reaches the target.
        steps: Length of each training in optimiser steps. By default what fits the data.
        minutes: Length of each training by the clock.
        int8: Write int8 graphs of the result as well; quantise always does.
        to: What int8 graphs are written for.
        calibrate: Annotated pictures to learn ranges of int8 from. By default those in
            training.
        max_ap_drop: By how much int8 graphs may lose, 0 to 1; by default 0.005.
        images: Folder of the pictures, if it is not beside the annotations.
        seed: Of everything random.
        device: Where to train: cpu, cuda or mps. Times are measured on the processor.
        follow_links: Follow symbolic links that lead out of the folder of the data.
        set_: Set an option of the training recipes: name=value.
        json_: Print the table as JSON, and nothing else.
    """
    from maskwright.cli.progress import pictures_bar
    from maskwright.cli.train import parse_overrides
    from maskwright.recipes import compress as carry_out
    from maskwright.recipes import resume_compression

    if resume is not None:
        if model is not None or data is not None or out is not None:
            raise ConfigError(
                "--resume RUN goes on as it was begun: leave out MODEL, --data, --out"
            )
        done = resume_compression(
            resume,
            device=device,
            progress=lambda title: pictures_bar(title, quiet=json_),
            quiet=json_,
        )
    elif model is None or data is None or out is None:
        raise ConfigError("give MODEL, --data DATA and --out RUN, or --resume RUN")
    else:
        done = carry_out(
            model,
            data,
            out=out,
            method=method,
            target=target,
            validation=val,
            images=images,
            teacher=teacher,
            student=student,
            backbone=backbone,
            preset=preset,
            num_steps=steps,
            minutes=minutes,
            int8=int8,
            to=to,
            calibrate=calibrate,
            max_ap_drop=max_ap_drop,
            overrides=parse_overrides(set_),
            seed=seed,
            device=device,
            follow_links=follow_links,
            progress=lambda title: pictures_bar(title, quiet=json_),
            quiet=json_,
        )
    if json_:
        print(json.dumps(done.as_dict()))  # noqa: T201
        return 0
    from rich.console import Console

    Console().print(done.to_table())
    print(f"Model: {done.model}" + (f"; int8 graphs: {done.int8}" if done.int8 else ""))  # noqa: T201
    return 0
