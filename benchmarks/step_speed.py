"""Pictures per second of a training step: Mask R-CNN R50-FPN of torchvision and of maskwright.

    python benchmarks/step_speed.py [--json benchmarks/measured/step_speed.json]

The reference step: batch 2, 512 x 512 pixels, fp32, frozen batch norms, stem and first stage
frozen, 256 anchors and 512 boxes sampled per picture, SGD with momentum. Each side is a process of
its own with the same random weights; they take their steps in turn, so that whatever else the
machine does meets all alike; medians. Sampling is made deterministic on both sides, and the losses
of the first step must be equal. torchvision gets its pictures as float tensors and its masks dense,
as its reference script does; ours come as the loader gives them. "memory kept" is
`maskwright.keep_memory()`, which the command line does; it is measured on both sides.

Then the time of our step by stage, for three models, through `fit` and a loader that reads from
the disk (`--profile-only` prints this alone).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from inference import machine
from maskwright.recipes.benchmark.child import Stages

SIDES = ("torchvision", "torchvision, memory kept", "maskwright", "maskwright, memory kept")
MODELS = ("faster-rcnn+mask-rcnn", "faster-rcnn+prototypes", "yolo+prototypes")
WARM_UP = 2
NUM_OBJECTS = 12
LOSSES = {
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "rpn_box",
    "loss_classifier": "classification",
    "loss_box_reg": "box",
    "loss_mask": "mask",
}


def make_truth(size: int) -> tuple[Any, Any, Any]:
    """A picture of noisy ellipses: uint8 (size, size, 3), bool masks (n, size, size), labels."""
    import numpy as np

    rng = np.random.default_rng(0)
    image = rng.integers(0, 80, (size, size, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:size, :size] + 0.5
    masks = []
    for _ in range(NUM_OBJECTS):
        (y, x), (height, width) = rng.uniform(0.1, 0.9, 2) * size, rng.uniform(0.05, 0.15, 2) * size
        mask = ((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 < 1
        image[mask] = rng.integers(100, 255, 3)
        masks.append(mask)
    return image, np.stack(masks), rng.integers(0, 90, NUM_OBJECTS)


def torchvision_network(size: int) -> Any:
    """The network of torchvision's reference training: frozen norms, three stages that learn."""
    from torchvision.models import resnet50
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
    from torchvision.ops import FrozenBatchNorm2d

    backbone = _resnet_fpn_extractor(resnet50(weights=None, norm_layer=FrozenBatchNorm2d), 3)
    return MaskRCNN(backbone, 91, min_size=size, max_size=size)


def make_weights(path: Path, size: int) -> None:
    """Write random weights; the last norm of each block is scaled down, so that nothing grows."""
    import torch

    torch.manual_seed(0)
    network = torchvision_network(size)
    for name, tensor in network.state_dict().items():
        if name.endswith("bn3.weight"):
            tensor.fill_(0.3)
    torch.save(network.state_dict(), path)


def every_other(matched: Any, count: int, fraction: float) -> tuple[Any, Any]:
    """A sampler without randomness, for both sides: matches >= 0 are positive, -1 negative."""
    import torch

    positive = torch.where(matched >= 0)[0][: int(count * fraction)]
    negative = torch.where(matched == -1)[0][::2][: count - len(positive)]
    return positive, negative


class TorchvisionSampler:
    """`every_other` as torchvision calls it."""

    def __init__(self, count: int, fraction: float) -> None:
        self._count, self._fraction = count, fraction

    def __call__(self, labels: list[Any]) -> tuple[list[Any], list[Any]]:
        """Return masks of the sampled positives and negatives of each picture."""
        import torch

        chosen: tuple[list[Any], list[Any]] = ([], [])
        for label in labels:  # above 0 an object, 0 background, below it nothing
            matched = torch.where(label > 0, 0, torch.where(label == 0, -1, -2))
            sampled = every_other(matched, self._count, self._fraction)
            for indices, members in zip(sampled, chosen, strict=True):
                member = torch.zeros_like(label, dtype=torch.uint8)
                member[indices] = 1
                members.append(member)
        return chosen


