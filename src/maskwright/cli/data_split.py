"""`maskwright data split`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from maskwright.data.splitting import WrittenSplit

__all__ = ["split"]


def split(
    data: Path,
    /,
    *,
    out: Path,
    ratios: Annotated[
        tuple[float, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    folds: int | None = None,
    groups: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)
    ] = (),
    seed: int = 0,
    to: str = "coco",
    copy: Annotated[bool, Parameter(negative="")] = False,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    images: Path | None = None,
    crowd: Literal["keep", "ignore", "drop"] = "ignore",
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Divide annotated pictures into training, validation and test parts, or into folds.

    Every class is spread like the whole (iterative stratification), and pictures of one group
    stay in one part. The same seed gives the same split, and `train` divides its data likewise.

    Args:
        data: Annotated pictures of any known format: a file or a folder.
        out: Folder to make: train.json, val.json, test.json, the pictures and split_report.json.
        ratios: Shares of train and val, or of train, val and test. By default 0.7 0.15 0.15.
        folds: Write this many folds for cross-validation, each with its train and val.
        groups: What must stay together: field:NAME (in the pictures' entries of a COCO json),
            name:PATTERN (what the brackets of a regular expression find in the file name),
            near-duplicates (pictures that look alike). Several join.
        seed: Decides ties and order.
        to: Format to write; those of `data convert`.
        copy: Copy the pictures; otherwise they are linked, which takes no space.
        from_: Format of the data, where looking at it does not tell.
        images: Folder of the pictures, if it is not beside the annotations.
        crowd: keep takes crowds for objects, ignore keeps them as regions where nothing counts
            as wrong, drop leaves them out.
        json_: Print the report as JSON, and nothing else.
    """
    from maskwright.cli.progress import pictures_bar
    from maskwright.data.splitting import write_split

    with pictures_bar("Looking for near-duplicates", quiet=json_) as progress:
        written = write_split(
            data,
            out,
            ratios=ratios,
            folds=folds,
            groups=groups,
            seed=seed,
            to=to,
            copy=copy,
            format=from_,
            images=images,
            crowd="object" if crowd == "keep" else crowd,
            progress=progress,
        )
    _print(written, as_json=json_)
    return 0


def _print(written: WrittenSplit, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(written.split.as_dict()))  # noqa: T201
        return
    from rich.console import Console

    console = Console()
    for report in (written.imported, written.exported):
        if report.findings:
            console.print(report)
    console.print(written.split)
    for path in written.annotations.values():
        console.print(str(path), highlight=False, soft_wrap=True)
