"""How fast masks are pasted and coded, against torchvision and pycocotools.

    python benchmarks/masks.py [--json results.json] [--repeats 5] [--seed 0]

Both sides go from the same crops and boxes to COCO run lengths and must give the same text. They
run in turn in one process; a figure is the median of the repeats. The bars: 100 times
for 100 objects at 800 x 1333, 500 times for 30 objects at 4000 x 6000, and less than 32 MiB of
extra memory for the latter, measured in a fresh process after imports and compiled code are
loaded. The exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.masks import Masks

MEMORY_BAR = 32.0  # MiB


@dataclass(frozen=True)
class Scene:
    """Objects to paste: how many, into what, and how many times faster it must be."""

    num_objects: int
    image_size: tuple[int, int]
    bar: float


@dataclass(frozen=True)
class Result:
    """Medians of both sides in milliseconds."""

    num_objects: int
    image_size: tuple[int, int]
    repeats: int
    maskwright_ms: float
    torchvision_ms: float
    ratio: float
    bar: float


SCENES = (Scene(100, (800, 1333), 100.0), Scene(30, (4000, 6000), 500.0))


def make_objects(scene: Scene, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops (n, 28, 28) like those of a mask head and boxes (n, 4) of log-uniform size.

    A crop is the sigmoid of a lobed blob with some noise; a side of a box is 16 pixels to 0.9 of
    the picture's shorter side, with aspect ratios of up to 3.3.
    """
    rng = np.random.default_rng(seed)
    n, (height, width) = scene.num_objects, scene.image_size
    side = np.exp(rng.uniform(np.log(16), np.log(0.9 * min(height, width)), (n, 1)))
    stretch = np.exp(rng.uniform(-0.6, 0.6, (n, 1)))
    extents = np.minimum(np.concatenate([side * stretch, side / stretch], 1), [width, height])
    corners = rng.uniform(0, 1, (n, 2)) * ([width, height] - extents)
    boxes = torch.from_numpy(np.concatenate([corners, corners + extents], 1)).float()
    y, x = (np.mgrid[:28, :28] + 0.5) / 28 - 0.5
    lobes, phase = rng.integers(2, 7, (n, 1, 1)), rng.uniform(0, 2 * np.pi, (n, 1, 1))
    radius = 0.42 + 0.06 * np.sin(np.arctan2(y, x) * lobes + phase)
    logits = 20 * (radius - np.hypot(x, y)) + rng.normal(0, 0.3, (n, 28, 28))
    return torch.from_numpy(logits).float().sigmoid(), boxes


def with_maskwright(
    crops: torch.Tensor, boxes: torch.Tensor, image_size: tuple[int, int]
) -> list[str]:
    return [rle["counts"] for rle in Masks.paste(crops, boxes, image_size).to_coco()]


def with_torchvision(
    crops: torch.Tensor, boxes: torch.Tensor, image_size: tuple[int, int]
) -> list[str]:
    """One object at a time: faster than all at once, which takes 6 GB at 24 megapixels."""
    from pycocotools import mask as coco
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    texts = []
    for crop, box in zip(crops, boxes, strict=True):
        probs = paste_masks_in_image(crop[None, None], box[None], image_size)
        mask = np.asfortranarray((probs > 0.5)[0, 0].numpy().view(np.uint8))
        texts.append(coco.encode(mask)["counts"].decode())
    return texts


def compare(scene: Scene, repeats: int, seed: int) -> Result:
    """Both sides in turn, after a first round that is checked and not timed."""
    crops, boxes = make_objects(scene, seed)
    sides = (with_maskwright, with_torchvision)
    ours, theirs = (side(crops, boxes, scene.image_size) for side in sides)
    if ours != theirs:
        raise SystemExit("maskwright and torchvision + pycocotools give different masks")
    times: dict[Any, list[float]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side in sides:
            begin = time.perf_counter()
            side(crops, boxes, scene.image_size)
            times[side].append(1e3 * (time.perf_counter() - begin))
    ours_ms, theirs_ms = (statistics.median(times[side]) for side in sides)
    return Result(
        scene.num_objects,
        scene.image_size,
        repeats,
        round(ours_ms, 3),
        round(theirs_ms, 3),
        round(theirs_ms / ours_ms, 1),
        scene.bar,
    )


def extra_memory(seed: int) -> float:
    """Peak of resident memory above what was there before, in MiB, for the largest scene."""
    scene = max(SCENES, key=lambda scene: scene.image_size)
    with_maskwright(*make_objects(Scene(1, (64, 64), 0.0), seed), (64, 64))  # loads compiled code
    crops, boxes = make_objects(scene, seed)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = _status("VmRSS")
    with_maskwright(crops, boxes, scene.image_size)
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    """A line of this process's status in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def _memory_in_fresh_process(seed: int) -> float | None:
    if not Path("/proc/self/clear_refs").exists():
        return None
    command = [sys.executable, __file__, "--only-memory", "--seed", str(seed)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def _machine() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torchvision", "pycocotools", "numba")},
        "commit": _commit(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Paste and code masks: speed and memory.")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only_memory:
        print(extra_memory(options.seed))
        return 0

    machine = _machine()
    print("  ".join(f"{name} {value}" for name, value in machine.items()))
    results = []
    for scene in SCENES:
        result = compare(scene, options.repeats, options.seed)
        results.append(result)
        print(
            f"{scene.num_objects} objects at {scene.image_size[0]} x {scene.image_size[1]}: "
            f"maskwright {result.maskwright_ms:.2f} ms, torchvision + pycocotools "
            f"{result.torchvision_ms:.0f} ms, {result.ratio:.0f} times (bar {scene.bar:.0f})"
        )
    memory = _memory_in_fresh_process(options.seed)
    if memory is not None:
        print(f"extra memory at 24 megapixels: {memory:.1f} MiB (bar {MEMORY_BAR:.0f})")
    if options.json:
        figures = {
            "machine": machine,
            "results": [asdict(result) for result in results],
            "extra_memory_mib": memory,
            "extra_memory_bar_mib": MEMORY_BAR,
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    missed = any(result.ratio < result.bar for result in results)
    return int(missed or (memory is not None and memory >= MEMORY_BAR))


if __name__ == "__main__":
    sys.exit(main())