def torchvision_step(weights: str, size: int, batch_size: int) -> Any:
    """Return a function that takes a step and returns its losses."""
    import numpy as np
    import torch

    network = torchvision_network(size)
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.rpn.fg_bg_sampler = TorchvisionSampler(256, 0.5)
    network.roi_heads.fg_bg_sampler = TorchvisionSampler(512, 0.25)
    image, masks, labels = make_truth(size)
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    edges = [(np.nonzero(mask.any(0))[0], np.nonzero(mask.any(1))[0]) for mask in masks]
    boxes = [[x[0], y[0], x[-1] + 1, y[-1] + 1] for x, y in edges]
    target = {
        "boxes": torch.tensor(np.array(boxes), dtype=torch.float32),
        "labels": torch.from_numpy(labels) + 1,
        "masks": torch.from_numpy(masks).to(torch.uint8),
    }
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=1e-5, momentum=0.9, weight_decay=1e-4)
    network.train()

    def step() -> dict[str, float]:
        optimizer.zero_grad(set_to_none=True)
        losses = network([pixels] * batch_size, [target] * batch_size)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        return {LOSSES[name]: float(value.detach()) for name, value in losses.items()}

    return step


def maskwright_step(weights: str, size: int, batch_size: int) -> Any:
    """Likewise of maskwright, through `fit`."""
    import numpy as np
    import torch

    from maskwright.masks import Masks
    from maskwright.model import load_torchvision
    from maskwright.structures import Batch, Instances
    from maskwright.training import OptimizerConfig, fit

    options = {"short_side": size, "long_side": size, "backbone.freeze_stages": 2}
    network = load_torchvision("maskrcnn_resnet50_fpn", weights, overrides=options)
    network.detector.rpn.sampler = lambda matched: every_other(matched, 256, 0.5)
    network.detector.box_head.sampler = lambda matched: every_other(matched, 512, 0.25)
    image, masks, labels = make_truth(size)
    runs = Masks.from_dense(masks)
    target = Instances(
        image_size=(size, size),
        boxes=torch.from_numpy(np.array(runs.boxes)),
        labels=torch.from_numpy(labels),
        masks=runs,
    )
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    batch = Batch(
        images=torch.stack([pixels] * batch_size),
        image_sizes=((size, size),) * batch_size,
        original_sizes=((size, size),) * batch_size,
        targets=(target,) * batch_size,
    )
    optimizer = OptimizerConfig(learning_rate=1e-5).build(network)

    def batches() -> Any:
        while True:
            yield batch

    steps = fit(network, batches(), optimizer, lambda _: 1.0)
    return lambda: dict(next(steps).losses)


def serve(side: str, weights: str, size: int, batch_size: int) -> None:
    """Take a step whenever a line comes, and say what it took."""
    if side.endswith("memory kept"):
        from maskwright import keep_memory

        keep_memory()
    make = torchvision_step if side.startswith("torchvision") else maskwright_step
    step = make(weights, size, batch_size)
    loaded = _status("VmRSS") / 1024
    print(json.dumps({"ready": side}), flush=True)
    for _ in sys.stdin:
        began, busy = time.perf_counter(), time.process_time()
        losses = step()
        said = {
            "seconds": time.perf_counter() - began,
            "processor_seconds": time.process_time() - busy,
            "loaded_mib": loaded,
            "peak_mib": _status("VmHWM") / 1024,
            "losses": losses,
        }
        print(json.dumps(said), flush=True)


