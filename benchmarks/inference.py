"""Mask R-CNN R50-FPN from a picture file to COCO run lengths, against torchvision.

    python benchmarks/inference.py [--json benchmarks/measured/inference.json] [--rounds 9]

The bar: 2.2 times as fast as torchvision's eager network with pycocotools' `encode`, exact in
float32, with 30 and with 100 detections, by a way that needs no compiler on the user's machine;
3 times is the goal.

This is `maskwright bench torchvision/maskrcnn_resnet50_fpn --against torchvision` with a side more:
each side is a process of its own, started once; all predict in turn, so that a disturbance meets
all alike. maskwright keeps its memory as its command line does (`maskwright.keep_memory`);
torchvision runs as a user runs it with the official weights, whose batch norms are frozen.

The weights are random and the same on all sides, for there is no connection: with a score threshold
above which there are enough boxes, of which the best 30 or 100 are kept. What a network computes
does not depend on its weights. The sides' detections and masks must agree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from maskwright.data import read_image
from maskwright.recipes.benchmark import (
    Bench,
    MeasuredSide,
    SideSpec,
    bench_pictures,
    machine_facts,
    measure_side_by_side,
    open_bench_model,
    our_sides,
    parse_size,
    peer_side,
)

BAR, GOAL = 2.2, 3.0
MODEL = "torchvision/maskrcnn_resnet50_fpn"
OURS = {
    "maskwright": ("torch", True),
    "maskwright, memory not kept": ("torch", False),
    "maskwright, eager": ("eager", True),
}
"""Runtime of each side of ours, and whether it keeps its memory."""

SIDES = (*OURS, "torchvision")
COUNTS = (30, 100)
_LARGEST = {"score": 1e-3, "box_px": 0.1, "mask_pixels": 1e-3}


def machine() -> dict[str, Any]:
    """Say what was measured on, and the commit."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, check=False, capture_output=True, text=True)
    return {**machine_facts(), "commit": commit.stdout.strip() or "unknown"}


def compare(count: int, options: argparse.Namespace) -> Bench:
    """Let all sides predict in turn, with this number of detections at most."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [] if options.picture is None else [options.picture]
        pictures = bench_pictures(sources, folder, parse_size(options.size), 1)
        model = open_bench_model(MODEL, folder, read_image(pictures[0]), detections=count)
        sides: list[SideSpec] = []
        for side in options.sides:
            if side == "torchvision":
                sides.append(peer_side(side, model, folder, threads=options.threads, python=None))
                continue
            runtime, keeps = OURS[side]
            (one,) = our_sides(
                model, (runtime,), ("fp32",),
                device="cpu", threads=options.threads, keeps_memory=keeps,
            )  # fmt: skip
            sides.append(replace(one, name=side))
        return measure_side_by_side(
            model, sides, pictures,
            reference="torchvision" if "torchvision" in options.sides else options.sides[0],
            rounds=options.rounds, threads=options.threads,
        )  # fmt: skip


def require_agreement(found: Bench, count: int) -> None:
    """Stop where the sides found other things."""
    for side in found.sides:
        off = side.agreement
        if off is None:
            continue
        numbers = asdict(off)
        if off.matched != off.other_objects or any(
            numbers[k] > most for k, most in _LARGEST.items()
        ):
            raise SystemExit(f"{side.name} and {found.reference} differ: {off}")
        if off.objects != count:
            raise SystemExit(f"{off.objects} detections, {count} were wanted: another picture?")


def as_measured(found: Bench, count: int) -> dict[str, Any]:
    """Return the figures as the page reads them."""
    return {
        "detections": count,
        "gigaflops": {part: round(value, 2) for part, value in found.gigaflops.items()},
        "sides": {side.name: figures(side) for side in found.sides},
        "agreement": {
            side.name: asdict(side.agreement) for side in found.sides if side.agreement is not None
        },
    }


def figures(side: MeasuredSide) -> dict[str, Any]:
    """Return one side's, rounded."""
    rounded = {
        name: round(getattr(side, name), 1)
        for name in ("milliseconds", "fastest", "slowest", "processor_ms")
    }
    memory = {
        name: None if (value := getattr(side, name)) is None else round(value)
        for name in ("loaded_mib", "peak_mib", "above_mib")
    }
    return {
        **rounded,
        "ratio": {name: round(value, 3) for name, value in asdict(side.ratio).items()},
        "gigaflops_per_second": side.gigaflops_per_second and round(side.gigaflops_per_second, 1),
        "stages": {stage: round(ms, 1) for stage, ms in side.stages.items()},
        **memory,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Mask R-CNN, file to run lengths, in turn.")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--picture", type=Path, help="another picture than blobs of colour")
    parser.add_argument("--size", default="480x640", help="of the blobs of colour")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    measured: dict[str, Any] = {"machine": machine(), "bar": BAR, "goal": GOAL, "results": []}
    ratios = []
    for count in options.counts:
        found = compare(count, options)
        show(found, count)
        require_agreement(found, count)
        measured["peak"] = asdict(found.peak)
        measured["results"].append(as_measured(found, count))
        if {"maskwright", "torchvision"} <= set(options.sides):
            ratios.append(found.side("maskwright").ratio.median)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")
    return int(any(ratio < BAR for ratio in ratios))


def show(found: Bench, count: int) -> None:
    """Print one comparison."""
    from rich.console import Console

    print(f"{count} detections")
    Console(width=160).print(found.to_tables())


if __name__ == "__main__":
    sys.exit(main())
