"""`maskwright data check`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from maskwright.data import ExportReport
    from maskwright.data.checks import Diagnosis

__all__ = ["check", "checks"]


def check(
    data: Path,
    /,
    *more: Path,
    images: Path | None = None,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    group_pattern: str = "",
    training_side: int = 800,
    skip: str = "",
    html: Path | None = None,
    fix: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Look for everything that may be wrong with annotated pictures.

    Several DATA are the parts of one dataset, training first; leaks between them are looked for
    as well. Nothing is changed; --fix writes a new dataset. Exit code: 0 without errors, 1 with
    errors (with --strict also with warnings), 2 if DATA is not there or is no dataset.

    Args:
        data: Annotated pictures of any known format: a file or a folder.
        more: Further parts, such as validation and test pictures.
        images: Folder of the pictures, if it is not beside the annotations.
        from_: Format of the data, where looking at it does not tell.
        group_pattern: Regular expression that finds in a file name the group (plate, patient,
            film) that must not straddle parts.
        training_side: Short side in pixels that larger pictures are shrunk to for training;
            objects are called tiny by it.
        skip: Names of checks to leave out, with commas between them.
        html: File for a page with the offending pictures.
        fix: Write a copy to --out with everything mended that can be mended without asking.
        out: Folder to make for --fix.
        strict: Count warnings as errors in the exit code.
        json_: Print the findings as JSON, and nothing else.
    """
    from maskwright.cli.progress import pictures_bar
    from maskwright.data.checks import check_dataset, write_fixed
    from maskwright.errors import ConfigError

    if fix != (out is not None):
        raise ConfigError("--fix and --out FOLDER belong together: --fix writes a new dataset")
    with pictures_bar("checking", quiet=json_) as progress:
        diagnosis = check_dataset(
            data,
            *more,
            images=images,
            format=from_,
            training_side=training_side,
            group_pattern=group_pattern,
            skip=[name.strip() for name in skip.split(",") if name.strip()],
            progress=progress,
        )
    fixed = write_fixed(diagnosis, out) if out is not None else None
    if html is not None:
        from maskwright.recipes import write_check_page

        write_check_page(diagnosis, html)
    _print(diagnosis, fixed, html, as_json=json_)
    return 0 if diagnosis.is_well(strict=strict) else 1


def checks(*, json_: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Print what `maskwright data check` looks for, and what --fix does about it.

    Args:
        json_: Print it as JSON.
    """
    from maskwright.data.checks import CHECKS

    if json_:
        print(json.dumps([check.as_dict() for check in CHECKS]))  # noqa: T201
        return 0
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", "severity", "what is found, and how to mend it", "--fix")
    for check in CHECKS:
        what = f"[bold]{escape(check.title)}[/bold]\n{escape(check.mend)}"
        table.add_row(check.name, check.severity, what, check.remedy)
    Console().print(table)
    return 0


def _print(
    diagnosis: Diagnosis, fixed: ExportReport | None, html: Path | None, *, as_json: bool
) -> None:
    if as_json:
        content = diagnosis.as_dict()
        if fixed is not None:
            content["fixed"] = fixed.as_dict()
        print(json.dumps(content))  # noqa: T201
        return
    from rich.console import Console

    console = Console()
    console.print(diagnosis)
    if fixed is not None:
        console.print(fixed if fixed.findings else str(fixed))
    elif diagnosis.num_fixable:
        print(  # noqa: T201
            f"--fix --out FOLDER writes a copy with {diagnosis.num_fixable} of these mended",
            file=sys.stderr,
        )
    if html is not None:
        console.print(f"page: {html}", highlight=False, soft_wrap=True)
