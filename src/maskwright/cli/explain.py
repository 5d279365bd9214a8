"""`maskwright explain`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

__all__ = ["explain"]


def explain(
    model: str,
    picture: Path,
    /,
    *,
    out: Path = Path("explanation"),
    objects: Annotated[tuple[int, ...], Parameter(negative="", consume_multiple=True)] = (),
    top: int = 3,
    score_threshold: Annotated[
        float | str, Parameter(name=("--score-threshold", "--threshold"))
    ] = 0.5,
    method: Literal["auto", "gradients", "occlusion"] = "auto",
    target: Literal["object", "class", "mask"] = "object",
    fill: Literal["mean", "blur"] = "mean",
    steps: int = 32,
    patches: int = 12,
    faithfulness: bool = True,
    neighbours: int = 5,
    data: Path | None = None,
    images: Path | None = None,
    index: Path | None = None,
    batch_size: int = 4,
    seed: int = 0,
    device: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Show why a model finds the objects of a picture.

    A heat map of what speaks for each object, how much of that lies in its mask, around it and
    elsewhere, a check whether the map is right (deletion: lower is better; insertion: higher is
    better; each beside an order by chance), and the training objects that look most like it to
    the network. A share elsewhere says that the model goes by something else than the object; a
    near neighbour of another class, that it was taught to.

    Args:
        model: A model file or a run folder.
        picture: The picture.
        out: Folder for object_N.png, sheet.png and explain.json.
        objects: Numbers of the objects to explain, from 1 by falling score.
        top: Without --objects, explain the surest so many.
        score_threshold: Lowest score of the objects that are numbered, or auto.
        method: gradients (integrated gradients, needs captum), occlusion (covers patch after
            patch; for any model, slower), or auto: gradients where they can be had.
        target: Explain the whole object, its class alone, or its mask alone.
        fill: What covers: the picture's mean colour, or the picture blurred.
        steps: Steps of the integrated gradients.
        patches: Patches of occlusion per side of the window about an object.
        faithfulness: Measure deletion and insertion, some 50 predictions for each object.
        neighbours: Training objects to show of each object; 0 for none.
        data: The training data. By default that of the run the model lies in.
        images: Folder of its pictures, if it is not beside the annotations.
        index: File that keeps the features of the training objects. By default objects.npz
            beside the model.
        batch_size: Copies of the picture that go through the network together.
        seed: Of the sample of training objects (20,000 at most) and the order by chance.
        device: cpu, cuda or mps. By default the best there is.
        json_: Print everything as JSON, and nothing else.
    """
    if picture.is_dir():
        raise ConfigError(f"{picture} is a folder: explain looks at one picture at a time")
    from maskwright.cli.progress import pictures_bar
    from maskwright.recipes import explain as explain_picture
    from maskwright.recipes import write_explanation

    with pictures_bar("Explaining", unit="done", quiet=json_) as progress:
        explanation = explain_picture(
            model,
            picture,
            objects=objects,
            top=top,
            score_threshold=score_threshold,
            method=method,
            target=target,
            fill=fill,
            num_steps=steps,
            patches=patches,
            faithfulness=faithfulness,
            batch_size=batch_size,
            neighbours=neighbours,
            data=data,
            images=images,
            index=index,
            seed=seed,
            device=device,
            progress=progress,
            index_progress=progress,
        )
    written = write_explanation(explanation, out)
    for note in explanation.notes:
        print(f"maskwright: {note}", file=sys.stderr)  # noqa: T201
    if json_:
        numbers = explanation.as_dict() | {"written": [str(path) for path in written]}
        print(json.dumps(numbers))  # noqa: T201
        return 0
    from rich.console import Console

    Console().print(explanation.to_table())
    print(f"heat maps and numbers are in {out}")  # noqa: T201
    return 0
