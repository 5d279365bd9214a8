"""What test-time augmentation and an ensemble bring, and what they cost.

    python benchmarks/ensembling.py DATA --out RUNS [--steps 500] [--limit 70]
    python benchmarks/ensembling.py DATA --models A.safetensors B.safetensors

DATA holds `nuclei/train.json` and `nuclei/val.json` beside their pictures. Without --models trains
SSD+FCN and Faster R-CNN+Mask R-CNN (`--preset fast`), each for the same number of steps. Every way
of predicting is held against the first model alone on the validation pictures, with a paired
bootstrap. Milliseconds are of a picture, from pixels to masks: medians, all ways in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import maskwright as mw
from maskwright.data import Dataset
from maskwright.evaluation import Resampling, ScoringOptions, compare_predictions, evaluate
from maskwright.inference import Predictor, load_ensemble
from maskwright.recipes import train
from maskwright.recipes.scoring import match_classes
from maskwright.structures import Instances
from training import ANY_WAY_UP, MEASURED, machine

VIEWS = ("flips", "flips+vertical-flips", "scales", "flips+scales")
PAIRS = ("ssd+fcn", "faster-rcnn+mask-rcnn")


def main() -> None:
    """Train where needed, predict every way, and keep what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--models", nargs=2)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--limit", type=int, default=70)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=MEASURED / "ensembling.json")
    options = parser.parse_args()
    if options.models is None and options.out is None:
        parser.error("give --out to train in, or --models")
    models = options.models or [str(trained(pair, options)) for pair in PAIRS]
    ways = predictors(models)
    first = next(iter(ways.values()))
    dataset = match_classes(first.class_names, mw.open_dataset(options.data / "nuclei/val.json"))
    dataset = dataset.subset(range(min(options.limit, len(dataset))))
    found, milliseconds = predict_all(ways, dataset)
    measured = {
        "pictures": len(dataset),
        "objects": len(dataset.labels),
        "steps": None if options.models else options.steps,
        "ways": [
            row(name, found, milliseconds[name], dataset, options.replicates) for name in ways
        ],
        "machine": machine(),
    }
    options.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    for one in measured["ways"]:
        print(one)


def trained(pair: str, options: argparse.Namespace) -> Path:
    """Return the run of a pair, trained unless it is there."""
    run: Path = options.out / pair
    if not (run / "scores.json").is_file():
        train(
            options.data / "nuclei/train.json",
            out=run,
            validation=options.data / "nuclei/val.json",
            model=pair,
            preset="fast",
            weights="package",
            num_steps=options.steps,
            overrides=ANY_WAY_UP,
        )
    return run


def predictors(models: list[str]) -> dict[str, Predictor]:
    """Name -> a way of predicting; the first model alone comes first."""
    ways = {"first": mw.load(models[0])}
    ways |= {f"first, {tta}": mw.load(models[0], tta=tta) for tta in VIEWS}
    ways["second"] = mw.load(models[1])
    ways["both"] = load_ensemble(models)
    ways["both, flips"] = load_ensemble(models, tta="flips")
    return ways


def predict_all(
    ways: dict[str, Predictor], dataset: Dataset
) -> tuple[dict[str, list[tuple[int, Instances]]], dict[str, float]]:
    """Return what every way finds, and its median milliseconds; picture by picture, in turn."""
    found: dict[str, list[tuple[int, Instances]]] = {name: [] for name in ways}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for i, image_id in enumerate(dataset.image_ids.tolist()):
        image = dataset.image(i)
        for name, predictor in ways.items():
            if i == 0:
                predictor.predict(image)  # kernels are compiled at their first call
            start = time.perf_counter()
            found[name].append((image_id, predictor.predict(image)))
            times[name].append(1000 * (time.perf_counter() - start))
    return found, {name: statistics.median(each) for name, each in times.items()}


def row(
    name: str,
    found: dict[str, list[tuple[int, Instances]]],
    milliseconds: float,
    dataset: Dataset,
    replicates: int,
) -> dict[str, Any]:
    """Return the scores of one way, and its gain over the first model alone."""
    metrics = evaluate(found[name], dataset, num_replicates=replicates)
    ends = metrics.intervals["segm"]["AP"] if replicates else None
    one: dict[str, Any] = {
        "name": name,
        "mask_ap": metrics["segm"]["AP"],
        "mask_ap_interval": ends,
        "boundary_ap": metrics["boundary"]["AP"],
        "box_ap": metrics["bbox"]["AP"],
        "milliseconds": round(milliseconds, 1),
    }
    if name == "first":
        return one
    options = ScoringOptions(resampling=Resampling(num_replicates=replicates))
    paired = compare_predictions(
        found["first"], found[name], dataset, kinds=["segm"], options=options
    )
    gain = paired.numbers[paired.primary]
    return one | {
        "gain": gain.difference,
        "gain_interval": gain.interval,
        "p_value": gain.p_value,
    }


if __name__ == "__main__":
    main()
