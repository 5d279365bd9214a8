"""Our Mask R-CNN against torchvision's, with torchvision's state dict, on the same pictures.

torchvision is the oracle. Its models are random here (the official weights need a connection),
with batch norm statistics that are not 0 and 1 and predictors that are scaled up until many
detections of several classes come out, of different scores and sizes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter, load_torchvision
from maskwright.structures import Batch, Instances

_NAMES = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")
_SHORT, _LONG = 160, 256
# smaller numbers than the defaults, on both sides, so that the tests are quick
_THEIR_OPTIONS = {
    "min_size": _SHORT,
    "max_size": _LONG,
    "rpn_pre_nms_top_n_test": 200,
    "rpn_post_nms_top_n_test": 80,
    "rpn_post_nms_top_n_train": 150,
    "box_batch_size_per_image": 64,
    "box_detections_per_img": 40,
}
_OUR_OPTIONS = {
    "short_side": _SHORT,
    "long_side": _LONG,
    "detector.rpn.pre_nms_test": 200,
    "detector.rpn.post_nms_test": 80,
    "detector.rpn.post_nms_train": 150,
    "detector.box_head.samples_per_image": 64,
    "detector.detections_per_image": 40,
}


def _random_model(name: str) -> nn.Module:
    torch.manual_seed(7)
    model = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, **_THEIR_OPTIONS
    )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.7, 1.4)
    heads = model.roi_heads
    for layer, factor in (
        (model.rpn.head.cls_logits, 20.0),
        (model.rpn.head.bbox_pred, 5.0),
        (heads.box_predictor.cls_score, 60.0),
        (heads.box_predictor.bbox_pred, 10.0),
    ):
        layer.weight.data.mul_(factor)
    return model.eval()


@pytest.fixture(scope="module", params=_NAMES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, InstanceSegmenter]:
    theirs = _random_model(request.param)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(theirs.state_dict(), path)
    return theirs, load_torchvision(request.param, path, overrides=_OUR_OPTIONS)


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


@torch.no_grad()
def _their_detections(model: nn.Module, images: list[np.ndarray]) -> list[dict[str, Tensor]]:
    tensors = [torch.tensor(image).permute(2, 0, 1).float() / 255 for image in images]
    return model(tensors)


def _assert_same(theirs: dict[str, Tensor], ours: Instances) -> None:
    assert len(ours) == len(theirs["boxes"])
    assert len(ours) >= 5, "the comparison says nothing without detections"
    assert len(set(ours.labels.tolist())) > 1
    torch.testing.assert_close(ours.boxes, theirs["boxes"], atol=1e-2, rtol=0)
    torch.testing.assert_close(ours.scores, theirs["scores"], atol=1e-4, rtol=0)
    assert torch.equal(ours.labels + 1, theirs["labels"])
    masks = theirs["masks"][:, 0].numpy() > 0.5
    assert ours.masks is not None
    assert 0 < masks.mean() < 1
    assert (ours.masks.to_dense() != masks).mean() <= 1e-4


def test_a_generated_picture_gives_the_same_objects(
    pair: tuple[nn.Module, InstanceSegmenter],
) -> None:
    theirs, ours = pair
    image = _generated(210, 300, seed=0)
    _assert_same(_their_detections(theirs, [image])[0], ours.predict(ours.collate([image]))[0])


@pytest.mark.shared_data
def test_a_batch_of_real_pictures_of_different_sizes_gives_the_same_objects(
    pair: tuple[nn.Module, InstanceSegmenter], shared_data: Path
) -> None:
    theirs, ours = pair
    images = _coco_pictures(shared_data, 2)
    assert len({image.shape for image in images}) > 1
    found = ours.predict(ours.collate(images))
    for expected, instances in zip(_their_detections(theirs, images), found, strict=True):
        _assert_same(expected, instances)


def _coco_pictures(shared_data: Path, count: int) -> list[np.ndarray]:
    """The first pictures of coco128, each of another size."""
    folder = shared_data / "coco128"
    annotations = json.loads(next(folder.glob("*.json")).read_text())
    by_size = {(each["height"], each["width"]): each for each in annotations["images"]}
    chosen = sorted(by_size.values(), key=lambda each: each["file_name"])[:count]
    paths = [next(folder.rglob(each["file_name"])) for each in chosen]
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths]


def test_an_image_without_detections_gives_no_objects(
    pair: tuple[nn.Module, InstanceSegmenter],
) -> None:
    theirs, ours = pair
    threshold = theirs.roi_heads.score_thresh
    config = ours.detector.config
    theirs.roi_heads.score_thresh = 1.0
    ours.detector.config = replace(config, score_threshold=1.0)
    try:
        image = _generated(64, 80, seed=1)
        assert len(_their_detections(theirs, [image])[0]["boxes"]) == 0
        assert len(ours.predict(ours.collate([image]))[0]) == 0
    finally:
        theirs.roi_heads.score_thresh, ours.detector.config = threshold, config


def _every_other(matched: Tensor, count: int, fraction: float) -> tuple[Tensor, Tensor]:
    """A sampler without randomness, for both sides."""
    positive = torch.where(matched >= 0)[0][: int(count * fraction)]
    negative = torch.where(matched == -1)[0][::2][: count - len(positive)]
    return positive, negative


def _their_sampler(count: int, fraction: float) -> Callable[[list[Tensor]], tuple]:
    def sample(labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        positives, negatives = [], []
        for label in labels:  # 0 is background, -1 is ignored
            matched = torch.where(label > 0, 0, torch.where(label == 0, -1, -2))
            for chosen, result in zip(
                _every_other(matched, count, fraction), (positives, negatives), strict=True
            ):
                member = torch.zeros_like(label, dtype=torch.uint8)
                member[chosen] = 1
                result.append(member)
        return positives, negatives

    return sample


def _truth(image_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping ellipses, one of them with a hole, and their labels."""
    height, width = image_size
    y, x = np.mgrid[:height, :width]
    masks = np.stack(
        [
            ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
            for cy, cx, ry, rx in ((60, 70, 40, 50), (100, 150, 60, 35), (120, 60, 12, 20))
        ]
    )
    masks[0, 55:65, 60:80] = False
    return masks, np.array([3, 17, 3])


