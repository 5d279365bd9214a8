"""`maskwright export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

__all__ = ["export"]


def export(
    model: str,
    /,
    *,
    out: Path,
    to: Literal["onnx", "openvino", "torch-export"] = "onnx",
    data: Path | None = None,
    max_ap_drop: float | None = None,
    int8: Annotated[bool, Parameter(negative="")] = False,
    calibrate: Path | None = None,
    end_to_end: Annotated[bool, Parameter(negative="")] = False,
    full_masks: Annotated[bool, Parameter(negative="")] = False,
    images: Path | None = None,
    subset: Literal["train", "validation", "test"] | None = None,
    weights: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Write a model as graphs for another runtime, if they predict what the model does.

    The folder holds the graphs, config.json and a README that says how to call them; predict and
    evaluate take it in place of a model file. Every graph's outputs are held against the model's
    on noise. With --data the scores of both on real pictures are compared, too, and the folder is
    not kept where they fall by more than --max-ap-drop.

    Args:
        model: A model file, a run folder, or torchvision/NAME.
        out: The folder to make.
        to: onnx for ONNX Runtime and others, openvino, or torch-export.
        data: Annotated pictures of any known format, file or folder.
        max_ap_drop: By how much AP, boundary AP and mask IoU may fall, 0 to 1. By default 0.0001,
            with --int8 0.005.
        int8: Compute in 8-bit integers: faster, less exact. Layers that the scores on --data do
            not allow it for stay in float32.
        calibrate: With --int8: annotated pictures to learn the ranges of values from, best those
            of the training.
        end_to_end: Write one ONNX graph that takes pictures as they are and gives detections, to
            be run without maskwright: resize, choice of boxes and masks are in it. With --data
            it has to find the same objects as the model.
        full_masks: With --end-to-end: the graph also gives masks of the size of the pictures.
        images: Folder of the pictures, if it is not beside the annotations.
        subset: Compare only on these pictures of the split that was made when the model was
            trained.
        weights: For torchvision/NAME models: a file, or download.
        json_: Print everything as JSON, and nothing else.
    """
    from maskwright.cli.evaluate import open_subset
    from maskwright.cli.progress import pictures_bar
    from maskwright.data import open_dataset
    from maskwright.recipes import export_model

    if int8 != (calibrate is not None):
        raise ConfigError("--int8 and --calibrate DATA go together: add the one that is missing")
    dataset = None if data is None else open_dataset(data, images=images)
    if dataset is not None and subset is not None:
        dataset = open_subset(dataset, model, subset)
    exported = export_model(
        model,
        out,
        to=to,
        data=dataset,
        max_ap_drop=max_ap_drop,
        calibrate=None if calibrate is None else open_dataset(calibrate, images=images),
        end_to_end=end_to_end,
        full_masks=full_masks,
        weights=weights,
        progress=lambda title: pictures_bar(title, quiet=json_),
    )
    if json_:
        print(json.dumps(exported.as_dict()))  # noqa: T201
        return 0
    if exported.parity is not None:
        from rich.console import Console

        Console().print(exported.parity.to_table())
    kept = exported.header.in_fp32
    note = f" ({', '.join(kept)} in fp32)" if kept else ""
    note += ", end to end" if exported.header.end_to_end else ""
    print(  # noqa: T201
        f"{exported.path}: {exported.header.to}, {exported.header.precision}{note}, "
        f"{exported.megabytes:.1f} MB; README.md says how to call it"
    )
    return 0
