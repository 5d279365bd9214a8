"""A model without a mask head, and pictures resized without keeping their aspect."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from contracts.made_up import batch_of, ellipses
from maskwright.data import open_dataset
from maskwright.draw import overlay
from maskwright.errors import ConfigError, MaskError
from maskwright.evaluation import evaluate
from maskwright.inference import Predictor
from maskwright.model import (
    InstanceSegmenter,
    apply_overrides,
    config_from_dict,
    config_to_dict,
    load_checkpoint,
    save_checkpoint,
)
from maskwright.model.picture_batches import normalise_pixels


@pytest.fixture(scope="module")
def finder(config: InstanceSegmenter.Config) -> InstanceSegmenter:
    torch.manual_seed(0)
    return InstanceSegmenter(replace(config, mask_head=None), ("cat", "dog"), (17, 18)).eval()


def test_what_is_found_has_boxes_and_no_masks(
    finder: InstanceSegmenter, images: list[np.ndarray]
) -> None:
    for found, image in zip(finder.predict(finder.collate(images)), images, strict=True):
        assert len(found) > 0
        assert found.masks is None
        assert found.image_size == image.shape[:2]
        assert all("segmentation" not in entry for entry in found.to_coco())
        assert overlay(image, found).shape == image.shape
        with pytest.raises(MaskError, match="have boxes only: run a mask head"):
            found.to_label_map()
    with pytest.raises(MaskError, match="have boxes only"):
        Predictor(finder).predict(images[0], remove_overlaps=True)


def test_only_the_detector_learns(finder: InstanceSegmenter) -> None:
    target = ellipses((64, 96), [(10, 12, 50, 40)], [0])
    losses = finder(batch_of((target,), (64, 96)))
    assert set(losses) == {"objectness", "rpn_box", "classification", "box"}


def test_config_and_file_come_back_as_they_went(
    finder: InstanceSegmenter, images: list[np.ndarray], tmp_path: Path
) -> None:
    plain = json.loads(json.dumps(config_to_dict(finder.config)))
    assert config_from_dict(InstanceSegmenter.Config, plain) == finder.config
    save_checkpoint(finder, tmp_path / "boxes.safetensors")
    again = load_checkpoint(tmp_path / "boxes.safetensors")
    batch = finder.collate(images)
    for one, other in zip(finder.predict(batch), again.predict(batch), strict=True):
        assert torch.equal(one.boxes, other.boxes)
        assert other.masks is None


def test_a_mask_head_is_taken_away_by_name(config: InstanceSegmenter.Config) -> None:
    assert apply_overrides(config, {"mask-head": "none"}).mask_head is None


def test_boxes_are_scored_as_boxes(discs: Path) -> None:
    dataset = open_dataset(discs)
    truth = [dataset.targets(index) for index in range(len(dataset))]
    found = [replace(each, masks=None, scores=torch.ones(len(each))) for each in truth]
    metrics = evaluate(list(zip(dataset.image_ids.tolist(), found, strict=True)), dataset)
    assert metrics["bbox"]["AP"] == pytest.approx(1.0)


def test_a_fixed_size_equals_torchvisions(
    finder: InstanceSegmenter, config: InstanceSegmenter.Config, images: list[np.ndarray]
) -> None:
    options = replace(config, fixed_size=(70, 50), size_multiple=1)
    model = InstanceSegmenter(options, ("cat", "dog"))
    # torchvision's fixed_size is (width, height)
    transform = GeneralizedRCNNTransform(
        50, 70, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], size_divisible=1, fixed_size=(50, 70)
    ).eval()
    expected, _ = transform([torch.tensor(each).permute(2, 0, 1) / 255 for each in images])
    batch = model.collate(images)
    assert batch.images.shape == (2, 3, 70, 50)
    assert batch.image_sizes == ((70, 50), (70, 50))
    assert batch.original_sizes == ((70, 90), (120, 80))
    normalised = normalise_pixels(batch, model.pixel_mean, model.pixel_std)
    torch.testing.assert_close(normalised, expected.tensors, atol=1e-5, rtol=1e-5)


def test_an_impossible_fixed_size_is_refused(config: InstanceSegmenter.Config) -> None:
    with pytest.raises(ConfigError, match="fixed_size"):
        InstanceSegmenter(replace(config, fixed_size=(0, 300)), ("cat",))
