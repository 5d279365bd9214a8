"""What the preset `robust` brings under corruption, and what it costs on clean pictures.

    python benchmarks/robustness.py DATA --out RUNS [--steps 500] [--limit 30]

DATA holds `nuclei/train.json`, `nuclei/val.json` and `magnetic_tile/`, each with its pictures.
Trains SSD+FCN (`--preset fast`) twice on each, with the recipe's own augmentation and with
`--augment robust`, for the same number of steps from the same seed, so that how busy the machine is
does not matter; then runs the measure of `maskwright robustness` on pictures that were not trained
on. Trainings and measurements that RUNS holds already are not repeated.

The bar: of the AP that the usual model loses under corruption the preset wins back a quarter or
more, and its clean AP is not below the 95 % interval of the usual one.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import maskwright as mw
from maskwright.data import Dataset
from maskwright.recipes import (
    Robustness,
    RobustnessOptions,
    fingerprint_of_model,
    measure_robustness,
    train,
    write_robustness_files,
)
from training import MEASURED, machine

QUARTER = 0.25


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One data set, and the pictures that are scored."""

    name: str
    data: str
    validation: str | None = None
    part: str = "validation"


TRIALS = (
    Trial(name="nuclei", data="nuclei/train.json", validation="nuclei/val.json"),
    # Without a validation set of its own: the test part of the run's own division.
    Trial(name="magnetic_tile", data="magnetic_tile", part="test"),
)


def main() -> None:
    """Train, measure and keep what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=[trial.name for trial in TRIALS])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument(
        "--short-side", type=int, help="of training pictures; by default the recipe's"
    )
    parser.add_argument("--long-side", type=int, help="likewise")
    parser.add_argument("--limit", type=int, default=30, help="pictures that are scored")
    parser.add_argument("--strengths", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument("--corruptions", nargs="*", default=[])
    parser.add_argument("--weights", default="package", help="where the backbone starts")
    parser.add_argument("--json", type=Path, default=MEASURED / "robustness.json")
    options = parser.parse_args()
    sets = [
        compare_on(trial, options)
        for trial in TRIALS
        if not options.only or trial.name in options.only
    ]
    measured = {
        "sets": sets,
        "steps": options.steps,
        "sides": [options.short_side, options.long_side],
        "strengths": options.strengths,
        "machine": machine(),
    }
    options.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    for one in sets:
        print(f"{one['name']}: {verdict(one)}")


def compare_on(trial: Trial, options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure both models of a data set."""
    results = {}
    for name, augment in (("default", None), ("robust", "robust")):
        run = options.out / f"{trial.name}-{name}"
        if not (run / "scores.json").is_file():
            train_one(trial, options, run, augment)
        results[name] = measure_one(trial, options, run)
    usual, robust = results["default"], results["robust"]
    return {
        "name": trial.name,
        "pictures": usual.num_images,
        "part": trial.part,
        "models": {name: one.summary() for name, one in results.items()},
        **judge(usual, robust),
    }


def train_one(trial: Trial, options: argparse.Namespace, run: Path, augment: str | None) -> None:
    validation = None if trial.validation is None else options.data / trial.validation
    train(
        options.data / trial.data,
        out=run,
        validation=validation,
        model="ssd+fcn",
        preset="fast",
        weights=options.weights,
        num_steps=options.steps,
        augment=augment,
        overrides={
            f"model.{name}": side
            for name, side in (("short_side", options.short_side), ("long_side", options.long_side))
            if side is not None
        },
    )


def measure_one(trial: Trial, options: argparse.Namespace, run: Path) -> Robustness:
    dataset = scored_pictures(trial, options.data, run)
    wanted = RobustnessOptions(
        corruptions=tuple(options.corruptions),
        strengths=tuple(options.strengths),
        limit=options.limit,
    )
    out = run / "robustness"
    result = measure_robustness(
        mw.load(run), dataset, out, options=wanted, model=fingerprint_of_model(run)
    )
    write_robustness_files(result, out, dataset=dataset, options=wanted)
    return result


def scored_pictures(trial: Trial, data: Path, run: Path) -> Dataset:
    """Return pictures that were not trained on."""
    if trial.validation is not None:
        return mw.open_dataset(data / trial.validation)
    dataset = mw.open_dataset(data / trial.data)
    chosen = set(json.loads((run / "split.json").read_text(encoding="utf-8"))[trial.part])
    return dataset.subset([i for i, one in enumerate(dataset.image_ids.tolist()) if one in chosen])


def judge(usual: Robustness, robust: Robustness) -> dict[str, Any]:
    """Return what is won back of the loss, and whether the clean AP holds."""
    clean, won_clean = usual.clean["segm"]["AP"], robust.clean["segm"]["AP"]
    loss, won = clean - usual.mpc(), robust.mpc() - usual.mpc()
    recovered = won / loss if loss > 0 else 0.0
    low = usual.clean_intervals["segm"][0]
    return {
        "loss": loss,
        "recovered": recovered,
        "clean_change": won_clean - clean,
        "recovers_a_quarter": recovered >= QUARTER,
        "keeps_clean_ap": won_clean >= low,
    }


def verdict(one: dict[str, Any]) -> str:
    """Say in a sentence whether the bar is met."""
    return (
        f"of {100 * one['loss']:.1f} points of mask AP that are lost under corruption the preset "
        f"wins back {100 * one['recovered']:.0f} % (a quarter: "
        f"{'yes' if one['recovers_a_quarter'] else 'NO'}), clean AP changes by "
        f"{100 * one['clean_change']:+.1f} (within the interval: "
        f"{'yes' if one['keeps_clean_ap'] else 'NO'})"
    )


if __name__ == "__main__":
    main()
