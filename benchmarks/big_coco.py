"""Opening a COCO json of 118,000 pictures and 860,000 objects, with pycocotools beside it.

    python benchmarks/big_coco.py [--json results.json] [--pictures 118000] [--objects 860000]

The file is generated: polygons of COCO's lengths with coordinates to two decimals, 1.2 % crowds as
run lengths, about 450 MB. Every figure is of a process of its own with the imports left out: a
first open (which also writes the cache), a second one, the same after the file was only touched
(its content is read again), and pycocotools' `COCO(path)`, in turn, as medians.

Memory is what a run holds of the annotations: four worker processes of `Loader` decode the masks
of every picture once, and the proportional set sizes of the five processes are summed; the same
five processes on a file of ten pictures are taken off. The bars are issue 4's: the first open no
slower than pycocotools, the second under 0.5 s, memory under 300 MB. The exit code is 1 where one
is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SECOND_BAR, MEMORY_BAR = 0.5, 300.0  # seconds, MB
WORKERS, CLASSES, CROWDS = 4, 80, 0.012


def write_coco(path: Path, num_pictures: int, num_objects: int, seed: int) -> None:
    """Write the generated file, a picture at a time."""
    rng = np.random.default_rng(seed)
    sizes = np.where(rng.random((num_pictures, 1)) < 0.7, [[480, 640]], [[640, 480]])
    # COCO's counts per picture are skewed: many hold one or two, some dozens.
    owners = np.sort(rng.choice(num_pictures, num_objects, p=_skewed(rng, num_pictures)))
    with path.open("w", encoding="ascii") as file:
        file.write('{"info": {"description": "generated"}, "licenses": [], "images": [')
        for start in range(0, num_pictures, 1000):
            entries = [
                f'{{"license": 3, "file_name": "{i + 1:012d}.jpg", '
                f'"coco_url": "http://images.example.org/train2017/{i + 1:012d}.jpg", '
                f'"height": {sizes[i, 0]}, "width": {sizes[i, 1]}, "id": {i + 1}}}'
                for i in range(start, min(start + 1000, num_pictures))
            ]
            file.write((", " if start else "") + ", ".join(entries))
        file.write('], "annotations": [')
        for start in range(0, num_objects, 1000):
            texts = [
                _annotation(rng, start + k + 1, int(owner) + 1, *sizes[owner].tolist())
                for k, owner in enumerate(owners[start : start + 1000])
            ]
            file.write((", " if start else "") + ", ".join(texts))
        names = [{"supercategory": "thing", "id": k + 1, "name": f"c{k}"} for k in range(CLASSES)]
        file.write(f'], "categories": {json.dumps(names)}}}')


def _skewed(rng: np.random.Generator, count: int) -> np.ndarray:
    weights = rng.exponential(1.0, count)
    weights[rng.random(count) < 0.01] = 0  # pictures without objects
    return weights / weights.sum()


def _annotation(rng: np.random.Generator, number: int, image: int, height: int, width: int) -> str:
    is_crowd = rng.random() < CROWDS
    if is_crowd:
        counts = _random_counts(rng, height * width)
        segmentation = f'{{"counts": {counts}, "size": [{height}, {width}]}}'
        box, area = [0, 0, width, height], float(sum(counts[1::2]))
    else:
        extent = np.minimum(np.exp(rng.normal(4.0, 1.0, 2)) + 8, [width, height]) - 1
        centre = rng.uniform(extent / 2, [width, height] - extent / 2)
        rings = [_ring(rng, centre, extent)]
        if rng.random() < 0.08:
            rings.append(_ring(rng, centre, extent / 3))
        segmentation = "[" + ", ".join(f"[{', '.join(map(str, ring))}]" for ring in rings) + "]"
        box = [round(float(v), 2) for v in (*(centre - extent / 2), *extent)]
        area = round(float(extent.prod()) * 0.7, 5)
    label = min(int(rng.exponential(12)), CLASSES - 1) + 1
    return (
        f'{{"segmentation": {segmentation}, "area": {area}, "iscrowd": {int(is_crowd)}, '
        f'"image_id": {image}, "bbox": {box}, "category_id": {label}, "id": {900000 + number}}}'
    )


def _ring(rng: np.random.Generator, centre: np.ndarray, extent: np.ndarray) -> list[float]:
    """A star-shaped polygon of log-normally many corners (mean about 22) in the box."""
    corners = int(np.clip(np.exp(rng.normal(2.93, 0.6)), 4, 300))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = 0.5 * (1 - 0.4 * rng.random(corners))
    x, y = (
        centre[0] + radii * extent[0] * np.cos(angles),
        centre[1] + radii * extent[1] * np.sin(angles),
    )
    ring: list[float] = np.stack([x, y], 1).round(2).ravel().tolist()
    return ring


def _random_counts(rng: np.random.Generator, num_pixels: int) -> list[int]:
    cuts = np.sort(rng.choice(num_pixels - 1, 200, replace=False)) + 1
    counts: list[int] = np.diff(np.concatenate([[0], cuts, [num_pixels]])).tolist()
    return counts


def measure(action: str, path: str) -> float:
    """Run one action in this process; returns seconds, or MB for "memory"."""
    if action == "pycocotools":
        from pycocotools.coco import COCO

        start = time.perf_counter()
        with contextlib.redirect_stdout(None):
            COCO(path)
        return time.perf_counter() - start
    import pyarrow.ipc  # noqa: F401
    import torch  # noqa: F401

    from maskwright.data import open_annotations

    if action == "memory":
        return _memory_of_workers(path)
    start = time.perf_counter()
    open_annotations(path)
    return time.perf_counter() - start


def _memory_of_workers(path: str) -> float:
    import multiprocessing

    from maskwright.data import open_annotations

    dataset = open_annotations(path)
    dataset.targets(0)  # compiled code is loaded once, before the workers are made
    context = multiprocessing.get_context("fork")
    done, seen = context.Barrier(WORKERS + 1), context.Barrier(WORKERS + 1)
    workers = [
        context.Process(target=_decode_all, args=(dataset, k, done, seen)) for k in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    done.wait()
    total = sum(_proportional_set_size(pid) for pid in [os.getpid(), *(w.pid for w in workers)])
    seen.wait()
    for worker in workers:
        worker.join()
    return total


def _decode_all(dataset: Any, worker: int, done: Any, seen: Any) -> None:
    rng = np.random.default_rng(worker)
    for picture in rng.permutation(np.arange(worker, len(dataset), WORKERS)):
        dataset.targets(int(picture))
    done.wait()
    seen.wait()


def _proportional_set_size(pid: int | None) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def in_own_process(action: str, path: Path, cache: Path | str) -> float:
    """Measure an action in a fresh process."""
    command = [sys.executable, __file__, "--measure", action, str(path)]
    environment = os.environ | {"MASKWRIGHT_CACHE": str(cache)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def compare(folder: Path, path: Path, repeats: int, small: Path) -> dict[str, float]:
    """Return the medians of all actions, taken in turn."""
    in_own_process("open", small, "off")  # compiles what is not compiled yet
    figures: dict[str, list[float]] = {
        name: [] for name in ("pycocotools", "first", "second", "touched")
    }
    for turn in range(repeats):
        cache = folder / f"cache{turn}"
        figures["pycocotools"].append(in_own_process("pycocotools", path, cache))
        figures["first"].append(in_own_process("open", path, cache))
        figures["second"].append(in_own_process("open", path, cache))
        path.touch()
        figures["touched"].append(in_own_process("open", path, cache))
    result = {f"{name}_seconds": statistics.median(times) for name, times in figures.items()}
    with_all = in_own_process("memory", path, cache)
    result["cache_mb"] = sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()) / 1e6
    result["memory_mb"] = with_all - in_own_process("memory", small, cache)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=int, default=118_000)
    parser.add_argument("--objects", type=int, default=860_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(measure(*arguments.measure))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path, small = folder / "big.json", folder / "small.json"
        write_coco(path, arguments.pictures, arguments.objects, arguments.seed)
        write_coco(small, 10, 1000, arguments.seed)
        time.sleep(3)  # a file is only known by its times once these are two seconds old
        figures = compare(folder, path, arguments.repeats, small)
        figures["file_mb"] = path.stat().st_size / 1e6
    report = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "pyarrow", "pycocotools")},
        "pictures": arguments.pictures,
        "objects": arguments.objects,
        "repeats": arguments.repeats,
        **{name: round(value, 3) for name, value in figures.items()},
    }
    print(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    is_met = (
        figures["first_seconds"] <= figures["pycocotools_seconds"]
        and figures["second_seconds"] < SECOND_BAR
        and figures["memory_mb"] < MEMORY_BAR
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
