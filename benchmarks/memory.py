"""Memory of a prediction with 30 objects on a picture of 24 megapixels, against torchvision.

    python benchmarks/memory.py [--json benchmarks/measured/memory.json] [--rounds 2]

Peak resident memory above that of the process with its model loaded, each side in a process of its
own. Two measurements:

masks        from the mask head's crops and the boxes to COCO run lengths: what grows with objects
             and picture. torchvision does it as its network does, all objects at once, and
             pycocotools encodes. The bar: one hundredth of torchvision's.
prediction   all of it, picture file to COCO run lengths, by Mask R-CNN R50-FPN with the same random
             weights. No side can be below the decoded picture (72 MB) and the activations of the
             network at 800 x 1200, so a hundredth of torchvision's is out of reach here; both
             floors are written beside the figures.

The exit code is 1 where the bar is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from inference import MODEL, machine
from masks import Scene, make_objects
from maskwright.data import read_image
from maskwright.recipes.benchmark import (
    SideSpec,
    bench_pictures,
    measure_sides,
    open_bench_model,
    our_sides,
    parse_size,
    peer_side,
)
from maskwright.recipes.benchmark.child import forget_peak, memory

BAR = 100.0
_MIB = 2**20
_LEAST_MIB = 1 / 16
"""Below what the system's pages let one tell apart, a figure counts as this."""


def masks_in_this_process(side: str, scene: Scene) -> float:
    """Paste and encode once and return the extra peak in MiB."""
    import torch

    crops, boxes = make_objects(scene, 0)
    small = make_objects(Scene(2, (64, 64), 0.0), 1)
    work = {"maskwright": _with_maskwright, "torchvision": _with_torchvision}[side]
    with torch.no_grad():
        work(*small, (64, 64))  # imports and compiled code
        forget_peak()
        before = memory("VmRSS")
        texts = work(crops, boxes, scene.image_size)
        after = memory("VmHWM")
    assert len(texts) == scene.num_objects
    if before is None or after is None:
        raise SystemExit("this system does not tell how much memory a process takes")
    return (after - before) / _MIB


def _with_maskwright(crops: Any, boxes: Any, size: tuple[int, int]) -> list[Any]:
    from maskwright.masks import Masks

    return Masks.paste(crops, boxes, size).to_coco()


def _with_torchvision(crops: Any, boxes: Any, size: tuple[int, int]) -> list[Any]:
    from pycocotools import mask as coco
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    probs = paste_masks_in_image(crops[:, None], boxes, size)
    return [
        coco.encode(np.asfortranarray((each[0] > 0.5).numpy().view(np.uint8))) for each in probs
    ]


def measure_masks(scene: Scene) -> dict[str, float]:
    """Return the extra MiB of both sides, each in a process of its own."""
    found = {}
    for side in ("maskwright", "torchvision"):
        size = f"{scene.image_size[0]}x{scene.image_size[1]}"
        command = [sys.executable, __file__, "--masks", side, "--size", size]
        command += ["--objects", str(scene.num_objects)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
        found[side] = float(done.stdout)
    return found


def measure_prediction(scene: Scene, rounds: int) -> dict[str, dict[str, Any]]:
    """Return loaded and extra MiB of every side, and the objects it found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = bench_pictures([], folder, scene.image_size, 1)
        model = open_bench_model(
            MODEL, folder, read_image(pictures[0]), detections=scene.num_objects
        )
        sides: list[SideSpec] = []
        for title, keeps in (("maskwright", False), ("maskwright, memory kept", True)):
            (one,) = our_sides(
                model, ("torch",), ("fp32",), device="cpu", threads=None, keeps_memory=keeps
            )
            sides.append(replace(one, name=title))
        sides.append(peer_side("torchvision", model, folder, threads=None, python=None))
        found = {}
        for side in sides:  # one after the other: together they may not fit
            (answers,) = measure_sides([side], pictures, rounds=rounds)[side.name]
            last = answers[-1]
            found[side.name] = {
                "loaded_mib": round(last["loaded_bytes"] / _MIB),
                "above_mib": round((last["peak_bytes"] - last["loaded_bytes"]) / _MIB),
                "objects": last["objects"],
            }
        return found


def floors(scene: Scene) -> dict[str, float]:
    """Return MiB that nobody can do without: decoded pixels, and two maps of the first stage."""
    height, width = scene.image_size
    scale = min(800 / min(height, width), 1333 / max(height, width))
    places = (height * scale / 4) * (width * scale / 4)
    return {
        "decoded picture": 3 * height * width / _MIB,
        "two maps of 256 channels at stride 4, float32": 2 * 256 * places * 4 / _MIB,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Memory of a prediction on a large picture.")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--size", default="4000x6000")
    parser.add_argument("--objects", type=int, default=30)
    parser.add_argument("--masks", choices=("maskwright", "torchvision"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    scene = Scene(options.objects, parse_size(options.size), BAR)
    if options.masks:
        print(masks_in_this_process(options.masks, scene))
        return 0
    masks = measure_masks(scene)
    ratio = masks["torchvision"] / max(masks["maskwright"], _LEAST_MIB)
    print(f"masks: {masks} MiB, {ratio:.0f} times less (bar {BAR:.0f})")
    prediction = measure_prediction(scene, options.rounds)
    for name, side in prediction.items():
        print(
            f"{name}: {side['above_mib']} MiB above {side['loaded_mib']}, {side['objects']} found"
        )
    measured = {
        "machine": machine(),
        "bar": BAR,
        "objects": scene.num_objects,
        "image_size": scene.image_size,
        "masks_mib": {name: round(value, 2) for name, value in masks.items()},
        "masks_ratio": round(ratio, 1),
        "prediction": prediction,
        "floors_mib": {name: round(value) for name, value in floors(scene).items()},
    }
    print(f"floors in MiB: {measured['floors_mib']}")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n")
    return int(ratio < BAR)


if __name__ == "__main__":
    sys.exit(main())
