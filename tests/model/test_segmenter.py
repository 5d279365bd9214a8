from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from contracts.made_up import batch_of, ellipses, one_of
from maskwright.backbones import ResNet
from maskwright.errors import ConfigError, DataError, ImageError
from maskwright.model import InstanceSegmenter, apply_overrides
from maskwright.model.picture_batches import normalise_pixels
from maskwright.structures import Batch, Instances

_SIZE = (64, 96)


def _truth() -> Batch:
    """Three pictures of one size: two objects, none, one."""
    return batch_of(
        (
            ellipses(_SIZE, [(10, 12, 50, 40), (60, 30, 92, 60)], [0, 1]),
            ellipses(_SIZE, [], []),
            ellipses(_SIZE, [(20, 5, 44, 60)], [1]),
        ),
        _SIZE,
    )


@torch.no_grad()
def test_batches_equal_torchvisions(
    model: InstanceSegmenter, images: list[np.ndarray], config: InstanceSegmenter.Config
) -> None:
    transform = GeneralizedRCNNTransform(
        config.short_side, config.long_side, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    ).eval()
    pixels = [torch.from_numpy(image).permute(2, 0, 1).float() / 255 for image in images]
    expected, _ = transform(pixels)
    batch = model.collate(images)
    assert list(batch.image_sizes) == expected.image_sizes
    torch.testing.assert_close(
        normalise_pixels(batch, model.pixel_mean, model.pixel_std),
        expected.tensors,
        atol=1e-5,
        rtol=1e-5,
    )
    assert batch.original_sizes == ((70, 90), (120, 80))


@torch.no_grad()
def test_padding_is_zero_after_normalisation_for_any_batch(model: InstanceSegmenter) -> None:
    batch = Batch(
        images=torch.full((1, 3, 32, 64), 200, dtype=torch.uint8),
        image_sizes=((20, 50),),
        original_sizes=((20, 50),),
    )
    normalised = normalise_pixels(batch, model.pixel_mean, model.pixel_std)
    assert normalised[0, :, :20, :50].all()
    assert not normalised[0, :, 20:].any()
    assert not normalised[0, :, :, 50:].any()


@torch.no_grad()
def test_results_are_in_the_frame_of_the_original_pictures(
    model: InstanceSegmenter, images: list[np.ndarray]
) -> None:
    batch = model.collate(images)
    inside = model.detector.detect(model.features(batch), batch)
    for found, resized, image in zip(model.predict(batch), inside, images, strict=True):
        height, width = image.shape[:2]
        ratio = torch.tensor([width, height]) / torch.tensor(resized.image_size[::-1])
        assert len(found) > 0
        assert found.image_size == found.masks.image_size == (height, width)
        torch.testing.assert_close(found.boxes, resized.boxes * ratio.repeat(2))
        assert found.class_names == ("cat", "dog")
        assert found.category_ids == (17, 18)
        assert found.masks.area.max() > 0
        assert found.boxes.device.type == "cpu"


@torch.no_grad()
def test_a_batch_predicts_what_its_pictures_predict_one_by_one(model: InstanceSegmenter) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(3)]
    together = model.predict(model.collate(images))
    for image, found in zip(images, together, strict=True):
        (alone,) = model.predict(model.collate([image]))
        torch.testing.assert_close(alone.boxes, found.boxes, atol=1e-2, rtol=0)
        torch.testing.assert_close(alone.scores, found.scores, atol=1e-4, rtol=0)
        different = alone.masks.to_dense() != found.masks.to_dense()
        assert different.mean() <= 1e-4


@torch.no_grad()
def test_the_loss_of_a_batch_is_the_mean_of_its_pictures_losses(model: InstanceSegmenter) -> None:
    batch = _truth()
    together = model(batch)
    assert set(together) == {"objectness", "rpn_box", "classification", "box", "mask"}
    alone = [model(one_of(batch, index)) for index in range(len(batch))]
    for name, loss in together.items():
        mean = torch.stack([each[name] for each in alone]).mean()
        torch.testing.assert_close(loss, mean, atol=1e-4, rtol=1e-3)


def test_every_parameter_gets_a_gradient(config: InstanceSegmenter.Config) -> None:
    torch.manual_seed(0)
    backbone = ResNet.Config(depth=18, norm="group")
    model = InstanceSegmenter(replace(config, backbone=backbone), ("cat", "dog")).train()
    torch.stack(list(model(_truth()).values())).sum().backward()
    without = [name for name, each in model.named_parameters() if each.grad is None]
    assert without == []


