"""`maskwright calibrate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

__all__ = ["calibrate"]


def calibrate(
    model: str,
    data: Path,
    /,
    *,
    out: Path | None = None,
    method: Literal["temperature", "logistic", "size"] = "logistic",
    precision: float | None = None,
    recall: float | None = None,
    iou_threshold: float = 0.5,
    binning: Literal["equal_mass", "equal_width"] = "equal_mass",
    bins: int = 15,
    plot: Path | None = None,
    images: Path | None = None,
    subset: Literal["train", "validation", "test"] | None = None,
    device: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Make scores probabilities and choose score thresholds, and store both in the model.

    From then on predict gives calibrated scores, and --score-threshold auto is the threshold of
    the highest F1 of each class, or of the precision or recall wanted here. Take pictures that the
    model has not learnt from. Scores keep their order within a class (not with method size, where
    they keep it among objects of one size), so AP does not change.

    Args:
        model: A model file, or a run folder, whose best model is calibrated.
        data: Annotated pictures of any known format, file or folder.
        out: Write a calibrated copy of the model here. By default the model file itself gets the
            calibration, whole or not at all.
        method: temperature stretches the scores' log-odds; logistic also shifts them; size also
            shifts them by the size of the object.
        precision: Let auto be the lowest threshold that reaches this precision, 0 to 1.
        recall: Let auto be the best threshold that reaches this recall, 0 to 1.
        iou_threshold: From which IoU a found object is right.
        binning: Bins of the calibration error: of equally many objects, or of equal width.
        bins: How many bins.
        plot: Write the reliability plot here, before and after.
        images: Folder of the pictures, if it is not beside the annotations.
        subset: Take only these pictures of the split that was made when the model was trained.
        device: cpu, cuda or mps. By default the best there is.
        json_: Print everything as JSON, and nothing else.
    """
    from maskwright.cli.evaluate import open_subset
    from maskwright.cli.progress import pictures_bar
    from maskwright.data import open_dataset
    from maskwright.recipes import calibrate_model, save_reliability_plot

    if precision is not None and recall is not None:
        raise ConfigError("--precision and --recall: auto can mean one of the two")
    default = "f1"
    for name, value in (("precision", precision), ("recall", recall)):
        if value is not None:
            default = f"{name}={value:g}"
    dataset = open_dataset(data, images=images)
    if subset is not None:
        dataset = open_subset(dataset, model, subset)
    with pictures_bar("Calibrating", quiet=json_) as progress:
        calibrated = calibrate_model(
            model,
            dataset,
            method=method,
            iou_threshold=iou_threshold,
            default_threshold=default,
            out=out,
            binning=binning,
            num_bins=bins,
            device=device,
            progress=progress,
        )
    if plot is not None:
        save_reliability_plot(calibrated, plot)
    if json_:
        print(json.dumps(calibrated.as_dict()))  # noqa: T201
        return 0
    from rich.console import Console

    Console().print(calibrated.to_table())
    print(f"the calibration is in {calibrated.path}")  # noqa: T201
    return 0
