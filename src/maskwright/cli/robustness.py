"""`maskwright robustness`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

__all__ = ["robustness"]


def robustness(
    model: str,
    data: Path,
    /,
    *,
    out: Path,
    corruptions: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    strengths: Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative="")] = (
        1,
        2,
        3,
        4,
        5,
    ),
    limit: int | None = None,
    seed: int = 0,
    reference_side: int = 224,
    replicates: int = 1000,
    tta: str | None = None,
    images: Path | None = None,
    subset: Literal["train", "validation", "test"] | None = None,
    batch_size: int = 1,
    weights: str | None = None,
    device: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Measure how well a model holds out under noise, blur, weather, light, compression, cover.

    Scores the pictures as they are and under every corruption at five strengths: mask, boundary
    and box AP, mPC (the mean AP under corruption) and rPC (mPC over the clean AP). Noise, blur,
    weather, light and compression are those of ImageNet-C; frost is made up, rain, darkness and
    occlusion are ours. Each result is written as it is measured, and the same command again goes
    on where it was stopped.

    Args:
        model: A model file or a run folder.
        data: Annotated pictures of any known format (COCO, YOLO, LabelMe, ...), file or folder.
        out: Folder for robustness.json, robustness.csv, robustness.png and samples.png.
        corruptions: Which ones, by default all: gaussian-noise shot-noise impulse-noise
            gaussian-blur defocus-blur motion-blur zoom-blur snow frost fog rain brightness
            darkness contrast jpeg pixelate patches objects.
        strengths: Which ones of 1 to 5.
        limit: Take so many pictures, drawn by the seed. By default all.
        seed: Of that draw and of the corruptions. They depend on it and the picture's name alone.
        reference_side: Lengths, such as that of a blur, are those of pictures of so many pixels a
            side and grow with the picture. 0 takes them as pixels of any picture.
        replicates: Of the bootstrap over pictures for the clean AP; 0 for no interval.
        tta: Average over mirrored or scaled views: flips, scales, flips+scales.
        images: Folder of the pictures, if it is not beside the annotations.
        subset: Take only these pictures of the split that was made when the model was trained.
        batch_size: Pictures that go through the network together.
        weights: For torchvision/NAME models: a file, or download.
        device: cpu, cuda or mps. By default the best there is.
        json_: Print everything as JSON, and nothing else.
    """
    from maskwright.cli.evaluate import open_model_and_data
    from maskwright.cli.progress import pictures_bar
    from maskwright.recipes import (
        RobustnessOptions,
        fingerprint_of_model,
        measure_robustness,
        write_robustness_files,
    )

    options = RobustnessOptions(
        corruptions=corruptions,
        strengths=strengths,
        limit=limit,
        seed=seed,
        reference_side=reference_side or None,
        num_replicates=replicates,
    )
    predictor, dataset = open_model_and_data(model, data, images, subset, weights, device, tta=tta)
    name = fingerprint_of_model(model) + (f" with {tta}" if tta else "")
    with pictures_bar("Corrupting and scoring", quiet=json_) as progress:
        result = measure_robustness(
            predictor,
            dataset,
            out,
            options=options,
            model=name,
            batch_size=batch_size,
            progress=progress,
        )
    written = write_robustness_files(result, out, dataset=dataset, options=options)
    if json_:
        files = [str(out / "robustness.json"), *map(str, written)]
        print(json.dumps(result.as_dict() | {"out": str(out), "written": files}))  # noqa: T201
        return 0
    from rich.console import Console

    Console().print(result.to_table())
    print(f"numbers, plots and samples are in {out}")  # noqa: T201
    return 0
