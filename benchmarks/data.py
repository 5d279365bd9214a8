"""Decode, augment and collate: milliseconds per picture, beside torchvision v2 and Albumentations.

    python benchmarks/data.py [--json results.json] [--pictures 12] [--repeats 5] [--seed 0]
        [--only 20 640]

The same JPEG pictures and COCO polygons go through three pipelines, in one process without
workers, in turn; a figure is the median of the repeats. Each decodes the picture, makes the masks
of the polygons, flips, resizes with a random scale and shift, changes brightness, contrast and
saturation, drops objects that left the picture, reads the boxes off the masks and packs batches of
two as its trainer takes them: `Loader` of maskwright with its exact runs; torchvision's v2
transforms and Albumentations with dense masks from pycocotools, as the detection references of
torchvision train with. The bars are issue 4's: 5 times as fast as either with 200 objects, no
slower than the faster one with 20. The exit code is 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import albumentations
import cv2
import numpy as np
import torch
from pycocotools import mask as coco_mask
from torchvision import tv_tensors
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2

from maskwright.data import Loader, open_dataset
from maskwright.transforms import Augmentation

SCALE, SHIFT, COLOUR, BATCH = (0.7, 1.4), 0.1, 0.2, 2
SETTINGS = [(20, 640), (200, 640), (20, 1333), (200, 1333)]
Pipeline = Callable[[], int]


def write_pictures(folder: Path, count: int, num_objects: int, side: int, seed: int) -> Path:
    """Write JPEG pictures of 3:4 and their COCO polygons."""
    rng = np.random.default_rng(seed)
    height, width = round(side * 3 / 4), side
    images, annotations = [], []
    for number in range(1, count + 1):
        name = f"{number}.jpg"
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(
            str(folder / name), cv2.add(smooth, rng.integers(0, 20, smooth.shape, np.uint8))
        )
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for _ in range(num_objects):
            annotations.append(_object(rng, len(annotations) + 1, number, height, width))
    path = folder / "annotations.json"
    categories = [{"id": 1, "name": "thing"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))
    return path


def _object(rng: np.random.Generator, number: int, image: int, height: int, width: int) -> Any:
    """A star-shaped polygon of 24 corners, 3 to 25 % of the picture's height across."""
    radius = height * np.exp(rng.uniform(np.log(0.03), np.log(0.25))) / 2
    centre = rng.uniform(radius, [width - radius, height - radius])
    angles = np.sort(rng.uniform(0, 2 * np.pi, 24))
    radii = radius * rng.uniform(0.6, 1, 24)
    points = np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], 1)
    low, extent = points.min(0), np.ptp(points, 0)
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "area": float(extent.prod()),
        "bbox": [*low.tolist(), *extent.tolist()],
        "segmentation": [points.round(2).ravel().tolist()],
    }


def maskwright_pipeline(path: Path, seed: int) -> Pipeline:
    """The loader as the recipes build it."""
    dataset = open_dataset(path)
    height, width = dataset.sizes[0].tolist()
    augmentation = Augmentation(
        scale=SCALE, translation=SHIFT, brightness=COLOUR, contrast=COLOUR, saturation=COLOUR
    )

    def run() -> int:
        loader = Loader(
            dataset,
            batch_size=BATCH,
            short_side=height,
            long_side=width,
            augmentation=augmentation,
            seed=seed,
            epochs=1,
        )
        return sum(len(target) for batch in loader for target in batch.targets or ())

    return run


class DensePictures:
    """The pictures of a COCO json with their polygons as (n, h, w) masks."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text())
        self.folder = path.parent
        self.images = content["images"]
        self.polygons: dict[int, list[Any]] = {image["id"]: [] for image in self.images}
        for annotation in content["annotations"]:
            self.polygons[annotation["image_id"]].append(annotation["segmentation"])

    def masks(self, image: dict[str, Any]) -> np.ndarray:
        """Decode as pycocotools' `annToMask` does, all objects at once."""
        height, width = image["height"], image["width"]
        codes = [
            coco_mask.merge(coco_mask.frPyObjects(rings, height, width))
            for rings in self.polygons[image["id"]]
        ]
        return np.ascontiguousarray(coco_mask.decode(codes).transpose(2, 0, 1))


