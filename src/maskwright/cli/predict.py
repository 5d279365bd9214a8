"""`maskwright predict`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

if TYPE_CHECKING:
    from maskwright.inference import ClassMapRun, PredictionRun, Predictor

__all__ = ["predict"]

Output = Literal["overlay", "coco", "labelmap", "masks", "csv", "classmap"]


def predict(
    model: str,
    sources: Annotated[tuple[str, ...], Parameter(negative="")],
    /,
    *,
    out: Path = Path("results"),
    semantic: Annotated[bool, Parameter(negative="")] = False,
    write: Annotated[tuple[Output, ...], Parameter(negative="", consume_multiple=True)] = (),
    score_threshold: Annotated[
        float | str | None, Parameter(name=("--score-threshold", "--threshold"))
    ] = None,
    classes: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
    nms_threshold: float | None = None,
    remove_overlaps: bool = False,
    tighten_boxes: bool = False,
    min_area: float = 0.0,
    pixel_size: float | None = None,
    batch_size: Literal["auto"] | int = 1,
    tiles: Literal["auto"] | int | None = None,
    overlap: int | None = None,
    tta: str | None = None,
    ensemble: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    ensemble_weights: Annotated[
        tuple[float, ...], Parameter(consume_multiple=True, negative="")
    ] = (),
    weights: str | None = None,
    device: str | None = None,
    runtime: str = "auto",
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
    ray: str | None = None,
    parallel: int | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Find the objects in pictures and write masks, tables and overlays.

    A picture that cannot be read is reported at the end, and the command then ends with exit
    code 1; the others are done.

    With --semantic every pixel gets a class instead, by a semantic model or one with the mask head
    fcn or deeplab: overlays with a legend, class maps and pixels per class.

    Args:
        model: A model file.
        sources: Pictures, folders and patterns.
        out: Folder for the results.
        semantic: Give every pixel a class, and find no objects.
        write: What to write, by default all: overlay (pictures to look at), coco (results.json
            for scoring), labelmap (16-bit PNG), masks (a PNG per object), csv (a row of
            measurements per object). With --semantic: overlay, classmap (PNG: 0 background, then
            the classes of classes.json), csv (pixels per picture and class).
        score_threshold: Lowest score to keep. By default 0.5, but in results.json all that the
            model gives, for scoring. Of a calibrated model also auto, auto:f1,
            auto:precision=0.9, auto:recall=0.9: class by class what reaches that.
        classes: Keep only these classes.
        nms_threshold: Of two objects of one class whose masks overlap more than this (IoU), the
            less sure goes.
        remove_overlaps: Give shared pixels to the surer object.
        tighten_boxes: Fit boxes to the masks.
        min_area: Smallest object to keep, in pixels.
        pixel_size: Length of a pixel's side in your unit, for the measurements.
        batch_size: Pictures, or tiles, that go through the network together; auto measures how
            many are quickest. Pictures of other sizes are padded to the largest of their batch.
        tiles: Cut large pictures into overlapping tiles of so many pixels a side and join the
            objects across their seams; auto takes the size of the pictures the model was trained
            on. TIFF files are then read part by part. By default pictures go whole.
        overlap: Pixels that neighbouring tiles share. By default as much as large objects need.
        tta: Test-time augmentation: fuse what is found in several views, flips (and mirrored),
            vertical-flips, scales (0.8, 1, 1.25), or some of them joined by +.
        ensemble: More models, whose objects are fused with those of MODEL.
        ensemble_weights: Of MODEL and of each of those; by default all alike.
        weights: For torchvision/NAME models: a file, or download.
        device: cpu, cuda or mps. By default the best there is.
        runtime: What runs the model: torch (our engine: the model's results in less time), eager
            (the model as it was trained), onnx, openvino, measured (the quickest of those here,
            which is then remembered), or auto (what was remembered, else the engine).
        precision: What the network computes in; only fp32 gives the model's exact results.
        ray: Predict on Ray (extra maskwright[ray]), with the same results: local starts it on this
            machine, auto or an address takes a cluster. Sources may then be shards as well, and
            the same command goes on after an interruption.
        parallel: Workers on Ray. By default one for each GPU, or each processor core.
        json_: Print a summary as JSON, and nothing else.
    """
    from maskwright.cli.progress import pictures_bar
    from maskwright.inference import OUTPUTS, ModelChoice, PostProcessing, load, predict_to_folder

    if parallel is not None and ray is None:
        raise ConfigError("--parallel is of workers on Ray: add --ray, or --ray ADDRESS")

    if semantic:
        options = {
            "--score-threshold": score_threshold,
            "--classes": classes,
            "--nms-threshold": nms_threshold,
            "--remove-overlaps": remove_overlaps,
            "--tighten-boxes": tighten_boxes,
            "--min-area": min_area,
            "--pixel-size": pixel_size,
            "--tiles": tiles,
            "--overlap": overlap,
            "--tta": tta,
            "--ensemble": ensemble,
        }
        _refuse_options_of_objects(options)
        if ray is not None:
            raise ConfigError("class maps are not predicted on Ray: leave --ray or --semantic out")
        predictor = load(
            model, weights=weights, device=device, runtime=runtime, precision=precision
        )
        return _predict_class_maps(
            predictor,
            sources,
            out,
            write=write,
            batch_size=1 if batch_size == "auto" else batch_size,
            as_json=json_,
        )
    steps = PostProcessing(
        score_threshold=None if isinstance(score_threshold, str) else score_threshold,
        classes=classes or None,
        nms_threshold=nms_threshold,
        remove_overlaps=remove_overlaps,
        tighten_boxes=tighten_boxes,
        min_area=min_area,
    )
    if overlap is not None and tiles is None:
        raise ConfigError("--overlap is of tiles: add --tiles auto, or --tiles SIDE")
    choice = ModelChoice(
        model=model,
        weights=weights,
        device=device,
        tta=tta,
        ensemble=ensemble,
        ensemble_weights=ensemble_weights,
        runtime=runtime,
        precision=precision,
    )
    if ray is not None:
        from maskwright.inference import PartOptions, predict_on_ray

        part_options = PartOptions(
            model=choice,
            outputs=write or OUTPUTS,
            steps=steps,
            score_threshold=score_threshold,
            batch_size=_counted(batch_size),
            pixel_size=pixel_size,
            tiles=tiles,
            overlap=overlap,
        )
        with pictures_bar("Predicting", quiet=json_) as progress:
            run = predict_on_ray(
                sources, out, part_options, ray=ray, parallel=parallel, progress=progress
            )
        return _report(run, out, as_json=json_)
    predictor = choice.open()
    steps = replace(steps, score_threshold=predictor.score_thresholds(score_threshold))
    unit = "pictures" if tiles is None else "tiles"
    with pictures_bar("Predicting", unit=unit, quiet=json_) as progress:
        run = predict_to_folder(
            predictor,
            sources,
            out,
            outputs=write or OUTPUTS,
            steps=steps,
            batch_size=batch_size,
            pixel_size=pixel_size,
            tiles=tiles,
            overlap=overlap,
            progress=progress,
        )
    return _report(run, out, as_json=json_)


