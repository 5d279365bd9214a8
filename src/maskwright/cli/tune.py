"""`maskwright tune`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from maskwright.recipes import Study

__all__ = ["tune"]


def tune(
    data: Path,
    /,
    *,
    out: Path,
    trials: int = 20,
    minutes: float | None = None,
    steps: int | None = None,
    search: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    val: Path | None = None,
    images: Path | None = None,
    groups: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    limit: int | None = None,
    task: Literal["instances", "semantic"] = "instances",
    model: str | None = None,
    backbone: str | None = None,
    preset: Literal["tiny", "fast", "best"] | None = None,
    weights: str | None = None,
    pictures: Literal["auto", "rgb", "stored"] = "auto",
    augment: str | None = None,
    pruner: Literal["median", "hyperband", "none"] = "median",
    keep: Literal["best", "all"] = "best",
    seed: int = 0,
    device: str | None = None,
    ray: str | None = None,
    parallel: int | None = None,
    follow_links: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Train again and again with other options, and find those that score best.

    Each trial is a training of the same length, scored on the validation pictures. The first does
    what `train` does by itself; those that fall behind are ended early. OUT holds the table
    (report.md, trials.csv, study.json), plots, every run, and the best model in OUT/best. After an
    interruption the same command goes on; with more --trials it adds some. Ends with exit code 1
    if a trial failed.

    Without --search a default space is tried: learning rate, warm-up, weight decay, augmentation
    and average; with --minutes also detector, input size, batch and preset; with a backbone that
    starts from weights its rate and freezing.

    Args:
        data: Annotated pictures of any known format, file or folder; split 70/15/15 without --val.
        out: Folder of the study.
        trials: Trials of the study in all.
        minutes: Length of each training by the clock.
        steps: Length of each training in steps. With neither, as long as train takes.
        search: What to vary: NAME=LOW:HIGH, NAME=LOW:HIGH:log, NAME=LOW:HIGH:STEP or NAME=A,B,C,
            where NAME is preset, model, backbone, weights, augment, input_scale or an option of
            the recipe (optimizer.learning_rate, batch_size ...); default adds the default space.
        val: Annotations of the validation pictures.
        images: Folder of the pictures, if it is not beside the annotations.
        groups: What the split keeps together, as for train.
        limit: Take so many training pictures, and no more validation pictures.
        task: instances finds objects; semantic gives every pixel a class.
        model: Detector and mask head of every trial.
        backbone: Backbone of every trial.
        preset: Preset of every trial.
        weights: Where backbones start: none, package, download, or a file.
        pictures: How pictures are read, as for train.
        augment: Augmentation of every trial.
        pruner: What ends trials early: median (worse than half of the others), hyperband, or none.
        keep: Whose model files stay: best or all.
        seed: Of split, trainings and search.
        device: cpu, cuda or mps. By default the best there is.
        ray: Run trials on Ray (extra maskwright[ray]): local starts it on this machine, auto or an
            address takes a cluster.
        parallel: Trials at once on Ray. By default one for each GPU, or each processor core.
        follow_links: Follow symbolic links that lead out of the folder of the data.
        set_: Set an option of every recipe: name=value.
        json_: Print everything as JSON, and nothing else.
    """
    from maskwright import recipes
    from maskwright.cli.train import parse_overrides

    study = recipes.tune(
        data,
        out=out,
        trials=trials,
        search=search,
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
        augment=augment,
        pruner=pruner,
        keep=keep,
        seed=seed,
        overrides=parse_overrides(set_),
        device=device,
        limit=limit,
        follow_links=follow_links,
        ray=ray,
        parallel=parallel,
        say=lambda line: print(line, file=sys.stderr, flush=True),  # noqa: T201
    )
    _print(study, as_json=json_)
    return 1 if study.failures else 0


def _print(study: Study, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(study.as_dict()))  # noqa: T201
        return
    from rich.console import Console

    console = Console()
    console.print(study.to_table())
    if study.best is not None:
        console.print(f"\nBest model: {study.path / 'best' / 'best.safetensors'}", highlight=False)
        console.print("Train longer with its values:", highlight=False)
        print(f"  {study.command}")  # noqa: T201
    console.print(f"Table and plots: {study.path / 'report.md'}", highlight=False)
