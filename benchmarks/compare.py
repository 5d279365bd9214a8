"""Hold pairs of detector and mask head against each other on real data, at an equal budget.

    python benchmarks/compare.py DATA_FOLDER --out RUNS [--only nuclei] [--budget 4m]

DATA_FOLDER as for `benchmarks/training.py`. Each comparison is `maskwright compare` as a user runs
it and goes on after an interruption. The table, its notes and the recommendation are copied to
benchmarks/measured/compare-NAME.json and the plot to docs/compare-NAME.png, from which
`benchmarks/write_results.py` makes the page. Sample pictures to look at are in RUNS/NAME.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from maskwright.recipes import Comparison, compare
from training import ANY_WAY_UP, MEASURED, machine

PAIRS = (
    "faster-rcnn+mask-rcnn",
    "faster-rcnn+deeplab",
    "faster-rcnn+prototypes",
    "fast-rcnn+mask-rcnn",
    "ssd+mask-rcnn",
    "ssd+fcn",
    "yolo+mask-rcnn",
    "yolo+prototypes",
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One comparison."""

    name: str
    data: str
    validation: str | None = None
    budget: str


TRIALS = (
    Trial(name="nuclei", data="nuclei/train.json", validation="nuclei/val.json", budget="4m"),
    Trial(name="fruit_nuts", data="fruit_nuts/trainval.json", budget="2m"),
)


def main() -> None:
    """Run the comparisons that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=[trial.name for trial in TRIALS])
    parser.add_argument("--budget")
    parser.add_argument("--models", default=",".join(PAIRS))
    options = parser.parse_args()
    for trial in TRIALS:
        if not options.only or trial.name in options.only:
            budget = options.budget or trial.budget
            comparison = compare(
                options.data / trial.data,
                validation=None if trial.validation is None else options.data / trial.validation,
                models=options.models,
                budget=budget,
                out=options.out / trial.name,
                preset="fast",
                overrides=ANY_WAY_UP,
                say=lambda line: print(line, file=sys.stderr, flush=True),
                quiet=True,
            )
            write(trial, budget, comparison)


def write(trial: Trial, budget: str, comparison: Comparison) -> None:
    """Keep what was measured."""
    measured = {
        "name": trial.name,
        "budget": budget,
        "models": [one.as_dict() for one in comparison.models],
        "recommendation": comparison.recommendation.reason,
        "notes": list(comparison.notes),
        "machine": machine(),
    }
    path = MEASURED / f"compare-{trial.name}.json"
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    docs = MEASURED.parent.parent / "docs"
    shutil.copyfile(comparison.path / "comparison.png", docs / f"compare-{trial.name}.png")


if __name__ == "__main__":
    main()
