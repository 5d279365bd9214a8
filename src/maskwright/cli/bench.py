"""`maskwright bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ["bench"]

_Many = Parameter(consume_multiple=True, negative="")


def bench(
    model: str,
    pictures: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    /,
    *,
    runtime: Annotated[tuple[str, ...], _Many] = (),
    precision: Annotated[tuple[Literal["fp32", "bf16", "int8"], ...], _Many] = ("fp32",),
    also: Annotated[tuple[str, ...], _Many] = (),
    against: Annotated[tuple[str, ...], _Many] = (),
    rounds: int = 9,
    size: str = "480x640",
    limit: int = 10,
    detections: int | None = None,
    weights: str | None = None,
    preset: Literal["tiny", "fast", "best"] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    keep_memory: bool = True,
    peer_python: str | None = None,
    out: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Measure a model on this machine, in any runtime, beside torchvision and others.

    From picture file to COCO results with run lengths: milliseconds by stage, pictures per second,
    arithmetic against the most that the machine computes, and memory. Each side is a process of
    its own, and all predict the same pictures in turn, so that ratios hold even where the machine
    does something else besides. What the sides find is compared.

    Args:
        model: A model file, a run folder, an exported folder or torchvision/NAME. With random
            weights: torchvision/NAME without --weights, or a model as train names it, with its
            backbone after an @.
        pictures: Pictures, folders and patterns. By default one of --size is made up.
        runtime: torch (our engine), eager (the model as it was trained), onnx, openvino, auto. By
            default torch and eager; of an exported folder what it was written for.
        precision: fp32, or bf16 where a runtime and the processor have it. For int8 name an
            exported folder.
        also: More models to measure beside it, such as exported folders.
        against: torchvision (its network of the same architecture, with the same weights),
            torchvision:NAME (another, with random weights), ultralytics:FILE (weights or an
            exported folder of that library, where it is installed), or module:function of your
            own, which returns predict(picture file) -> COCO results.
        rounds: Counted predictions of each picture, after two that are not.
        size: Of the picture that is made up, HEIGHTxWIDTH.
        limit: Of many pictures so many are taken.
        detections: Objects that are found in a picture at most; with random weights about so many.
        weights: For torchvision/NAME models: a file, or download.
        preset: Size of a model with random weights.
        device: Where ours runs; others run on the processor.
        threads: Of every side. By default what each library takes.
        keep_memory: Let our processes keep the memory that they have used, as predict does.
        peer_python: The python of the environment in which the others are installed.
        out: Write the figures to this file, as JSON.
        json_: Print the figures as JSON, and nothing else.
    """
    from maskwright.cli.progress import pictures_bar
    from maskwright.files import write_json
    from maskwright.recipes.benchmark import bench as measure
    from maskwright.recipes.benchmark import parse_size

    with pictures_bar("Measuring", unit="predictions", quiet=json_) as progress:
        found = measure(
            model,
            pictures,
            runtimes=runtime,
            precisions=precision,
            also=also,
            against=against,
            rounds=rounds,
            size=parse_size(size),
            limit=limit,
            detections=detections,
            weights=weights,
            preset=preset,
            device=device,
            threads=threads,
            keeps_memory=keep_memory,
            peer_python=peer_python,
            progress=progress,
        )
    if out is not None:
        write_json(out, found.as_dict())
    if json_:
        print(json.dumps(found.as_dict()))  # noqa: T201
        return 0
    from rich.console import Console

    Console().print(found.to_tables())
    return 0
