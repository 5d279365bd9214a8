"""Other libraries as their users run them: a picture file to COCO results.

Runs without maskwright, in the interpreter of the peer's environment, and imports each library only
where it is asked for. Ultralytics is licensed under the AGPL; it is called here as its users call
it, in a process of its own, where they have installed it, and is no part of maskwright.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["OPEN"]

Predict = Callable[[str], list[dict[str, Any]]]


def torchvision_side(side: dict[str, Any], stages: Any) -> Predict:
    """The eager network of torchvision network, and pycocotools' `encode` for the masks."""
    import torch
    from PIL import Image
    from torchvision.transforms.functional import to_tensor

    _set_threads(side)
    model = torchvision_network(side)
    stages.watch(model.transform, "forward", "resize and normalise")
    body = getattr(model.backbone, "body", None)
    if body is None:  # SSD's
        stages.watch(model.backbone, "forward", "backbone")
        stages.watch(model, "postprocess_detections", "detector")
    else:
        stages.watch(body, "forward", "backbone")
        stages.watch(model.backbone.fpn, "forward", "neck")
        stages.watch(model.rpn, "forward", "proposals")
        stages.watch(model.roi_heads, "forward", "box and mask head")
    stages.watch(model.transform, "postprocess", "masks")

    def predict(picture: str) -> list[dict[str, Any]]:
        with stages.of("reading"):
            image = to_tensor(Image.open(picture).convert("RGB"))
        with torch.inference_mode():
            found = model([image])[0]
        with stages.of("encoding"):
            return _coco_results(found)

    return predict


def torchvision_network(side: Mapping[str, Any]) -> Any:
    """Return torchvision's network as its official weights have it, with weights where given.

    The first version of its R-CNNs has frozen batch norms with those weights, and plain ones
    without any; here they are frozen always.
    """
    import torch
    from torchvision.models import get_model
    from torchvision.models.detection import FasterRCNN, MaskRCNN
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.ops import FrozenBatchNorm2d

    name, options = side["network"], side["options"]
    if name in ("maskrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn"):
        backbone = resnet_fpn_backbone(
            backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d
        )
        kind = MaskRCNN if name.startswith("mask") else FasterRCNN
        model: Any = kind(backbone, **options)
    else:
        model = get_model(name, weights=None, weights_backbone=None, **options)
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = side.get("norm_eps", 0.0)
    if side.get("weights") is not None:
        model.load_state_dict(torch.load(side["weights"], weights_only=True))
    return model.eval()


def ultralytics_side(side: dict[str, Any], stages: Any) -> Predict:
    """Ultralytics' `predict`, with masks at full resolution."""
    from ultralytics import YOLO  # type: ignore[import-not-found]

    _set_threads(side)
    model = YOLO(side["weights"])
    options = {"verbose": False, "device": "cpu", "retina_masks": True, "save": False}
    options |= side["options"]

    def predict(picture: str) -> list[dict[str, Any]]:
        with stages.of("predict"):
            (found,) = model.predict(picture, **options)
            boxes = found.boxes
            columns = {"boxes": boxes.xyxy, "scores": boxes.conf, "labels": boxes.cls}
        # its own account of the last prediction, in milliseconds
        for stage, ms in found.speed.items():
            stages.spent[stage] = ms / 1e3
            stages.spent["predict"] -= ms / 1e3
        with stages.of("encoding"):
            if found.masks is not None:
                columns["masks"] = found.masks.data[:, None]
            return _coco_results(columns)

    return predict


def own_side(side: dict[str, Any], stages: Any) -> Predict:
    """A function of the user's: module:function, which returns `predict(picture)`."""
    _set_threads(side)
    sys.path.insert(0, side["folder"])  # as for a script that is started there
    module, _, function = side["function"].partition(":")
    predict = getattr(importlib.import_module(module), function)()

    def counted(picture: str) -> list[dict[str, Any]]:
        with stages.of("predict"):
            return list(predict(picture))

    return counted


def _set_threads(side: Mapping[str, Any]) -> None:
    if side.get("threads") is not None:
        import torch

        torch.set_num_threads(side["threads"])


def _coco_results(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    boxes, scores = found["boxes"].tolist(), found["scores"].tolist()
    labels = found["labels"].tolist()
    results = [
        {"category_id": int(label), "score": score, "bbox": [x1, y1, x2 - x1, y2 - y1]}
        for (x1, y1, x2, y2), score, label in zip(boxes, scores, labels, strict=True)
    ]
    if "masks" not in found:
        return results
    import numpy as np
    from pycocotools import mask as coco

    for result, mask in zip(results, found["masks"], strict=True):
        pixels = np.asfortranarray((mask[0] > 0.5).cpu().numpy().view(np.uint8))
        coded = coco.encode(pixels)
        coded["counts"] = coded["counts"].decode()
        result["segmentation"] = coded
    return results


OPEN: Mapping[str, Callable[[dict[str, Any], Any], Predict]] = {
    "torchvision": torchvision_side,
    "ultralytics": ultralytics_side,
    "own": own_side,
}
"""What opens a side, by its kind."""
