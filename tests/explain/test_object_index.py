"""The index of objects by feature."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.backbones import FPN, ResNet
from maskwright.data import Dataset, open_dataset
from maskwright.detectors import YOLO
from maskwright.errors import DataError
from maskwright.explain import ObjectIndex, build_object_index, object_features
from maskwright.model import InstanceSegmenter


@pytest.fixture(scope="module")
def model() -> InstanceSegmenter:
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        detector=YOLO.Config(width=8),
        mask_head=None,
        short_side=64,
        long_side=64,
    )
    return InstanceSegmenter(config, ("disc",)).eval()


@pytest.fixture(scope="module")
def data(discs: Path) -> Dataset:
    return open_dataset(discs)


@pytest.fixture(scope="module")
def index(model: InstanceSegmenter, data: Dataset) -> ObjectIndex:
    return build_object_index(model, data)


def test_every_object_is_nearest_to_itself_at_distance_zero(
    model: InstanceSegmenter, data: Dataset, index: ObjectIndex
) -> None:
    assert len(index) == len(data.labels) == index.num_objects
    for picture in range(len(data)):
        features = object_features(model, data.image(picture), data.targets(picture))
        places, distances = index.nearest(features, 3)
        own = np.flatnonzero(data.object_image == picture)
        assert index.annotation_ids[places[:, 0]].tolist() == data.annotation_ids[own].tolist()
        assert (distances[:, 0] == 0.0).all()
        assert (np.diff(distances, axis=1) >= 0).all()
        assert (distances[:, 1] > 0).all()


def test_distances_are_those_of_cosines_in_double_precision(index: ObjectIndex) -> None:
    from sklearn.neighbors import NearestNeighbors

    own = index.features.astype(np.float64)
    oracle = NearestNeighbors(n_neighbors=4, metric="cosine", algorithm="brute").fit(own)
    wanted, _ = oracle.kneighbors(own)
    _, distances = index.nearest(index.features.astype(np.float32), 4)
    np.testing.assert_allclose(distances, wanted, atol=1e-9)


def test_an_objects_features_do_not_depend_on_the_others(
    model: InstanceSegmenter, data: Dataset
) -> None:
    image, targets = data.image(0), data.targets(0)
    together = object_features(model, image, targets)
    alone = np.concatenate([object_features(model, image, targets[i]) for i in (0, 1)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    without = object_features(model, image, replace(targets, masks=None))
    assert np.abs(without - together).max() > 1e-4  # the mask weighs the cells
    assert object_features(model, image, targets[[]]).shape == (0, together.shape[1])


def test_a_sample_is_drawn_alike_for_a_seed(model: InstanceSegmenter, data: Dataset) -> None:
    first, again = (build_object_index(model, data, limit=5, seed=3) for _ in range(2))
    assert len(first) == 5
    assert first.num_objects == len(data.labels)
    np.testing.assert_array_equal(first.annotation_ids, again.annotation_ids)
    np.testing.assert_array_equal(first.features, again.features)
    other = build_object_index(model, data, limit=5, seed=4)
    assert first.annotation_ids.tolist() != other.annotation_ids.tolist()


def test_pictures_without_objects_give_an_empty_index(
    model: InstanceSegmenter, data: Dataset, tmp_path: Path
) -> None:
    empty = build_object_index(model, data.subset([5, 11]))
    assert len(empty) == 0
    empty.save(tmp_path / "objects.npz")
    assert len(ObjectIndex.load(tmp_path / "objects.npz")) == 0


def test_an_index_comes_back_from_its_file(index: ObjectIndex, tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    index.save(path)
    loaded = ObjectIndex.load(path)
    for name in ObjectIndex.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(index, name))


def test_a_damaged_index_is_said_to_be_one(index: ObjectIndex, tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    index.save(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"objects\.npz is no index of objects, or a damaged one"):
        ObjectIndex.load(path)
    with pytest.raises(DataError, match="made anew"):
        ObjectIndex.load(tmp_path / "none.npz")
