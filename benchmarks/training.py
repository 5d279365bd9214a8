"""How well the default recipes learn real data in a fixed time.

    python benchmarks/training.py DATA_FOLDER --out RUNS [--only nuclei-transfer] [--minutes 20]

DATA_FOLDER holds `nuclei/train.json`, `nuclei/val.json` (nuclei of DSB2018 stage 1, BBBC038) and
`fruit_nuts/trainval.json`, each beside its pictures. Runs one training after the other, scores the
best model at full resolution, and writes what it measured to benchmarks/measured/NAME.json, from
which `benchmarks/write_results.py` makes the page. Overlays to look at are left in RUNS/NAME/look.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import maskwright as mw
from maskwright.data import save_image
from maskwright.draw import contact_sheet, overlay
from maskwright.recipes import TrainedRun, train

MEASURED = Path(__file__).parent / "measured"
# Cells and food lie any way up.
ANY_WAY_UP = {"augmentation.vertical_flip": 0.5}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training: the data, and what differs from the default recipe."""

    name: str
    title: str
    data: str
    validation: str | None = None
    minutes: float = 20.0
    options: dict[str, Any] = field(default_factory=dict)


TRIALS = (
    Trial(
        name="nuclei-scratch",
        title="nuclei, from scratch",
        data="nuclei/train.json",
        validation="nuclei/val.json",
        options={"weights": "none"},
    ),
    Trial(
        name="nuclei-transfer",
        title="nuclei, EfficientNet-Lite0 trained on ImageNet",
        data="nuclei/train.json",
        validation="nuclei/val.json",
        options={"weights": "package"},
    ),
    Trial(
        name="fruit_nuts-transfer",
        title="fruit_nuts, EfficientNet-Lite0 trained on ImageNet",
        data="fruit_nuts/trainval.json",
        minutes=8.0,
        options={"weights": "package"},
    ),
)


def main() -> None:
    """Run the trials that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=[trial.name for trial in TRIALS])
    parser.add_argument("--minutes", type=float)
    options = parser.parse_args()
    for trial in TRIALS:
        if not options.only or trial.name in options.only:
            minutes = options.minutes or trial.minutes
            run = _train(trial, options.data, options.out / trial.name, minutes)
            _write(trial, run, minutes)
            _look(run, options.data / trial.data, trial, options.data)


def _train(trial: Trial, data: Path, out: Path, minutes: float) -> TrainedRun:
    validation = None if trial.validation is None else data / trial.validation
    return train(
        data / trial.data,
        validation=validation,
        out=out,
        minutes=minutes,
        preset="fast",
        overrides=ANY_WAY_UP,
        **trial.options,
    )


def _write(trial: Trial, run: TrainedRun, minutes: float) -> None:
    rows = list(csv.DictReader((run.path / "metrics.csv").open(encoding="utf-8")))
    curve = [
        {"step": int(row["step"]), "segm_AP": float(row["val/segm_AP"])}
        for row in rows
        if row.get("val/segm_AP")
    ]
    losses = [
        {"step": int(r["step"]), "total": float(r["loss/total"])} for r in rows if r["loss/total"]
    ]
    measured = {
        "title": trial.title,
        "minutes": minutes,
        "steps": run.steps,
        "batch_size": run.recipe.batch_size,
        "seconds": round(run.seconds, 1),
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "input": [run.recipe.model.short_side, run.recipe.model.long_side],
        "backbone": run.recipe.model.backbone.kind,
        "weights": run.recipe.weights,
        "validation": run.validation.as_dict(),
        "test": None if run.test is None else run.test.as_dict(),
        "max_detections": run.validation.max_detections,
        "curve": curve,
        "losses": losses[:: max(1, len(losses) // 200)],
        "machine": machine(),
    }
    MEASURED.mkdir(exist_ok=True)
    path = MEASURED / f"{trial.name}.json"
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "maskwright": version("maskwright"),
        "commit": _commit(),
    }


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=MEASURED.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _look(run: TrainedRun, annotations: Path, trial: Trial, data: Path) -> None:
    """Leave truth and prediction of some pictures side by side, for the eye."""
    dataset = mw.open_dataset(annotations if trial.validation is None else data / trial.validation)
    predictor = mw.load(run.path)
    rows = []
    for i in range(0, len(dataset), max(1, len(dataset) // 6)):
        image = dataset.image(i)
        found = predictor.predict(image, score_threshold=0.5)
        rows.append([image, overlay(image, dataset.targets(i)), overlay(image, found)])
    sheet = contact_sheet(rows, headings=("picture", "truth", "found"), cell=(400, 400))
    save_image(run.path / "look" / "sheet.png", sheet)


if __name__ == "__main__":
    main()
