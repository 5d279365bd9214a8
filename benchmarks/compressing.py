"""What compression costs in AP and brings in time, on a model trained on real nuclei.

    python benchmarks/compressing.py MODEL DATA --out RUNS [--steps 200] [--only pruned int8]

MODEL is a run folder or model file of nuclei (`maskwright train DATA/nuclei/train.json --val
DATA/nuclei/val.json --out MODEL --model ssd+fcn --weights package --minutes 9`), DATA holds
`nuclei/train.json` and `nuclei/val.json` beside their pictures. Each trial is `maskwright compress`
as a user runs it and goes on after an interruption; controls change one thing. The table is kept in
benchmarks/measured/compressing.json, from which `benchmarks/write_results.py` makes its section.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.recipes import Compression, compress, resume_compression
from training import MEASURED, machine


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One compression."""

    name: str
    title: str
    share: float = 1.0  # of the steps
    is_taught: bool = False
    options: dict[str, Any] = field(default_factory=dict)


_STUDENT = {"method": "distill", "preset": "tiny", "backbone": "csp-nano"}

TRIALS = (
    Trial(name="pruned", title="pruned, `--target 2x`", options={"target": 2}),
    Trial(
        name="pruned-taught",
        title="the same, `--teacher MODEL`",
        is_taught=True,
        options={"target": 2},
    ),
    Trial(
        name="pruned-high-rate",
        title="control: the same at five times the learning rate",
        options={"target": 2, "overrides": {"optimizer.learning_rate": 0.01}},
    ),
    Trial(name="pruned-4x", title="pruned, `--target 4x`", options={"target": 4}),
    Trial(name="student", title="a CSP-nano student taught by MODEL", options=_STUDENT),
    Trial(
        name="student-alone",
        title="control: the same network without a teacher",
        options=_STUDENT | {"overrides": {"distillation": None}},
    ),
    Trial(
        name="int8",
        title="trained for int8, everything in int8",
        share=0.3,
        options={"method": "quantise", "max_ap_drop": 1.0},
    ),
    Trial(
        name="control",
        title="control: MODEL trained on as long as after pruning",
        options={"method": "distill", "overrides": {"distillation": None}},
        is_taught=True,
    ),
)


def main() -> None:
    """Run the trials that were asked for, and keep all that have been run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", nargs="*", choices=[trial.name for trial in TRIALS])
    parser.add_argument("--validation", default="nuclei/val.json", help="below DATA")
    parser.add_argument("--train", default="nuclei/train.json", help="below DATA")
    parser.add_argument("--json", type=Path, default=MEASURED / "compressing.json")
    options = parser.parse_args()
    for trial in TRIALS:
        if not options.only or trial.name in options.only:
            keep(options, trial, run(options, trial))


def run(options: argparse.Namespace, trial: Trial) -> Compression:
    """Begin a trial, or go on with it."""
    out: Path = options.out / trial.name
    if (out / "compress.json").is_file():
        return resume_compression(out)
    known: dict[str, Any] = {"overrides": {}} | trial.options
    known["overrides"] = {"evaluations": 2} | known["overrides"]
    return compress(
        options.model,
        options.data / options.train,
        out=out,
        validation=options.data / options.validation,
        num_steps=max(1, round(trial.share * options.steps)),
        teacher=options.model if trial.is_taught else None,
        **known,
    )


def keep(options: argparse.Namespace, trial: Trial, done: Compression) -> None:
    """Put a trial into the file of those measured, in their order."""
    measured: dict[str, Any] = {"trials": []}
    if options.json.is_file():
        measured = json.loads(options.json.read_text(encoding="utf-8"))
    versions = [each.as_dict() for each in done.versions]
    for each in versions:
        del each["path"]
    row = {
        "name": trial.name,
        "title": trial.title,
        "steps": max(1, round(trial.share * options.steps)),
        "versions": versions,
        "refused": {each.name: each.refusal for each in done.refused},
    }
    others = [each for each in measured["trials"] if each["name"] != trial.name]
    order = [each.name for each in TRIALS]
    measured["trials"] = sorted([*others, row], key=lambda each: order.index(each["name"]))
    measured["machine"] = machine()
    options.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    print(f"{trial.title}\n{(done.path / 'table.md').read_text(encoding='utf-8')}", flush=True)


if __name__ == "__main__":
    main()
