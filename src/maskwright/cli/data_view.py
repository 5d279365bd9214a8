"""`maskwright data view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

__all__ = ["view"]


def view(
    data: Path,
    /,
    *,
    out: Path,
    count: int | None = None,
    classes: Annotated[
        tuple[str, ...],
        Parameter(name="--class", consume_multiple=True, negative="", show_default=False),
    ] = (),
    sort: Literal["random", "objects", "smallest"] = "random",
    objects: Annotated[bool, Parameter(negative="")] = False,
    augment: str | None = None,
    seed: int = 0,
    columns: int = 4,
    cell: int = 320,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    images: Path | None = None,
    crowd: Literal["keep", "ignore", "drop"] = "ignore",
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
) -> int:
    """Draw annotated pictures, or single objects, on one sheet; or what training makes of them.

    Args:
        data: Annotated pictures of any known format: a file or a folder.
        out: Picture to write (.png, .jpg).
        count: How many to draw; by default 12, with --augment 4.
        classes: Only objects of these classes.
        sort: Draw some at random, those with the most objects, or those with the smallest.
        objects: Draw objects one by one, each cut out of its picture.
        augment: Draw each picture as it is and, beside it, as a model would see it in the first
            epochs under the preset of this name (see `maskwright train --help`); --augment alone
            is what train does by itself. Options change it: --augmentation.hue 0.1
        seed: Of the random choice, and of the augmentation.
        columns: Pictures beside each other.
        cell: Room for one, in pixels.
        from_: Format of the data, where looking at it does not tell.
        images: Folder of the pictures, if it is not beside the annotations.
        crowd: keep takes crowds for objects, ignore draws them with their pictures, drop leaves
            them out.
        set_: With --augment, set an option of the recipe: name=value.
    """
    from rich.console import Console

    from maskwright.data import open_dataset, save_image
    from maskwright.data.choosing import (
        choose_objects,
        choose_pictures,
        object_samples,
        picture_samples,
    )
    from maskwright.draw.sample_sheet import sample_sheet

    if columns < 1 or cell < 16:
        raise ConfigError(f"--columns is 1 or more and --cell 16 or more, got {columns}, {cell}")
    if objects and augment is not None:
        raise ConfigError("--augment shows whole pictures: leave --objects out")
    if set_ and augment is None:
        raise ConfigError("options of the augmentation need --augment")
    dataset = open_dataset(
        data, images=images, crowd="object" if crowd == "keep" else crowd, format=from_
    )
    if count is None:
        count = 12 if augment is None else 4
    choose = choose_objects if objects else choose_pictures
    chosen = choose(dataset, count, classes=classes, sort=sort, seed=seed)
    if augment is not None:
        from maskwright.cli.train import parse_overrides
        from maskwright.recipes import view_augmented

        sheet = view_augmented(
            dataset,
            augment,
            pictures=chosen.tolist(),
            num_views=columns,
            seed=seed,
            cell=(cell, cell),
            overrides=parse_overrides(set_),
        )
        save_image(out, sheet)
        said = f"{len(chosen)} pictures, {columns} views each: {out}"
        Console().print(said, highlight=False, soft_wrap=True)
        return 0
    samples = (
        object_samples(dataset, chosen)
        if objects
        else picture_samples(dataset, chosen, classes=classes)
    )
    opacity = 0.2 if objects else 0.4
    sheet = sample_sheet(
        samples, columns=columns, cell=(cell, cell), opacity=opacity, as_objects=objects
    )
    save_image(out, sheet)
    what = "objects" if objects else "pictures"
    Console().print(f"{len(chosen)} {what}: {out}", highlight=False, soft_wrap=True)
    return 0