@pytest.mark.slow
def test_one_batch_can_be_learnt_by_heart(config: InstanceSegmenter.Config) -> None:
    torch.manual_seed(0)
    backbone = ResNet.Config(depth=18, norm="group")
    model = InstanceSegmenter(replace(config, backbone=backbone), ("cat", "dog"))
    batch = _truth()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(220):
        optimizer.zero_grad()
        torch.stack(list(model(batch).values())).sum().backward()
        optimizer.step()
    for found, truth in zip(model.predict(batch), batch.targets, strict=True):
        assert (found.scores[len(truth) :] < 0.5).all()
        if not len(truth):
            continue
        best = found[: len(truth)]
        iou = truth.masks.iou(best.masks)
        assert (iou.max(axis=1) > 0.65).all()
        assert best.labels[iou.argmax(axis=1)].tolist() == truth.labels.tolist()
        assert (best.scores > 0.5).all()


def test_inference_mode_and_training_mode_do_not_matter_to_a_prediction(
    config: InstanceSegmenter.Config, images: list[np.ndarray]
) -> None:
    torch.manual_seed(0)
    backbone = ResNet.Config(depth=18, norm="batch", freeze_stages=2)
    model = InstanceSegmenter(replace(config, backbone=backbone), ("cat", "dog")).train()
    modes = [module.training for module in model.modules()]
    statistics = model.backbone.bn1.running_mean.clone()
    (first, _) = model.predict(model.collate(images))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(model.backbone.bn1.running_mean, statistics)
    with torch.inference_mode():
        (second, _) = model.eval().predict(model.collate(images))
    assert torch.equal(first.boxes, second.boxes)
    assert first.masks == second.masks


def test_reduced_precision_runs(model: InstanceSegmenter, images: list[np.ndarray]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        losses = model(_truth())
        found = model.predict(model.collate(images))
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    assert all(each.boxes.dtype == each.scores.dtype == torch.float32 for each in found)


def test_a_copy_is_independent(config: InstanceSegmenter.Config) -> None:
    model = InstanceSegmenter(config, ("cat",))
    twin = copy.deepcopy(model)
    nn.init.zeros_(twin.backbone.conv1.weight)
    assert model.backbone.conv1.weight.any()
    assert twin.backbone._frozen == []


def test_parts_without_a_neck_must_fit(config: InstanceSegmenter.Config) -> None:
    with pytest.raises(ConfigError, match="add a neck, or name one level"):
        InstanceSegmenter(replace(config, neck=None), ("cat",))
    level = {
        "neck": None,
        "detector.rpn.strides": (16,),
        "detector.rpn.anchor_sizes": ((16, 32),),
        "detector.box_head.strides": (16,),
        "mask_head.strides": (16,),
    }
    single = InstanceSegmenter(apply_overrides(config, level), ("cat",)).eval()
    assert all(loss.isfinite() for loss in single(_truth_of_one_class()).values())


def _truth_of_one_class() -> Batch:
    return batch_of((ellipses(_SIZE, [(10, 12, 50, 40)], [0]),), _SIZE)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (33, 17)])
def test_pictures_of_odd_shapes_are_predicted(
    model: InstanceSegmenter, shape: tuple[int, int]
) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    image.flags.writeable = False
    (found,) = model.predict(model.collate([image[::-1]]))
    assert found.image_size == shape


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"got \(8, 8\) uint8"),
        (np.zeros((8, 8, 4), np.uint8), r"got \(8, 8, 4\) uint8"),
        (np.zeros((8, 8, 3), np.float32), "float32"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
    ],
)
def test_what_is_no_picture_is_refused(
    model: InstanceSegmenter, image: np.ndarray, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        model.collate([image])


def test_no_pictures_are_refused(model: InstanceSegmenter) -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        model.collate([])


def test_targets_are_checked(model: InstanceSegmenter) -> None:
    batch = _truth_of_one_class()
    with pytest.raises(DataError, match="without targets"):
        model(replace(batch, targets=None))
    flat = Instances(
        image_size=_SIZE,
        boxes=torch.tensor([[4.0, 4.0, 4.0, 9.0]]),
        labels=torch.tensor([0]),
        masks=batch.targets[0].masks,
    )
    with pytest.raises(DataError, match=r"0.png: object 0 has the box \[4.0, 4.0, 4.0, 9.0\]"):
        model(replace(batch, targets=(flat,)))


def test_classes_are_checked(config: InstanceSegmenter.Config) -> None:
    with pytest.raises(ConfigError, match="at least one class"):
        InstanceSegmenter(config, ())
    with pytest.raises(ConfigError, match="2 class names and 1 category ids"):
        InstanceSegmenter(config, ("cat", "dog"), (1,))
    assert InstanceSegmenter(config, ("cat", "dog")).category_ids == (1, 2)