def test_training_losses_are_equal_with_equal_samples(
    pair: tuple[nn.Module, InstanceSegmenter], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, ours = pair
    image = _generated(_SHORT, 220, seed=2)  # of the network's size: no side resizes it
    masks, labels = _truth(image.shape[:2])
    runs = Masks.from_dense(masks)
    boxes = torch.from_numpy(np.array(runs.boxes))
    monkeypatch.setattr(theirs.rpn, "fg_bg_sampler", _their_sampler(256, 0.5))
    monkeypatch.setattr(theirs.roi_heads, "fg_bg_sampler", _their_sampler(64, 0.25))
    monkeypatch.setattr(ours.detector.rpn, "sampler", lambda m: _every_other(m, 256, 0.5))
    monkeypatch.setattr(ours.detector.box_head, "sampler", lambda m: _every_other(m, 64, 0.25))

    expected = _their_losses(theirs, image, boxes, labels, masks)
    target = Instances(
        image_size=image.shape[:2], boxes=boxes, labels=torch.from_numpy(labels), masks=runs
    )
    batch = ours.collate([image])
    assert batch.image_sizes == (image.shape[:2],)
    with torch.no_grad():
        found = ours(
            Batch(
                images=batch.images,
                image_sizes=batch.image_sizes,
                original_sizes=batch.original_sizes,
                targets=(target,),
            )
        )
    for ours_name, their_name in (
        ("objectness", "loss_objectness"),
        ("rpn_box", "loss_rpn_box_reg"),
        ("classification", "loss_classifier"),
        ("box", "loss_box_reg"),
        ("mask", "loss_mask"),
    ):
        torch.testing.assert_close(found[ours_name], expected[their_name], atol=1e-4, rtol=1e-4)
        assert found[ours_name] > 0
    assert len(found) == len(expected)


@torch.no_grad()
def _their_losses(
    model: nn.Module, image: np.ndarray, boxes: Tensor, labels: np.ndarray, masks: np.ndarray
) -> dict[str, Tensor]:
    """torchvision's losses; its batch norm stays in evaluation, whose statistics are known."""
    pixels = torch.tensor(image).permute(2, 0, 1).float() / 255
    target = {
        "boxes": boxes,
        "labels": torch.from_numpy(labels) + 1,
        "masks": torch.from_numpy(masks).to(torch.uint8),
    }
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    try:
        return model([pixels], [target])
    finally:
        model.eval()