def torchvision_pipeline(path: Path, seed: int) -> Pipeline:
    """Transforms v2 on tv_tensors."""
    pictures = DensePictures(path)
    transform = v2.Compose(
        [
            v2.RandomHorizontalFlip(0.5),
            v2.RandomAffine(0, translate=(SHIFT, SHIFT), scale=SCALE),
            v2.ColorJitter(COLOUR, COLOUR, COLOUR),
        ]
    )

    def run() -> int:
        torch.manual_seed(seed)
        samples = []
        for image in pictures.images:
            data = read_file(str(pictures.folder / image["file_name"]))
            pixels = tv_tensors.Image(decode_jpeg(data, ImageReadMode.RGB))
            masks = tv_tensors.Mask(torch.from_numpy(pictures.masks(image)))
            samples.append(_kept(*transform(pixels, masks)))
        return _collate(samples)

    return run


def albumentations_pipeline(path: Path, seed: int) -> Pipeline:
    """Albumentations on a list of dense masks."""
    pictures = DensePictures(path)
    transform = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(
                scale=SCALE, translate_percent=(-SHIFT, SHIFT), keep_ratio=True, p=1
            ),
            albumentations.ColorJitter(
                (1 - COLOUR, 1 + COLOUR),
                (1 - COLOUR, 1 + COLOUR),
                (1 - COLOUR, 1 + COLOUR),
                (0, 0),
                p=1,
            ),
        ],
        seed=seed,
    )

    def run() -> int:
        samples = []
        for image in pictures.images:
            pixels = cv2.imread(str(pictures.folder / image["file_name"]), cv2.IMREAD_COLOR_RGB)
            changed = transform(image=pixels, masks=pictures.masks(image))
            masks = torch.from_numpy(np.ascontiguousarray(changed["masks"]))
            planes = torch.from_numpy(np.ascontiguousarray(changed["image"].transpose(2, 0, 1)))
            samples.append(_kept(planes, masks))
        return _collate(samples)

    return run


def _kept(
    image: torch.Tensor, masks: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    kept = (masks.flatten(1) != 0).any(1)
    masks = masks[kept]
    return image, masks, masks_to_boxes(masks)


def _collate(samples: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> int:
    """Pad batches to multiples of 32; returns the number of objects."""
    count = 0
    for start, stop in pairwise(range(0, len(samples) + BATCH, BATCH)):
        part = samples[start:stop]
        height = max(-(-image.shape[1] // 32) * 32 for image, _, _ in part)
        width = max(-(-image.shape[2] // 32) * 32 for image, _, _ in part)
        images = torch.zeros(len(part), 3, height, width, dtype=torch.uint8)
        for padded, (image, masks, _) in zip(images, part, strict=True):
            padded[:, : image.shape[1], : image.shape[2]] = image
            count += len(masks)
    return count


def compare(num_objects: int, side: int, pictures: int, repeats: int, seed: int) -> dict[str, Any]:
    """Return the medians of one setting in milliseconds per picture."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_pictures(Path(folder), pictures, num_objects, side, seed)
        pipelines: dict[str, Pipeline] = {
            "maskwright": maskwright_pipeline(path, seed),
            "torchvision": torchvision_pipeline(path, seed),
            "albumentations": albumentations_pipeline(path, seed),
        }
        times: dict[str, list[float]] = {name: [] for name in pipelines}
        objects = {name: run() for name, run in pipelines.items()}  # warm
        for _ in range(repeats):
            for name, run in pipelines.items():
                start = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - start) / pictures * 1000)
    medians = {name: statistics.median(each) for name, each in times.items()}
    ratios = {name: medians[name] / medians["maskwright"] for name in medians}
    bar = 5.0 if num_objects >= 200 else 1.0
    return {
        "objects": num_objects,
        "side": side,
        **{f"{name}_ms": round(value, 2) for name, value in medians.items()},
        "times_torchvision": round(ratios["torchvision"], 2),
        "times_albumentations": round(ratios["albumentations"], 2),
        "bar": bar,
        "kept_objects": objects,
        "is_met": min(ratios["torchvision"], ratios["albumentations"]) >= bar,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs=2, metavar=("OBJECTS", "SIDE"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    results = []
    for num_objects, side in [tuple(arguments.only)] if arguments.only else SETTINGS:
        results.append(
            compare(num_objects, side, arguments.pictures, arguments.repeats, arguments.seed)
        )
        print(json.dumps(results[-1]), flush=True)
    report = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "versions": {
            name: version(name)
            for name in (
                "numpy",
                "torch",
                "torchvision",
                "albumentations",
                "opencv-python-headless",
            )
        },
        "pictures": arguments.pictures,
        "repeats": arguments.repeats,
        "results": results,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result["is_met"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
