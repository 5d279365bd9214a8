"""Our SSD, SSDLite and Faster R-CNN against torchvision's, with torchvision's state dicts.

torchvision is the oracle. Its models are random here (the official weights need a connection),
with batch norm statistics that are not 0 and 1 and predictors that are scaled until many
detections of several classes come out, of different scores and sizes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from maskwright.model import InstanceSegmenter, load_torchvision
from maskwright.structures import Instances

# smaller numbers than the defaults, on both sides, so that the tests are quick
_THEIR_RCNN = {
    "min_size": 160,
    "max_size": 256,
    "rpn_pre_nms_top_n_test": 200,
    "rpn_post_nms_top_n_test": 80,
    "box_detections_per_img": 40,
}
_OUR_RCNN = {
    "short_side": 160,
    "long_side": 256,
    "detector.rpn.pre_nms_test": 200,
    "detector.rpn.post_nms_test": 80,
    "detector.detections_per_image": 40,
}

_OPTIONS: dict[str, tuple[dict, dict]] = {
    "ssd300_vgg16": ({}, {}),
    "ssdlite320_mobilenet_v3_large": ({}, {}),
    "fasterrcnn_resnet50_fpn": (_THEIR_RCNN, _OUR_RCNN),
    "fasterrcnn_resnet50_fpn_v2": (_THEIR_RCNN, _OUR_RCNN),
    "fasterrcnn_mobilenet_v3_large_fpn": (_THEIR_RCNN, _OUR_RCNN),
    "fasterrcnn_mobilenet_v3_large_320_fpn": ({}, {}),
}


def _generated(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth coloured blobs with noise, so that neighbouring boxes see different things."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3))
    for _ in range(12):
        cy, cx, spread = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(5, 40)
        blob = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * spread**2))
        image += blob[..., None] * rng.uniform(-160, 160, 3)
    return np.clip(image + 110 + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def _pixels(image: np.ndarray) -> Tensor:
    return torch.tensor(image).permute(2, 0, 1).float() / 255


@torch.no_grad()
def _spread(model: nn.Module, spreads: Mapping[nn.Module, float]) -> None:
    """Scale the last convolution or layer of each module until its output spreads so far."""
    seen: dict[nn.Module, list[Tensor]] = {module: [] for module in spreads}
    hooks = [
        module.register_forward_hook(lambda module, _, output: seen[module].append(output))
        for module in spreads
    ]
    model([_pixels(_generated(200, 260, seed=5))])
    for hook in hooks:
        hook.remove()
    for module, spread in spreads.items():
        last = [each for each in module.modules() if isinstance(each, nn.Conv2d | nn.Linear)][-1]
        last.weight.mul_(spread / torch.cat([each.flatten() for each in seen[module]]).std())


def _random_model(name: str) -> nn.Module:
    torch.manual_seed(7)
    model = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, **_OPTIONS[name][0]
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.2)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.7, 1.4)
        elif isinstance(module, nn.Conv2d):  # what depthwise ones see would else fade away
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    model.eval()
    if hasattr(model, "rpn"):
        _spread(model, {model.rpn.head.cls_logits: 3.0, model.rpn.head.bbox_pred: 0.3})
        predictor = model.roi_heads.box_predictor
        _spread(model, {predictor.cls_score: 3.0, predictor.bbox_pred: 1.0})
    else:
        heads = model.head
        _spread(model, dict.fromkeys(heads.classification_head.module_list, 2.0))
        _spread(model, dict.fromkeys(heads.regression_head.module_list, 1.0))
    return model


Pair = tuple[nn.Module, InstanceSegmenter]


@pytest.fixture(scope="module", params=_OPTIONS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    theirs = _random_model(request.param)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(theirs.state_dict(), path)
    return theirs, load_torchvision(request.param, path, overrides=_OPTIONS[request.param][1])


@torch.no_grad()
def _assert_same(pair: Pair, images: list[np.ndarray]) -> None:
    model, ours = pair
    expected = model([_pixels(image) for image in images])
    for theirs, found in zip(expected, ours.predict(ours.collate(images)), strict=True):
        # torchvision's SSD keeps boxes that lie wholly outside the picture, flat after clipping,
        # and counts them among its best; ours are the same without those, and so maybe some more
        has_area = (theirs["boxes"][:, 2:] - theirs["boxes"][:, :2] > 0.1).all(dim=1)
        boxes, scores, labels = (theirs[name][has_area] for name in ("boxes", "scores", "labels"))
        same = slice(len(boxes))
        assert len(theirs["boxes"]) >= len(found) >= len(boxes)
        assert len(boxes) >= 5, "the comparison says nothing without detections"
        assert len(set(labels.tolist())) > 1
        assert scores.std() > 0.001
        torch.testing.assert_close(found.boxes[same], boxes, atol=1e-2, rtol=0)
        torch.testing.assert_close(found.scores[same], scores, atol=1e-4, rtol=0)
        assert torch.equal(found.labels[same] + 1, labels)
        assert found.masks is None


def test_a_generated_picture_gives_the_same_objects(pair: Pair) -> None:
    _assert_same(pair, [_generated(210, 300, seed=0)])


@pytest.mark.shared_data
def test_a_batch_of_real_pictures_of_different_sizes_gives_the_same_objects(
    pair: Pair, shared_data: Path
) -> None:
    folder = shared_data / "coco128"
    annotations = json.loads(next(folder.glob("*.json")).read_text())
    by_size = {(each["height"], each["width"]): each for each in annotations["images"]}
    chosen = sorted(by_size.values(), key=lambda each: each["file_name"])[:2]
    paths = [next(folder.rglob(each["file_name"])) for each in chosen]
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    assert len({image.shape for image in images}) == 2
    _assert_same(pair, images)


# the losses of Faster R-CNN are compared in test_torchvision_mask_rcnn.py
@pytest.mark.parametrize("pair", ["ssd300_vgg16", "ssdlite320_mobilenet_v3_large"], indirect=True)
@torch.no_grad()
def test_ssd_has_the_same_losses(pair: Pair) -> None:
    model, ours = pair
    assert ours.config.fixed_size is not None
    side, _ = ours.config.fixed_size
    image = _generated(side, side, seed=2)  # of the network's size: no side resizes it
    boxes = torch.tensor([[30.0, 40, 130, 150], [120.0, 60, 260, 280], [5.0, 200, 60, 240]])
    labels = torch.tensor([3, 17, 3])
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    expected = model([_pixels(image)], [{"boxes": boxes, "labels": labels + 1}])
    model.eval()
    target = Instances(image_size=(side, side), boxes=boxes, labels=labels)
    found = ours(replace(ours.collate([image]), targets=(target,)))
    assert set(found) == {"classification", "box"}
    for ours_name, their_name in (("classification", "classification"), ("box", "bbox_regression")):
        torch.testing.assert_close(found[ours_name], expected[their_name], atol=1e-4, rtol=1e-4)
        assert found[ours_name] > 0