class Side:
    """A process that takes a step when asked."""

    def __init__(self, name: str, weights: Path, size: int, batch_size: int) -> None:
        self.name = name
        options = ["--serve", name, str(weights), "--size", str(size), "--batch", str(batch_size)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        """Return once it is ready."""
        self._read()

    def step(self) -> dict[str, Any]:
        """Take one step."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended")
        said: dict[str, Any] = json.loads(line)
        return said


def compare(size: int, batch_size: int, rounds: int, sides: list[str]) -> dict[str, Any]:
    """Take steps of all sides in turn, each round beginning with another one."""
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        make_weights(weights, size)
        running = [Side(name, weights, size, batch_size) for name in sides]
        try:
            for side in running:
                side.wait()
            for number in range(WARM_UP + rounds):
                first = number % len(running)
                for side in [*running[first:], *running[:first]]:
                    said[side.name].append(side.step())
        finally:
            for side in running:
                side.close()
    apart = furthest_losses(said)
    if apart > 1e-3:
        raise SystemExit(f"the losses of the first step are {apart:.2g} apart: not one step")
    return {
        "size": size,
        "batch_size": batch_size,
        "rounds": rounds,
        "first_losses_apart": apart,
        "sides": {name: summarise(each[WARM_UP:], batch_size) for name, each in said.items()},
    }


def furthest_losses(said: dict[str, list[dict[str, Any]]]) -> float:
    """The largest relative difference of a loss of the first step between any two sides."""
    firsts = [each[0]["losses"] for each in said.values()]
    return max(
        abs(one[name] - firsts[0][name]) / max(abs(firsts[0][name]), 1e-9)
        for one in firsts
        for name in firsts[0]
    )


def summarise(said: list[dict[str, Any]], batch_size: int) -> dict[str, float]:
    """Medians over the rounds."""
    seconds = statistics.median(each["seconds"] for each in said)
    return {
        "seconds": round(seconds, 4),
        "fastest": round(min(each["seconds"] for each in said), 4),
        "slowest": round(max(each["seconds"] for each in said), 4),
        "processor_seconds": round(statistics.median(s["processor_seconds"] for s in said), 4),
        "pictures_per_second": round(batch_size / seconds, 4),
        "loaded_mib": round(said[-1]["loaded_mib"]),
        "peak_mib": round(max(each["peak_mib"] for each in said)),
    }


def profile(model: str, size: int, batch_size: int, num_steps: int) -> dict[str, Any]:
    """Milliseconds of a step by stage: medians, one model, pictures read by a loader process."""
    from maskwright import keep_memory
    from maskwright.backbones import FPN, ResNet
    from maskwright.data import Loader, open_dataset
    from maskwright.detectors import YOLO, FasterRCNN
    from maskwright.mask_heads import MaskRCNNHead, Prototypes
    from maskwright.model import InstanceSegmenter
    from maskwright.training import EMA, OptimizerConfig, fit, whole_batch
    from maskwright.transforms import Augmentation

    keep_memory()
    detector, mask_head = model.split("+")
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=50, norm="frozen_batch", freeze_stages=2),
        neck=FPN.Config(),
        detector=YOLO.Config() if detector == "yolo" else FasterRCNN.Config(),
        mask_head=MaskRCNNHead.Config() if mask_head == "mask-rcnn" else Prototypes.Config(),
        short_side=size,
        long_side=size,
    )
    with tempfile.TemporaryDirectory() as folder:
        dataset = open_dataset(write_dataset(Path(folder), size))
        network = InstanceSegmenter(config, dataset.class_names)
        stages = watch(network)
        loader = Loader(
            dataset,
            batch_size=batch_size,
            short_side=size,
            long_side=size,
            augmentation=Augmentation(horizontal_flip=0.5),
            num_workers=1,
            cache_bytes=2**28,
        )
        optimizer = OptimizerConfig(learning_rate=1e-4).build(network)
        stages.watch(optimizer, "step", "optimiser")

        def backward(forward: Any, batch: Any) -> Any:
            began, inside = time.perf_counter(), {}

            def timed(given: Any) -> Any:
                losses = forward(given)
                inside["forward"] = time.perf_counter() - began
                return losses

            losses = whole_batch(timed, batch)
            spent = time.perf_counter() - began - inside["forward"]
            stages.spent["backward"] = stages.spent.get("backward", 0.0) + spent
            return losses

        rows = []
        options = {"num_steps": WARM_UP + num_steps, "ema": EMA(network), "backward": backward}
        for report in fit(network, loader, optimizer, lambda _: 1.0, clip_norm=10.0, **options):
            row = {"whole step": report.seconds, "waiting for data": report.data_seconds}
            rows.append(row | stages.take())
    rows = rows[WARM_UP:]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {
        name: round(1e3 * statistics.median(row.get(name, 0.0) for row in rows), 1)
        for name in names
    }


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def watch(network: Any) -> Stages:
    """Measure the stages of a network's training step, each without those inside it."""
    from maskwright.detectors import proposal_sampling, rpn, yolo
    from maskwright.mask_heads import crop_losses

    stages = Stages()
    stages.watch(network.backbone, "forward", "backbone")
    stages.watch(network.neck, "forward", "neck")
    stages.watch(network.detector, "loss", "detector")
    stages.watch(network.mask_head, "loss", "mask head")
    for module in (rpn, proposal_sampling):
        stages.watch(module, "match_targets", "matching")
    stages.watch(yolo, "align_cells", "matching")
    stages.watch(crop_losses, "crop_targets", "mask targets")
    if hasattr(network.detector, "rpn"):
        stages.watch(network.detector.rpn, "_propose", "proposals")
    return stages


def write_dataset(folder: Path, size: int) -> Path:
    """Eight pictures with their ellipses as COCO json."""
    from PIL import Image

    from maskwright.masks import Masks

    image, masks, labels = make_truth(size)
    runs = Masks.from_dense(masks)
    document: dict[str, list[Any]] = defaultdict(list)
    document["categories"] = [{"id": k + 1, "name": f"class {k}"} for k in range(90)]
    for image_id in range(1, 9):
        name = f"{image_id}.png"
        Image.fromarray(image).save(folder / name)
        sizes = {"width": size, "height": size}
        document["images"].append({"id": image_id, "file_name": name, **sizes})
        pairs = zip(runs.to_coco(), runs.boxes.tolist(), labels.tolist(), strict=True)
        for code, (x1, y1, x2, y2), label in pairs:
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": label + 1,
                    "segmentation": code,
                    "area": (x2 - x1) * (y2 - y1),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": 0,
                }
            )
    path = folder / "annotations.json"
    path.write_text(json.dumps(document))
    return path


