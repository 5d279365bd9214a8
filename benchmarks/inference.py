"""Mask R-CNN R50-FPN from a picture file to COCO run lengths, against torchvision.

    python benchmarks/inference.py [--json benchmarks/measured/inference.json] [--rounds 9]

The bar: 2.2 times as fast as torchvision's eager network with pycocotools' `encode`, exact in
float32, with 30 and with 100 detections, by a way that needs no compiler on the user's machine;
3 times is the goal.

Each side is a process of its own, started once; they predict in turn, picture after picture, so
that a disturbance meets all alike, and what one does to its memory stays with it. maskwright keeps
its memory as its command line does (`maskwright.keep_memory`); torchvision runs as a user runs it.
A figure is the median of the rounds, after two rounds that are not counted.

The weights are random and the same on all sides, for there is no connection: batch norms that are
not 0 and 1, and predictors scaled until more than 100 detections come out above the usual score
of 0.05, of which the best 30 or 100 are kept (`box_detections_per_img`). What a network computes
does not depend on its weights, and the number of detections is the same on all sides. The sides'
detections and masks are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

BAR, GOAL = 2.2, 3.0
NAME = "maskrcnn_resnet50_fpn"
SIDES = ("maskwright", "maskwright, memory not kept", "maskwright, eager", "torchvision")
COUNTS = (30, 100)
WARM_UP = 2

Predict = Callable[[str], list[dict[str, Any]]]
"""A picture file to COCO results: RLE, score, box."""


class Stages:
    """Where the time of a prediction goes: seconds by stage, summed over nested calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def watch(self, owner: Any, method: str, stage: str) -> None:
        """Measure a method of an object from now on."""
        original = getattr(owner, method)

        def measured(*arguments: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            try:
                return original(*arguments, **options)
            finally:
                self.seconds[stage] += time.perf_counter() - begin

        setattr(owner, method, measured)


def make_weights(path: Path) -> None:
    """Write torchvision's state dict with random numbers that lead to detections."""
    import torch
    from torch import nn
    from torchvision.ops import FrozenBatchNorm2d

    torch.manual_seed(0)
    model = _torchvision_network(None, 100)
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.weight.uniform_(0.5, 1.0)
            module.bias.normal_(std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.7, 1.4)
    heads = model.roi_heads
    with torch.no_grad():
        for layer, factor in (
            (model.rpn.head.cls_logits, 20.0),
            (model.rpn.head.bbox_pred, 0.5),
            (heads.box_predictor.cls_score, 4.0),
            (heads.box_predictor.bbox_pred, 5.0),
        ):
            layer.weight.mul_(factor)
        # masks with some structure inside their boxes, neither full nor salt and pepper
        nn.init.normal_(heads.mask_predictor.mask_fcn_logits.weight, std=0.02)
    torch.save(model.state_dict(), path)


def make_picture(path: Path) -> None:
    """Write a JPEG of 480 x 640 with soft blobs of colour."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), noisy)


def torchvision_side(weights: str, count: int, stages: Stages) -> Predict:
    """torchvision's network and pycocotools, as a user runs them."""
    import numpy as np
    import torch
    from PIL import Image
    from pycocotools import mask as coco
    from torchvision.transforms.functional import to_tensor

    model = _torchvision_network(weights, count)
    stages.watch(model.transform, "forward", "resize and normalise")
    stages.watch(model.backbone.body, "forward", "backbone")
    stages.watch(model.backbone.fpn, "forward", "neck")
    stages.watch(model.rpn, "forward", "proposals")
    stages.watch(model.roi_heads, "forward", "heads")
    stages.watch(model.transform, "postprocess", "masks")

    def predict(picture: str) -> list[dict[str, Any]]:
        image = to_tensor(Image.open(picture).convert("RGB"))
        with torch.inference_mode():
            found = model([image])[0]
        begin = time.perf_counter()
        results = []
        for mask, score, box in zip(found["masks"], found["scores"], found["boxes"], strict=True):
            pixels = np.asfortranarray((mask[0] > 0.5).numpy().view(np.uint8))
            coded = coco.encode(pixels)
            coded["counts"] = coded["counts"].decode()
            results.append({"segmentation": coded, "score": float(score), "bbox": box.tolist()})
        stages.seconds["masks"] += time.perf_counter() - begin
        return results

    return predict


def maskwright_side(weights: str, count: int, stages: Stages, *, runtime: str) -> Predict:
    """Our predictor."""
    from maskwright.inference import Predictor, predictor
    from maskwright.inference.runtimes import make_runtime
    from maskwright.masks import Masks
    from maskwright.model import load_torchvision

    model = load_torchvision(NAME, weights, overrides={"detector.detections_per_image": count})
    ready = make_runtime(model, runtime)
    network: Any = getattr(ready, "network", ready)
    stages.watch(network, "collate", "resize and normalise")
    stages.watch(network.backbone, "forward", "backbone")
    stages.watch(network.neck, "forward", "neck")
    stages.watch(network.detector.rpn, "propose", "proposals")
    stages.watch(network.detector, "detect", "detector")
    stages.watch(network.mask_head, "crops", "mask head")
    stages.watch(Masks, "paste", "masks")
    del predictor

    def predict(picture: str) -> list[dict[str, Any]]:
        found = Predictor(ready).predict(picture)
        begin = time.perf_counter()
        results = found.to_coco()
        stages.seconds["masks"] += time.perf_counter() - begin
        return results

    return predict


def _torchvision_network(weights: str | None, count: int) -> Any:
    import torch
    import torchvision

    model = torchvision.models.get_model(
        NAME, weights=None, weights_backbone=None, box_detections_per_img=count
    )
    # as with the official weights, which are built so
    from torchvision.ops import misc

    for module in model.modules():
        if isinstance(module, misc.FrozenBatchNorm2d):
            module.eps = 0.0
    if weights is not None:
        model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


def serve(side: str, weights: str, count: int) -> None:
    """Predict whenever a line with a picture comes, and say what it took."""
    if side == "maskwright":
        from maskwright import keep_memory

        keep_memory()
    stages = Stages()
    if side == "torchvision":
        predict = torchvision_side(weights, count, stages)
    else:
        runtime = "eager" if side.endswith("eager") else "auto"
        predict = maskwright_side(weights, count, stages, runtime=runtime)
    loaded = _status("VmRSS")
    print(json.dumps({"ready": side}), flush=True)
    for line in sys.stdin:
        stages.seconds.clear()
        begin, busy = time.perf_counter(), time.process_time()
        results = predict(line.strip())
        seconds, busy = time.perf_counter() - begin, time.process_time() - busy
        said = {
            "seconds": seconds,
            "processor_seconds": busy,
            "stages": dict(stages.seconds),
            "loaded_mib": loaded / 1024,
            "peak_mib": _status("VmHWM") / 1024,
            "resident_mib": _status("VmRSS") / 1024,
            "results": results,
        }
        print(json.dumps(said), flush=True)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


class Side:
    """A process that predicts when asked."""

    def __init__(self, name: str, weights: Path, count: int) -> None:
        self.name = name
        command = [sys.executable, __file__, "--serve", name, str(weights), str(count)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()

    def predict(self, picture: Path) -> dict[str, Any]:
        """Predict once."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{picture}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended")
        return json.loads(line)


def compare(count: int, weights: Path, picture: Path, rounds: int, sides: list[str]) -> Any:
    """All sides in turn; returns what was measured with this number of detections."""
    running = [Side(name, weights, count) for name in sides]
    said: dict[str, list[dict[str, Any]]] = {side.name: [] for side in running}
    for _ in range(WARM_UP + rounds):
        for side in running:
            said[side.name].append(side.predict(picture))
    for side in running:
        side.close()
    agreement = {
        name: agree(said[name][0]["results"], said["torchvision"][0]["results"], count)
        for name in sides
        if name != "torchvision" and "torchvision" in sides
    }
    measured = {name: summarise(each[WARM_UP:]) for name, each in said.items()}
    return {"detections": count, "sides": measured, "agreement": agreement}


def summarise(said: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the rounds, in milliseconds and MiB."""
    stages = {
        stage: round(1e3 * statistics.median(each["stages"][stage] for each in said), 1)
        for stage in said[0]["stages"]
    }
    if "detector" in stages:  # ours: proposals are a part of it
        stages["box head and selection"] = round(stages.pop("detector") - stages["proposals"], 1)
    milliseconds = [1e3 * each["seconds"] for each in said]
    return {
        "milliseconds": round(statistics.median(milliseconds), 1),
        "fastest": round(min(milliseconds), 1),
        "slowest": round(max(milliseconds), 1),
        "processor_ms": round(1e3 * statistics.median(s["processor_seconds"] for s in said), 1),
        "stages": stages,
        **{name: round(said[-1][name]) for name in ("loaded_mib", "peak_mib", "resident_mib")},
    }


def agree(ours: list[Any], theirs: list[Any], count: int) -> dict[str, float]:
    """Check that both sides found the same, and return how far apart they are."""
    import numpy as np
    from pycocotools import mask as coco

    if not len(ours) == len(theirs) == count:
        raise SystemExit(f"{len(ours)} and {len(theirs)} detections, {count} were wanted")
    scores, boxes, pixels = 0.0, 0.0, 0.0
    corners = np.array([each["bbox"] for each in theirs])
    for one in ours:
        x, y, width, height = one["bbox"]
        distance = np.abs(corners - [x, y, x + width, y + height]).max(axis=1)
        distance += [1e3 * abs(each["score"] - one["score"]) for each in theirs]
        other = theirs[int(distance.argmin())]
        scores = max(scores, abs(other["score"] - one["score"]))
        boxes = max(
            boxes,
            float(np.abs(corners[int(distance.argmin())] - [x, y, x + width, y + height]).max()),
        )
        masks = [coco.decode(each["segmentation"]) for each in (one, other)]
        pixels = max(pixels, float((masks[0] != masks[1]).mean()))
    if scores > 1e-3 or boxes > 0.1 or pixels > 1e-3:
        raise SystemExit(f"the sides differ: scores {scores}, boxes {boxes} px, masks {pixels}")
    return {"score": scores, "box_px": boxes, "mask_pixels": pixels}


def machine() -> dict[str, Any]:
    """Say what was measured on."""
    import torch

    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, check=False, capture_output=True, text=True)
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torchvision", "pycocotools", "numba")},
        "maskwright": version("maskwright"),
        "commit": commit.stdout.strip() or "unknown",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Mask R-CNN, file to run lengths, in turn.")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--picture", type=Path, help="another picture than blobs of 480 x 640")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], options.serve[1], int(options.serve[2]))
        return 0
    figures: dict[str, Any] = {"machine": machine(), "bar": BAR, "goal": GOAL, "results": []}
    with tempfile.TemporaryDirectory() as folder:
        weights, picture = Path(folder) / "weights.pth", Path(folder) / "picture.jpg"
        make_weights(weights)
        make_picture(picture)
        for count in options.counts:
            found = compare(
                count, weights, options.picture or picture, options.rounds, list(options.sides)
            )
            show(found)
            figures["results"].append(found)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return int(any(ratio(found) < BAR for found in figures["results"]))


def ratio(found: dict[str, Any]) -> float:
    """How many times as fast as torchvision; infinite where it did not run."""
    sides = found["sides"]
    if not {"maskwright", "torchvision"} <= sides.keys():
        return float("inf")
    return sides["torchvision"]["milliseconds"] / sides["maskwright"]["milliseconds"]


def show(found: dict[str, Any]) -> None:
    """Print one comparison."""
    print(f"{found['detections']} detections: {ratio(found):.2f} times as fast as torchvision")
    for name, side in found["sides"].items():
        print(
            f"  {name}: {side['milliseconds']:.0f} ms ({side['fastest']:.0f} to "
            f"{side['slowest']:.0f}), {side['processor_ms']:.0f} of all threads, "
            f"peak {side['peak_mib']} MiB, {side['loaded_mib']} loaded"
        )
        print("    " + ", ".join(f"{stage} {ms:.0f}" for stage, ms in side["stages"].items()))
    for name, off in found["agreement"].items():
        print(f"  {name} against torchvision: {off}")


if __name__ == "__main__":
    sys.exit(main())
