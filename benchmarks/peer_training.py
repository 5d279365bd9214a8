"""Trains another tool for a time and writes COCO results of its checkpoints.

    python peer_training.py ultralytics|torchvision TRAIN.json VAL.json OUT --minutes 20 --seed 0

Run by `benchmarks/time_to_ap.py`, in an environment of the peer's: it imports nothing of
maskwright. For ultralytics OUT holds `yolo/train` and `yolo/val`, the same pictures in its format.
Writes OUT/results-MINUTES.json for about six moments of the training.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

CHECKPOINTS = 6
MAX_DETECTIONS = 400


def main() -> None:
    """Train the peer that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=["ultralytics", "torchvision"])
    parser.add_argument("train", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    {"ultralytics": ultralytics, "torchvision": torchvision}[options.peer](options)


def ultralytics(options: argparse.Namespace) -> None:
    """YOLO11n-seg from scratch by its own trainer, at 320 pixels, for so many hours."""
    from ultralytics import YOLO

    out = options.out.resolve()
    description = out / "data.yaml"
    document = json.loads(options.train.read_text(encoding="utf-8"))
    names = [one["name"] for one in sorted(document["categories"], key=lambda one: one["id"])]
    lines = [f"train: {pictures_of(out / 'yolo' / 'train')}"]
    lines += [f"val: {pictures_of(out / 'yolo' / 'val')}", f"names: {json.dumps(names)}"]
    description.write_text("\n".join(lines) + "\n", encoding="utf-8")
    begin = time.time()
    YOLO("yolo11n-seg.yaml").train(
        data=str(description),
        time=options.minutes / 60,
        imgsz=320,
        seed=options.seed,
        device="cpu",
        pretrained=False,
        save_period=1,
        project=str(out),
        name="peer",
        exist_ok=True,
        val=False,
        plots=False,
    )
    saved = sorted(
        (out / "peer" / "weights").glob("epoch*.pt"), key=lambda one: one.stat().st_mtime
    )
    saved.append(out / "peer" / "weights" / "last.pt")
    step = max(1, len(saved) // CHECKPOINTS)
    for path in saved[::-1][::step]:
        spent = (path.stat().st_mtime - begin) / 60
        model = YOLO(str(path))
        results = []
        for image in validation_images(options.validation):
            found = model.predict(
                str(image["path"]),
                imgsz=320,
                conf=0.001,
                max_det=MAX_DETECTIONS,
                retina_masks=True,
                verbose=False,
            )[0]
            if found.masks is None:
                continue
            results += entries(
                image["id"],
                found.masks.data.numpy() > 0.5,
                found.boxes.conf.tolist(),
                [category_ids(document)[int(label)] for label in found.boxes.cls.tolist()],
            )
        write(options.out, spent, results)


def torchvision(options: argparse.Namespace) -> None:
    """Mask R-CNN R18-FPN from scratch with torchvision's defaults, four pictures a step."""
    import torch
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    torch.manual_seed(options.seed)
    random.seed(options.seed)
    document = json.loads(options.train.read_text(encoding="utf-8"))
    categories = category_ids(document)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)
    model = MaskRCNN(
        backbone, len(categories) + 1, min_size=384, max_size=504, box_detections_per_img=400
    )
    parameters = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.SGD(parameters, lr=0.005, momentum=0.9, weight_decay=1e-4)
    samples = torchvision_samples(options.train, document)
    begin = time.time()
    pause = 0.0
    due = options.minutes / CHECKPOINTS
    order: list[int] = []
    while True:
        spent = (time.time() - begin - pause) / 60
        if spent >= due:
            paused = time.time()
            write(options.out, spent, torchvision_results(model, options.validation, categories))
            pause += time.time() - paused
            due += options.minutes / CHECKPOINTS
        if spent >= options.minutes:
            return
        order = order or random.sample(range(len(samples)), len(samples))
        chosen, order = order[:4], order[4:]
        images, targets = zip(*(read(samples[k]) for k in chosen), strict=True)
        model.train()
        losses = model(list(images), list(targets))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10.0)
        optimiser.step()