def profile_apart(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """Profile in a process of its own, so that no model's memory helps the next."""
    command = [sys.executable, __file__, "--profile", model, "--size", str(options.size)]
    command += ["--batch", str(options.batch), "--rounds", str(options.rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise SystemExit(f"{model}: {done.stderr}")
    stages: dict[str, Any] = json.loads(done.stdout)
    return stages


def show(figures: dict[str, Any]) -> None:
    """Print what was measured."""
    if "sides" in figures:
        reference = figures["sides"]["torchvision"]["seconds"]
        for name, side in figures["sides"].items():
            print(
                f"{name:<26} {side['pictures_per_second']:.3f} pictures/s  "
                f"{reference / side['seconds']:.3f} x  {side['peak_mib']} MiB, "
                f"{side['loaded_mib']} before the first step"
            )
        print(f"losses of the first step apart by {figures['first_losses_apart']:.1e} at most")
    for model, stages in figures["profiles"].items():
        print(f"{model}: " + ", ".join(f"{name} {ms} ms" for name, ms in stages.items()))


def main() -> int:
    """Measure, show, write; 1 where ours is slower than torchvision."""
    parser = argparse.ArgumentParser(description="A training step, all sides in turn.")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, default=512, help="side of the pictures in pixels")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--profile-only", action="store_true")
    parser.add_argument("--profile", choices=MODELS, help=argparse.SUPPRESS)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], options.serve[1], options.size, options.batch)
        return 0
    if options.profile:
        print(json.dumps(profile(options.profile, options.size, options.batch, options.rounds)))
        return 0
    figures: dict[str, Any] = {"machine": machine()}
    if not options.profile_only:
        figures |= compare(options.size, options.batch, options.rounds, options.sides)
    figures["profiles"] = {model: profile_apart(model, options) for model in options.models}
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sides = figures.get("sides", {})
    ours, theirs = sides.get("maskwright"), sides.get("torchvision")
    return int(bool(ours and theirs and ours["seconds"] > theirs["seconds"]))


if __name__ == "__main__":
    sys.exit(main())
