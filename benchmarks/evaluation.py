"""How long `maskwright evaluate` takes for 100,000 detections on 5,000 pictures, and its memory.

    python benchmarks/evaluation.py [--json results.json] [--pictures 5000] [--seed 0]

Ellipses of 80 classes on 480 x 640 pictures: eight true ones each, every one found a few pixels
off, and twelve false ones. Each family of metrics, with its 1,000 bootstrap replicates, runs in a
process of its own, as a user would start it, and so does a paired comparison, whose two sides are
200,000 detections; figures are of the whole process, reading included, and processor time tells a
busy machine from slow code. The bar is that of issues 4 and 7: 30 s and 2 GiB (a paired comparison
may take twice as long, for it scores two sets). The exit code is 1 where it is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.masks import Masks

SECONDS_BAR, MEMORY_BAR = 30.0, 2048.0  # seconds, MiB
SIZE = (480, 640)
TRUE, FALSE, CLASSES, SHAPES = 8, 12, 80, 300
FAMILIES = ("coco", "cells", "lvis", "panoptic", "counting", "agnostic")


def make_shapes(rng: np.random.Generator) -> list[list[dict[str, Any]]]:
    """Ellipses as COCO fields, each in its place and shifted by two and by six pixels."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    shapes = []
    for _ in range(SHAPES):
        centre, radii = rng.uniform(40, np.array(SIZE) - 40), rng.uniform(8, 70, 2)
        dense = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
        masks = Masks.from_dense(np.stack([np.roll(dense, shift, axis=1) for shift in (0, 2, 6)]))
        corners = np.asarray(masks.boxes, dtype=np.float64)
        boxes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist()
        shapes.append(
            [
                {"segmentation": rle, "bbox": box}
                for rle, box in zip(masks.to_coco(), boxes, strict=True)
            ]
        )
    return shapes


def write_data(folder: Path, num_pictures: int, seed: int) -> tuple[int, int]:
    """Write truth.json and found.json; return how many objects each holds."""
    rng = np.random.default_rng(seed)
    shapes = make_shapes(rng)
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image_id in range(1, num_pictures + 1):
        for shape in rng.choice(SHAPES, TRUE, replace=False):
            where = {"image_id": image_id, "category_id": int(rng.integers(1, CLASSES + 1))}
            annotations.append({"id": len(annotations) + 1, **where, **shapes[shape][0]})
            moved = shapes[shape][int(rng.integers(1, 3))]
            results.append({**where, **moved, "score": float(rng.random())})
        for shape in rng.choice(SHAPES, FALSE):
            where = {"image_id": image_id, "category_id": int(rng.integers(1, CLASSES + 1))}
            results.append({**where, **shapes[shape][0], "score": float(rng.random())})
    truth = {
        "images": [
            {"id": i, "height": SIZE[0], "width": SIZE[1], "file_name": f"{i}.jpg"}
            for i in range(1, num_pictures + 1)
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": str(i)} for i in range(1, CLASSES + 1)],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(results))
    return len(annotations), len(results)


def measure(folder: Path, family: str) -> dict[str, Any]:
    """Score by one family of metrics, 1,000 replicates included."""
    options = ["--predictions", str(folder / "found.json"), "--data", str(folder / "truth.json")]
    return run(family, [*options, "--metrics", family, "--score-threshold", "0"])


def measure_paired(folder: Path) -> dict[str, Any]:
    """Hold the predictions against those of a model that misses every tenth."""
    found = json.loads((folder / "found.json").read_text())
    fewer = [one for number, one in enumerate(found) if number % 10]
    (folder / "fewer.json").write_text(json.dumps(fewer))
    files = [str(folder / name) for name in ("fewer.json", "found.json", "truth.json")]
    return run("paired", [files[0], files[1], "--paired", "--data", files[2]])


def run(name: str, options: list[str]) -> dict[str, Any]:
    """Run the command in a process of its own; return seconds and peak MiB."""
    command = [sys.executable, "-m", "maskwright", "evaluate", *options, "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{name}: the command failed with status {status}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "metrics": name,
        "seconds": round(seconds, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "mib": round(usage.ru_maxrss / unit),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Time and memory of maskwright evaluate.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        num_true, num_found = write_data(Path(name), options.pictures, options.seed)
        print(f"{options.pictures} pictures, {num_true} true objects, {num_found} detections")
        results = [measure(Path(name), family) for family in FAMILIES]
        results.append(measure_paired(Path(name)))
    for one in results:
        print(
            f"{one['metrics']:9} {one['seconds']:6.1f} s, {one['processor_seconds']:6.1f} s of "
            f"processor time, {one['mib']:6} MiB"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    missed = any(
        one["seconds"] > SECONDS_BAR * (1 + (one["metrics"] == "paired")) or one["mib"] > MEMORY_BAR
        for one in results
    )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
