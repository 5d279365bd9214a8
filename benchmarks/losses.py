"""What each choice of loss, sampling and refinement brings on real data, at equal steps.

    python benchmarks/losses.py DATA --out RUNS [--only nuclei] [--rows "ssd+fcn giou"] [--steps N]

DATA holds `nuclei/train.json`, `nuclei/val.json`, `fruit_nuts/trainval.json`, `magnetic_tile/` and
`coco128/instances.json`, each with its pictures. One training per row, all of a set from the same
seed for the same number of steps, so that how busy the machine is does not matter; the last model
is scored, for nothing is chosen by the pictures that are scored. Gains are against the row of the
same detector and mask head without a choice, with the 95 % interval of the paired bootstrap.

On `coco128` the pictures that were trained on are scored: 128 pictures of 80 classes have no others
to spare. It shows what is learnt of rare classes, not what is found on new pictures.

Rows that --json holds already are not measured again, and trainings that RUNS holds are not
repeated; --again measures them anew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import maskwright as mw
from maskwright.data import Dataset
from maskwright.evaluation import Resampling, ScoringOptions, compare_predictions, evaluate
from maskwright.mask_heads import FCN, CoarseHeadConfig, MaskRCNNHead, Prototypes
from maskwright.model import config_to_dict
from maskwright.ops import Setting
from maskwright.recipes import train
from maskwright.recipes.scoring import match_classes
from training import ANY_WAY_UP, MEASURED, machine

KINDS = ("segm", "boundary")
RARE = 1 / 3
"""Classes with the fewest training objects that count as rare, of those that are scored."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A row: a pair of detector and mask head, and what differs from its own losses."""

    pair: str
    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The pair, and the choice if there is one."""
        return f"{self.pair} {self.name}".strip()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A data set, and the choices that are tried on it."""

    name: str
    data: str
    validation: str | None = None
    scored: str = "validation"
    steps: int = 160
    choices: tuple[Choice, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def _choices(pair: str, options: dict[str, dict[str, Any]]) -> tuple[Choice, ...]:
    """The pair as it is, then under each choice."""
    others = [Choice(pair=pair, name=name, options=each) for name, each in options.items()]
    return (Choice(pair=pair), *others)


DETECTOR, HEAD = "model.detector.", "model.mask_head."
SSD_FCN = {
    "giou": {DETECTOR + "box_loss": "giou"},
    "diou": {DETECTOR + "box_loss": "diou"},
    "focal": {DETECTOR + "class_loss": "focal"},
    "+dice": {HEAD + "mask_loss": "cross_entropy+dice"},
    "+lovasz": {HEAD + "mask_loss": "cross_entropy+lovasz"},
    "+boundary": {HEAD + "mask_loss": "cross_entropy+boundary"},
    "points": {HEAD + "mask_points": 1024},
}
YOLO_PROTOTYPES = {
    "diou": {DETECTOR + "box_loss": "diou"},
    "ciou": {DETECTOR + "box_loss": "ciou"},
    "+dice": {HEAD + "mask_loss": "cross_entropy+dice"},
    "+lovasz": {HEAD + "mask_loss": "cross_entropy+lovasz"},
    "+boundary": {HEAD + "mask_loss": "cross_entropy+boundary"},
    "focal masks": {HEAD + "mask_loss": "focal"},
    "points": {HEAD + "mask_points": 196},
}
BALANCE = {
    "focal": {DETECTOR + "class_loss": "focal"},
    "balance 0.9": {DETECTOR + "class_loss.balance": 0.9},
    "balance 0.99": {DETECTOR + "class_loss.balance": 0.99},
    "repeats 0.3": {"repeat_threshold": 0.3},
}


FAST = Setting(width=96, is_light=True, small_object=20.0, room=100)
"""What `--preset fast` builds heads for, so that a coarse head is the one it is held against."""


def _refined(coarse: type[CoarseHeadConfig]) -> dict[str, Any]:
    return {HEAD + "coarse": config_to_dict(coarse.for_setting(FAST))}


TRIALS = (
    Trial(
        name="nuclei",
        data="nuclei/train.json",
        validation="nuclei/val.json",
        choices=(
            *_choices("ssd+fcn", SSD_FCN),
            Choice(pair="ssd+fcn", name="refined", options=_refined(FCN.Config)),
            *_choices("yolo+prototypes", YOLO_PROTOTYPES),
            Choice(pair="yolo+prototypes", name="refined", options=_refined(Prototypes.Config)),
        ),
        options={"model.short_side": 256, "model.long_side": 352, **ANY_WAY_UP},
    ),
    Trial(
        name="fruit_nuts",
        data="fruit_nuts/trainval.json",
        scored="test and validation",
        choices=(
            *_choices("ssd+mask-rcnn", {}),
            Choice(pair="ssd+mask-rcnn", name="refined", options=_refined(MaskRCNNHead.Config)),
            *_choices("ssd+prototypes", {}),
            Choice(pair="ssd+prototypes", name="refined", options=_refined(Prototypes.Config)),
        ),
        options={"model.short_side": 320, "model.long_side": 448, **ANY_WAY_UP},
    ),
    Trial(
        name="magnetic_tile",
        data="magnetic_tile",
        scored="test and validation",
        choices=_choices("ssd+fcn", BALANCE),
        options={"model.short_side": 256, "model.long_side": 384, **ANY_WAY_UP},
    ),
    Trial(
        name="coco128",
        data="coco128/instances.json",
        validation="coco128/instances.json",
        scored="training",
        choices=_choices("ssd+fcn", BALANCE),
        options={"model.short_side": 256, "model.long_side": 384},
    ),
)

COMMON = {
    "batch_size": 2,
    "num_workers": 0,
    "evaluations": 1,
    # an average over a thousand steps would hold mostly weights of the beginning
    "ema_decay": 0.95,
}


def main() -> None:
    """Train and score what is missing, and keep what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=[trial.name for trial in TRIALS])
    parser.add_argument(
        "--rows", nargs="*", help="titles of rows; their pair's own is measured too"
    )
    parser.add_argument("--steps", type=int, help="instead of each set's own")
    parser.add_argument("--weights", default="package", help="where the backbone starts")
    parser.add_argument("--limit", type=int, default=70, help="pictures that are scored")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--json", type=Path, default=MEASURED / "losses.json")
    options = parser.parse_args()
    rows = [] if options.again else read_rows(options.json)
    for trial, choice in wanted(options):
        steps = options.steps or trial.steps
        known = [row for row in rows if (row["data"], row["title"]) == (trial.name, choice.title)]
        if known and known[0]["steps"] == steps:
            continue
        row = measure(trial, choice, steps, options)
        print(json.dumps(row), flush=True)
        rows = [one for one in rows if one not in known] + [row]
        write_rows(options.json, rows)


def wanted(options: argparse.Namespace) -> Iterator[tuple[Trial, Choice]]:
    """Return the rows that were asked for, each pair's own first."""
    for trial in TRIALS:
        if options.only and trial.name not in options.only:
            continue
        asked = {
            choice.pair
            for choice in trial.choices
            if not options.rows or choice.title in options.rows
        }
        for choice in trial.choices:
            is_base = not choice.name and choice.pair in asked
            if is_base or not options.rows or choice.title in options.rows:
                yield trial, choice


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows measured before."""
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows in the order of the trials."""
    order = [(trial.name, choice.title) for trial in TRIALS for choice in trial.choices]
    rows = sorted(rows, key=lambda row: order.index((row["data"], row["title"])))
    measured = {"rows": rows, "machine": machine()}
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def measure(
    trial: Trial, choice: Choice, steps: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the row of one choice."""
    run = trained(trial, choice, steps, options)
    predictor = mw.load(run / "last.safetensors")
    dataset = scored_pictures(trial, options, run, predictor.class_names)
    found, milliseconds = predict(predictor, dataset)
    (run / "found.json").write_text(json.dumps(found), encoding="utf-8")
    metrics = evaluate(found, dataset, kinds=["bbox", *KINDS], num_replicates=options.replicates)
    row: dict[str, Any] = {
        "data": trial.name,
        "scored": trial.scored,
        "title": choice.title,
        "pair": choice.pair,
        "choice": choice.name,
        "options": choice.options,
        "steps": steps,
        "pictures": len(dataset),
        "objects": len(dataset.labels),
        "box_ap": metrics["bbox"]["AP"],
        "mask_ap50": metrics["segm"]["AP50"],
        "milliseconds": round(milliseconds, 1),
        "seconds": json.loads((run / "took.json").read_text(encoding="utf-8")),
        "rare_ap": rare_ap(metrics, run),
    }
    for kind in KINDS:
        row[f"{kind}_ap"] = metrics[kind]["AP"]
        row[f"{kind}_interval"] = metrics.intervals.get(kind, {}).get("AP")
    return row | gains(trial, choice, found, dataset, steps, options)


def gains(
    trial: Trial,
    choice: Choice,
    found: list[dict[str, Any]],
    dataset: Dataset,
    steps: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Return what the choice brings against its pair without one, by the paired bootstrap."""
    base = folder(trial, Choice(pair=choice.pair), steps, options) / "found.json"
    if not choice.name or not base.is_file():
        return {}
    paired = compare_predictions(
        json.loads(base.read_text(encoding="utf-8")),
        found,
        dataset,
        kinds=KINDS,
        options=ScoringOptions(resampling=Resampling(num_replicates=options.replicates)),
    )
    row: dict[str, Any] = {}
    for kind, name in (("segm", "mask AP"), ("boundary", "boundary AP")):
        row[f"{kind}_gain"] = paired.numbers[name].difference
        row[f"{kind}_gain_interval"] = paired.numbers[name].interval
    return row


def folder(trial: Trial, choice: Choice, steps: int, options: argparse.Namespace) -> Path:
    """Return the run folder of a row."""
    name = choice.title.replace(" ", "_").replace("+", "-")
    out: Path = options.out / f"{trial.name}-{name}-{steps}"
    return out


def trained(trial: Trial, choice: Choice, steps: int, options: argparse.Namespace) -> Path:
    """Return the run of a row, trained unless it is there."""
    run = folder(trial, choice, steps, options)
    if (run / "took.json").is_file() and not options.again:
        return run
    shutil.rmtree(run, ignore_errors=True)  # left by a run that was stopped
    detector, head = choice.pair.split("+")
    is_refined = HEAD + "coarse" in choice.options
    start = time.perf_counter()
    train(
        options.data / trial.data,
        out=run,
        validation=None if trial.validation is None else options.data / trial.validation,
        model=f"{detector}+refined" if is_refined else f"{detector}+{head}",
        preset="fast",
        weights=options.weights,
        num_steps=steps,
        overrides=COMMON | trial.options | choice.options,
        quiet=True,
    )
    took = round(time.perf_counter() - start, 1)
    (run / "took.json").write_text(json.dumps(took), encoding="utf-8")
    return run


def scored_pictures(
    trial: Trial, options: argparse.Namespace, run: Path, class_names: tuple[str, ...]
) -> Dataset:
    """Return the pictures to score on; where a division made them, all not trained on."""
    path = trial.validation or trial.data
    dataset = match_classes(class_names, mw.open_dataset(options.data / path))
    if trial.validation is None:
        parts = json.loads((run / "split.json").read_text(encoding="utf-8"))
        chosen = {*parts["validation"], *parts["test"]}
        ids = dataset.image_ids.tolist()
        dataset = dataset.subset([i for i, one in enumerate(ids) if one in chosen])
    return dataset.subset(range(min(options.limit, len(dataset))))


def predict(predictor: mw.Predictor, dataset: Dataset) -> tuple[list[dict[str, Any]], float]:
    """Return COCO results, and the median milliseconds of a picture."""
    found: list[dict[str, Any]] = []
    times = []
    for i, image_id in enumerate(dataset.image_ids.tolist()):
        image = dataset.image(i)
        start = time.perf_counter()
        result = predictor.predict(image)
        times.append(1000 * (time.perf_counter() - start))
        found += result.to_coco(image_id)
    return found, float(np.median(times))


def rare_ap(metrics: Any, run: Path) -> float | None:
    """Return the mean mask AP of the third of the classes with fewest training objects.

    None where there are fewer than three classes.
    """
    counts = class_counts(run)
    scored = {
        name: one.ap
        for name, one in metrics.per_class["segm"].items()
        if one.ap >= 0 and counts[name]
    }
    if len(scored) < 3:
        return None
    rare = sorted(scored, key=lambda name: counts[name])[: max(1, round(RARE * len(scored)))]
    return float(np.mean([scored[name] for name in rare]))


def class_counts(run: Path) -> dict[str, int]:
    """Return the training objects of each class."""
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    dataset = mw.open_dataset(config["source"]["data"])
    chosen = set(json.loads((run / "split.json").read_text(encoding="utf-8"))["train"])
    ids = dataset.image_ids.tolist()
    part = dataset.subset([i for i, one in enumerate(ids) if one in chosen])
    counts = np.bincount(part.labels, minlength=len(part.class_names))
    return dict(zip(part.class_names, counts.tolist(), strict=True))


if __name__ == "__main__":
    main()
