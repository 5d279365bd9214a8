"""Datasets written as COCO come back as they were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.data import open_dataset, write_coco_dataset
from maskwright.errors import DataError
from maskwright.masks import Masks
from maskwright.structures import Instances, Sample


def _sample(image_id: int, num_objects: int, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    masks = Masks.from_dense(rng.random((num_objects, 20, 30)) > 0.6)
    targets = Instances(
        image_size=(20, 30),
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.arange(num_objects) % 2,
        masks=masks,
        is_crowd=torch.arange(num_objects) == 1,
        class_names=("cat", "dog"),
        category_ids=(3, 7),
    )
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return Sample(image=image, targets=targets, image_id=image_id, name=f"{image_id}.png")


def test_pictures_masks_classes_and_crowds_come_back(tmp_path: Path) -> None:
    samples = [_sample(4, 3), _sample(9, 0)]
    dataset = open_dataset(write_coco_dataset(tmp_path, samples))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.category_ids == (3, 7)
    for i, sample in enumerate(samples):
        back = dataset.sample(i)
        assert back.image_id == sample.image_id
        assert (back.image == sample.image).all()
        assert back.targets.masks == sample.targets.masks
        assert back.targets.labels.tolist() == sample.targets.labels.tolist()
        assert sample.targets.is_crowd is not None
        assert back.targets.is_crowd is not None
        assert back.targets.is_crowd.tolist() == sample.targets.is_crowd.tolist()


def test_a_picture_that_comes_twice_is_an_error_and_leaves_no_json(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="came twice"):
        write_coco_dataset(tmp_path, [_sample(1, 1), _sample(1, 1)])
    assert not (tmp_path / "annotations.json").exists()


def test_classes_that_change_between_pictures_are_an_error(tmp_path: Path) -> None:
    other = _sample(2, 1)
    other = replace(other, targets=replace(other.targets, class_names=("dog", "cat")))
    with pytest.raises(DataError, match="has the classes"):
        write_coco_dataset(tmp_path, [_sample(1, 1), other])