def _counted(batch_size: Literal["auto"] | int) -> int:
    if batch_size == "auto":
        raise ConfigError("--batch-size auto measures one machine: with --ray give a number")
    return batch_size


def _report(run: PredictionRun, out: Path, *, as_json: bool) -> int:
    for note in run.notes:
        print(f"maskwright: {note}", file=sys.stderr)  # noqa: T201
    what = f"{run.num_objects} objects in {run.num_images} pictures"
    _print(run, {"objects": run.num_objects}, what, out, as_json=as_json)
    return 1 if run.failures else 0


def _refuse_options_of_objects(options: Mapping[str, object]) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise ConfigError(f"{given[0]} is about objects, and --semantic finds none: leave it out")


def _predict_class_maps(
    predictor: Predictor,
    sources: Sequence[str],
    out: Path,
    *,
    write: Sequence[str],
    batch_size: int,
    as_json: bool,
) -> int:
    from maskwright.cli.progress import pictures_bar
    from maskwright.inference import CLASS_MAP_OUTPUTS, class_maps_to_folder

    with pictures_bar("Predicting", quiet=as_json) as progress:
        run = class_maps_to_folder(
            predictor,
            sources,
            out,
            outputs=write or CLASS_MAP_OUTPUTS,
            batch_size=batch_size,
            progress=progress,
        )
    _print(run, {"pixels": run.pixels}, _shares(run), out, as_json=as_json)
    return 1 if run.failures else 0


def _shares(run: ClassMapRun) -> str:
    """Say what the pictures show, the largest part first."""
    total = max(sum(run.pixels.values()), 1)
    largest = sorted(run.pixels.items(), key=lambda item: -item[1])[:5]
    named = [f"{name} {100 * count / total:.1f} %" for name, count in largest if count]
    return f"class maps of {run.num_images} pictures ({', '.join(named) or 'no pixels'})"


def _print(
    run: PredictionRun | ClassMapRun,
    numbers: Mapping[str, object],
    sentence: str,
    out: Path,
    *,
    as_json: bool,
) -> None:
    for failure in run.failures:
        print(f"maskwright: left out {failure.path}: {failure.reason}", file=sys.stderr)  # noqa: T201
    if as_json:
        summary = {
            "out": str(out),
            "pictures": run.num_images,
            **numbers,
            "written": [str(path) for path in run.written],
            "failures": [{"path": str(f.path), "reason": f.reason} for f in run.failures],
        }
        print(json.dumps(summary))  # noqa: T201
        return
    print(f"{sentence}; results are in {out}")  # noqa: T201
