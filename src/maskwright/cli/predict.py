"""`maskwright predict`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

if TYPE_CHECKING:
    from maskwright.inference import PredictionRun

__all__ = ["predict"]

Output = Literal["overlay", "coco", "labelmap", "masks", "csv"]


def predict(
    model: str,
    sources: Annotated[tuple[str, ...], Parameter(negative="")],
    /,
    *,
    out: Path = Path("results"),
    write: Annotated[tuple[Output, ...], Parameter(negative="", consume_multiple=True)] = (
        "overlay",
        "coco",
        "labelmap",
        "masks",
        "csv",
    ),
    score_threshold: float | None = None,
    classes: Annotated[tuple[str, ...], Parameter(negative="", consume_multiple=True)] = (),
    nms_threshold: float | None = None,
    remove_overlaps: bool = False,
    tighten_boxes: bool = False,
    min_area: float = 0.0,
    pixel_size: float | None = None,
    batch_size: int = 1,
    tiles: Literal["auto"] | int | None = None,
    overlap: int | None = None,
    weights: str | None = None,
    device: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Find the objects in pictures and write masks, tables and overlays.

    A picture that cannot be read is reported at the end, and the command then ends with exit
    code 1; the others are done.

    Args:
        model: A model file.
        sources: Pictures, folders and patterns.
        out: Folder for the results.
        write: What to write: overlay (pictures to look at), coco (results.json for scoring),
            labelmap (16-bit PNG), masks (a PNG per object), csv (a row of measurements per
            object).
        score_threshold: Lowest score to keep. By default 0.5, but in results.json all that the
            model gives, for scoring.
        classes: Keep only these classes.
        nms_threshold: Of two objects of one class whose masks overlap more than this (IoU), the
            less sure goes.
        remove_overlaps: Give shared pixels to the surer object.
        tighten_boxes: Fit boxes to the masks.
        min_area: Smallest object to keep, in pixels.
        pixel_size: Length of a pixel's side in your unit, for the measurements.
        batch_size: Pictures, or tiles, that go through the network together.
        tiles: Cut large pictures into overlapping tiles of so many pixels a side and join the
            objects across their seams; auto takes the size of the pictures the model was trained
            on. TIFF files are then read part by part. By default pictures go whole.
        overlap: Pixels that neighbouring tiles share. By default as much as large objects need.
        weights: For torchvision/NAME models: a file, or download.
        device: cpu, cuda or mps. By default the best there is.
        json_: Print a summary as JSON, and nothing else.
    """
    from maskwright.cli.progress import pictures_bar
    from maskwright.inference import PostProcessing, load, predict_to_folder

    steps = PostProcessing(
        score_threshold=score_threshold,
        classes=classes or None,
        nms_threshold=nms_threshold,
        remove_overlaps=remove_overlaps,
        tighten_boxes=tighten_boxes,
        min_area=min_area,
    )
    if overlap is not None and tiles is None:
        raise ConfigError("--overlap is of tiles: add --tiles auto, or --tiles SIDE")
    predictor = load(model, weights=weights, device=device)
    unit = "pictures" if tiles is None else "tiles"
    with pictures_bar("Predicting", unit=unit, quiet=json_) as progress:
        run = predict_to_folder(
            predictor,
            sources,
            out,
            outputs=write,
            steps=steps,
            batch_size=batch_size,
            pixel_size=pixel_size,
            tiles=tiles,
            overlap=overlap,
            progress=progress,
        )
    _print(run, out, as_json=json_)
    return 1 if run.failures else 0


def _print(run: PredictionRun, out: Path, *, as_json: bool) -> None:
    for failure in run.failures:
        print(f"maskwright: left out {failure.path}: {failure.reason}", file=sys.stderr)  # noqa: T201
    for note in run.notes:
        print(f"maskwright: {note}", file=sys.stderr)  # noqa: T201
    if as_json:
        summary = {
            "out": str(out),
            "pictures": run.num_images,
            "objects": run.num_objects,
            "written": [str(path) for path in run.written],
            "failures": [{"path": str(f.path), "reason": f.reason} for f in run.failures],
        }
        print(json.dumps(summary))  # noqa: T201
        return
    print(f"{run.num_objects} objects in {run.num_images} pictures; results are in {out}")  # noqa: T201
