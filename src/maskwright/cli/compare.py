"""`maskwright compare`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from maskwright.recipes import Comparison

__all__ = ["compare"]


def compare(
    data: Path,
    /,
    *,
    models: str,
    out: Path,
    budget: str = "10m",
    val: Path | None = None,
    images: Path | None = None,
    groups: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    pictures: Literal["auto", "rgb", "stored"] = "auto",
    preset: Literal["tiny", "fast", "best"] | None = None,
    weights: str | None = None,
    seed: int = 0,
    device: str | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Train models alike on the same pictures, score and time them, and recommend one.

    Each model gets the same data, split, seed and wall-clock budget. OUT holds the table (CSV,
    JSON, Markdown), a plot of speed against accuracy, sample pictures and every run. After an
    interruption the same command goes on; finished models are not trained again. Ends with exit
    code 1 if a training failed.

    Args:
        data: Annotated pictures of any known format, file or folder; split 70/15/15 into training,
            validation and test pictures, which are scored.
        models: Names with commas between them, each detector+mask-head or
            detector+mask-head@backbone.
        out: Folder of the comparison.
        budget: Time for each training, such as 90s, 10m or 1h.
        val: Annotations of validation pictures, to be scored in place of test pictures.
        images: Folder of the pictures, if it is not beside the annotations.
        groups: What the split keeps together, as for `data split`: field:NAME, name:PATTERN or
            near-duplicates.
        pictures: auto keeps 16 bits, floats and more than three channels, and takes other pictures
            as RGB of 8 bits; rgb takes all as RGB of 8 bits; stored keeps alpha and grey as well.
        preset: tiny for a trial, fast for a CPU, best for a GPU. By default what fits the machine.
        weights: Where backbones start: none, package, download, or a file.
        seed: Of split, weights, order and augmentation.
        device: cpu, cuda or mps. By default the best there is.
        set_: Set an option of every recipe: name=value.
        json_: Print the table as JSON, and nothing else.
    """
    from maskwright import recipes
    from maskwright.cli.train import parse_overrides

    comparison = recipes.compare(
        data,
        models=models,
        budget=budget,
        out=out,
        validation=val,
        images=images,
        groups=groups,
        pictures=pictures,
        preset=preset,
        weights=weights,
        seed=seed,
        overrides=parse_overrides(set_),
        device=device,
        say=lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
        quiet=json_,
    )
    _print(comparison, as_json=json_)
    return 1 if comparison.failures else 0


def _print(comparison: Comparison, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([one.as_dict() for one in comparison.models]))  # noqa: T201
        return
    from rich.console import Console

    console = Console()
    console.print(comparison.to_table())
    console.print(f"Table, plot and samples: {comparison.path}", highlight=False)
