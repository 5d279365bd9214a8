from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.data import open_dataset
from maskwright.draw import overlay


@pytest.mark.shared_data
@pytest.mark.parametrize(
    "annotations", ["coco128/instances.json", "nuclei/val.json", "fruit_nuts/trainval.json"]
)
def test_true_objects_of_real_pictures_are_drawn_where_they_are(
    shared_data: Path, annotations: str
) -> None:
    dataset = open_dataset(shared_data / annotations)
    for i in range(0, len(dataset), 9):
        image, truth = dataset.image(i), dataset.targets(i)
        assert truth.masks is not None
        changed = (overlay(image, truth, labels=False) != image).any(axis=2)
        inside = truth.masks.union().to_dense().any(axis=0)
        assert not changed[~inside].any()
        # a pixel that has the colour it would be given stays as it is
        assert changed[inside].mean() > 0.99 or not inside.any()
        labels = (overlay(image, truth) != overlay(image, truth, labels=False)).any(axis=2)
        assert labels.mean() < 0.13
