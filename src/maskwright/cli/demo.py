"""`maskwright demo`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from maskwright.recipes.demo import Demo

__all__ = ["demo"]


def demo(
    *,
    out: Path = Path("demo"),
    minutes: float = 3.0,
    seed: int = 0,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Train, score and draw on pictures that come along, in minutes.

    Training pictures are made from coins of a photograph that scikit-image ships, laid on its
    textures; one of the four rows of coins is never trained on. The model then finds all coins
    of the photograph. Nothing is downloaded. Ends with exit code 1 if a coin is missed.

    Args:
        out: Folder for pictures, model, overlay, table and scores.
        minutes: Training time.
        seed: Of pictures and training.
        json_: Print the metrics as JSON, and nothing else.
    """
    from maskwright.recipes.coins import NUM_COINS
    from maskwright.recipes.demo import run_demo

    def say(line: str) -> None:
        if not json_:
            print(line, file=sys.stderr)  # noqa: T201

    result = run_demo(out, minutes=minutes, seed=seed, say=say, quiet=json_)
    if json_:
        print(json.dumps(json.loads((out / "metrics.json").read_text(encoding="utf-8"))))  # noqa: T201
    else:
        _print(result)
    return 0 if result.coins_found == NUM_COINS else 1


def _print(result: Demo) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="The coins of the photograph")
    for name in ("coin", "row", "seen in training", "found", "score", "mask IoU", "area (pixels)"):
        table.add_column(name, justify="right")
    for row in result.table.itertuples(index=False):
        number, line, is_seen, is_found, score, iou, area = row
        numbers = (f"{score:.2f}", f"{iou:.3f}", f"{area:.0f}") if is_found else ("", "", "")
        seen = "yes" if is_seen else "no, held out"
        table.add_row(str(number), str(line), seen, "yes" if is_found else "NO", *numbers)
    console.print(table)
    scores = result.held_out["segm"]
    console.print(
        f"{result.coins_found} of {len(result.table)} coins found, "
        f"{result.false_alarms} false alarms.\n"
        f"On held-out pictures: mask AP {scores['AP']:.3f}, AP50 {scores['AP50']:.3f}.\n"
        f"Took {result.seconds:.0f} s. Look at {result.path / 'coins.png'}"
    )
