"""Train every detector under every mask head on a handful of pictures, until they overfit.

    python benchmarks/matrix.py [--minutes 1.5] [--only yolo+prototypes ...] [--out DIR]

For each pair: train from scratch on eight small pictures of real coins (two classes by size, one
picture without coins), score on the same pictures, save, load, compare the outputs bit for bit,
and time a picture. A pair that has not overfitted by then (mask AP50 of 0.9) is trained anew with
twice the time, and once more with four times. Writes docs/matrix.json, and docs/matrix.md from it;
pairs that were measured before and are not asked for again keep their row.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

import maskwright as mw
from maskwright.data import Dataset, write_coco_dataset
from maskwright.recipes import part_names, train
from maskwright.recipes.coins import coin_samples, cut_coins
from maskwright.structures import Instances, Sample

PROJECT = Path(__file__).resolve().parent.parent
JSON = PROJECT / "docs" / "matrix.json"
PAGE = PROJECT / "docs" / "matrix.md"
SIZE = (128, 160)
ENOUGH = 0.9
# What suits eight pictures and shows that a pair can learn; nothing is tuned per pair.
OPTIONS = {
    "model.short_side": 128,
    "model.long_side": 160,
    "augmentation.scale": [1.0, 1.0],
    "augmentation.translation": 0.0,
    # The same views again and again: nothing but what is to be learnt by heart, and selective
    # search remembers them.
    "augmentation.horizontal_flip": 0.0,
    "augmentation.brightness": 0.0,
    "augmentation.contrast": 0.0,
    "augmentation.saturation": 0.0,
    "evaluations": 4,
    "num_workers": 0,
    "batch_size": 4,
}


def main() -> None:
    """Measure the pairs that were asked for and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.5)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pairs = ["+".join(pair) for pair in product(*part_names())]
    rows = {f"{row['detector']}+{row['mask_head']}": row for row in read_rows()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        data = write_coco_dataset(folder / "data", samples())
        for pair in options.only or pairs:
            rows[pair] = overfit(pair, data, folder / pair.replace("+", "_"), options.minutes)
            print(json.dumps(rows[pair]), flush=True)
            ordered = [rows[name] for name in pairs if name in rows]
            JSON.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
            PAGE.write_text(page(ordered, len(pairs)), encoding="utf-8")


def read_rows() -> list[dict[str, Any]]:
    """Return the rows measured before."""
    return json.loads(JSON.read_text(encoding="utf-8")) if JSON.is_file() else []


def samples() -> Iterator[Sample]:
    """Eight pictures; coins of more than 900 pixels are of another class; the last is bare."""
    rng = np.random.default_rng(0)
    for sample in coin_samples(cut_coins(), 8, rng, size=SIZE, bare_every=8):
        targets = sample.targets
        assert targets.masks is not None
        yield replace(
            sample,
            targets=replace(
                targets,
                labels=torch.from_numpy((targets.masks.area > 900).astype(np.int64)),
                class_names=("small coin", "large coin"),
                category_ids=(1, 2),
            ),
        )


def overfit(pair: str, data: Path, out: Path, minutes: float) -> dict[str, Any]:
    """Train with more and more time until the pair has learnt the pictures; return its last row."""
    row: dict[str, Any] = {}
    for longer in (1, 2, 4):
        row = measure(pair, data, out / str(longer), longer * minutes)
        if row["mask_ap50"] >= ENOUGH:
            break
    return row


def measure(pair: str, data: Path, out: Path, minutes: float) -> dict[str, Any]:
    """Train one pair and return its row."""
    run = train(
        data,
        validation=data,
        out=out,
        model=pair,
        preset="tiny",
        weights="none",
        minutes=minutes,
        overrides=OPTIONS,
        quiet=True,
    )
    dataset = mw.open_dataset(data)
    loaded = mw.load(out / "best.safetensors")
    ours = [mw.Predictor(run.model).predict(dataset.image(i)) for i in range(len(dataset))]
    theirs = [loaded.predict(dataset.image(i)) for i in range(len(dataset))]
    bare = loaded.predict(np.zeros((*SIZE, 3), np.uint8), score_threshold=0.5)
    detector, mask_head = pair.split("+")
    return {
        "detector": detector,
        "mask_head": mask_head,
        "mask_ap50": round(run.validation["segm"]["AP50"], 4),
        "mask_ap": round(run.validation["segm"]["AP"], 4),
        "boundary_ap": round(run.validation["boundary"]["AP"], 4),
        "box_ap": round(run.validation["bbox"]["AP"], 4),
        "ms": round(milliseconds(loaded, dataset), 1),
        "reload_identical": all(is_same(a, b) for a, b in zip(ours, theirs, strict=True)),
        "objects_on_black": len(bare),
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "steps": run.steps,
        "seconds": round(run.seconds, 1),
    }


def milliseconds(predictor: mw.Predictor, dataset: Dataset) -> float:
    """Return the median time of a picture in memory, masks included."""
    times = []
    for i in range(len(dataset)):
        image = dataset.image(i)
        start = time.perf_counter()
        predictor.predict(image)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def is_same(one: Instances, other: Instances) -> bool:
    """Whether two results agree to the bit."""
    assert one.scores is not None
    assert other.scores is not None
    return (
        torch.equal(one.boxes, other.boxes)
        and torch.equal(one.labels, other.labels)
        and torch.equal(one.scores, other.scores)
        and one.masks == other.masks
    )


def page(rows: list[dict[str, Any]], num_pairs: int) -> str:
    """Return the table for people."""
    lines = [
        "# Every detector under every mask head",
        "",
        "Written by `make matrix` (`benchmarks/matrix.py`) from `docs/matrix.json`: each pair is "
        "trained from scratch on eight 128 x 160 pictures of coins and scored on the same "
        "pictures; one that has not learnt them when the time is up is trained anew with two and "
        "then four times as much, and its row is of the last try. It shows that every pair "
        "learns, saves and loads; which serves your data best is another question. Rows may be "
        "measured one by one, so compare their milliseconds with care.",
        "",
        f"{len(rows)} of {num_pairs} pairs measured.",
        "",
        "| detector | mask head | mask AP50 | mask AP | boundary AP | box AP | ms a picture | "
        "same after loading | found on black | steps | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['detector']} | {row['mask_head']} | {row['mask_ap50']:.3f} | "
        f"{row['mask_ap']:.3f} | {row['boundary_ap']:.3f} | {row['box_ap']:.3f} | "
        f"{row['ms']:.0f} | {'yes' if row['reload_identical'] else 'NO'} | "
        f"{row['objects_on_black']} | {row['steps']} | {row['seconds']:.0f} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