def torchvision_samples(path: Path, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return pictures that hold objects, with their annotations."""
    objects: dict[int, list[dict[str, Any]]] = {}
    for one in document["annotations"]:
        if not one.get("iscrowd") and min(one["bbox"][2:]) > 0:
            objects.setdefault(one["image_id"], []).append(one)
    categories = category_ids(document)
    return [
        {**image, "objects": objects[image["id"]], "categories": categories}
        for image in images_of(path, document)
        if image["id"] in objects
    ]


def read(sample: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return a picture and its dense truth, mirrored half of the time."""
    import torch
    from PIL import Image
    from pycocotools import mask as coco
    from torchvision.transforms.functional import to_tensor

    image = to_tensor(Image.open(sample["path"]).convert("RGB"))
    height, width = image.shape[-2:]
    masks = []
    for one in sample["objects"]:
        runs = one["segmentation"]
        if isinstance(runs, list):
            runs = coco.merge(coco.frPyObjects(runs, height, width))
        elif isinstance(runs["counts"], list):
            runs = coco.frPyObjects(runs, height, width)
        masks.append(torch.from_numpy(coco.decode(runs)))
    boxes = torch.tensor([one["bbox"] for one in sample["objects"]], dtype=torch.float32)
    boxes[:, 2:] += boxes[:, :2]
    stacked = torch.stack(masks)
    labels = [sample["categories"].index(one["category_id"]) + 1 for one in sample["objects"]]
    if random.random() < 0.5:
        image, stacked = image.flip(-1), stacked.flip(-1)
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return image, {"boxes": boxes, "labels": torch.tensor(labels), "masks": stacked}


def torchvision_results(model: Any, path: Path, categories: list[int]) -> list[dict[str, Any]]:
    """Return the COCO results of the model as it is now."""
    import torch
    from PIL import Image
    from torchvision.transforms.functional import to_tensor

    model.eval()
    results = []
    with torch.inference_mode():
        for image in validation_images(path):
            found = model([to_tensor(Image.open(image["path"]).convert("RGB"))])[0]
            results += entries(
                image["id"],
                (found["masks"][:, 0] > 0.5).numpy(),
                found["scores"].tolist(),
                [categories[label - 1] for label in found["labels"].tolist()],
            )
    return results


def category_ids(document: dict[str, Any]) -> list[int]:
    """Return the ids of the classes in their order."""
    return sorted(one["id"] for one in document["categories"])


def validation_images(path: Path) -> list[dict[str, Any]]:
    """Return the pictures that are scored."""
    return images_of(path, json.loads(path.read_text(encoding="utf-8")))


def images_of(path: Path, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a file's pictures with the paths where they are, beside it or in `images/`."""
    found = []
    for image in document["images"]:
        places = [folder / image["file_name"] for folder in (path.parent, path.parent / "images")]
        place = next((one for one in places if one.is_file()), None)
        if place is None:
            raise FileNotFoundError(f"{image['file_name']} is neither beside {path} nor in images/")
        found.append({**image, "path": place})
    return found


def written(path: Path) -> float:
    """Return when a file was written."""
    return path.stat().st_mtime


def pictures_of(folder: Path) -> Path:
    """Return the folder of pictures in a data set in YOLO's layout."""
    return next((one for one in sorted(folder.rglob("images")) if one.is_dir()), folder)


def entries(
    image_id: int, masks: Any, scores: list[float], categories: list[int]
) -> list[dict[str, Any]]:
    """Return COCO results of dense masks."""
    import numpy as np
    from pycocotools import mask as coco

    found = []
    for mask, score, category in zip(masks, scores, categories, strict=True):
        runs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        runs["counts"] = runs["counts"].decode()
        one = {"image_id": image_id, "category_id": category, "score": score}
        found.append({**one, "segmentation": runs})
    return found


def write(out: Path, minutes: float, results: list[dict[str, Any]]) -> None:
    """Write the results of one moment."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"results-{minutes:.2f}.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
