"""Real datasets opened by looking alone, and carried through every format and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.formats.holding import HOLDS
from maskwright.data import Dataset, convert, open_dataset, write_coco_dataset
from maskwright.errors import DataError

# Folder or file -> pictures, objects, classes, crowds, as the README beside the data says.
_COUNTS = {
    "coco128": (128, 900, 80, 13),
    "nuclei/train.json": (281, 8930, 1, 0),
    "nuclei/val.json": (70, 1908, 1, 0),
    "nuclei/raw": (6, None, 1, 0),
    "fruit_nuts": (18, 165, 3, 0),
    "magnetic_tile": (275, None, 5, 0),
    "ycb_rgbd": (10, 30, None, 0),
    "davis": (109, 109, None, 0),
}


@pytest.mark.parametrize("name", _COUNTS)
def test_real_data_is_opened_by_looking_alone(name: str, shared_data: Path) -> None:
    dataset = open_dataset(shared_data / name)
    pictures, objects, classes, crowds = _COUNTS[name]
    assert len(dataset) == dataset.report.num_images == pictures
    assert objects in (None, len(dataset.labels))
    assert classes in (None, len(dataset.class_names))
    assert dataset.report.num_crowd == crowds
    assert not dataset.is_empty.any()
    assert dataset.image(0).shape[:2] == tuple(dataset.sizes[0])


def test_class_folders_have_no_object_where_the_mask_is_black(shared_data: Path) -> None:
    dataset = open_dataset(shared_data / "magnetic_tile")
    assert "Free" not in dataset.class_names
    is_free = np.array([name.startswith("Free/") for name in dataset.file_names])
    assert is_free.sum() == 40
    assert not is_free[dataset.object_image].any()


def _worst_iou(one: Dataset, other: Dataset) -> float:
    """Lowest IoU of objects in the same order, pictures matched by name."""
    places = {Path(name).stem.removesuffix("_leftImg8bit"): i for i, name in _named(other)}
    worst = 1.0
    for i, name in _named(one):
        before, after = one.targets(i), other.targets(places[Path(name).stem])
        assert before.masks is not None
        assert after.masks is not None
        assert sorted(before.names) == sorted(after.names)
        if len(before):
            worst = min(worst, float(before.masks.iou(after.masks).max(axis=1).min()))
    return worst


def _named(dataset: Dataset) -> list[tuple[int, str]]:
    return list(enumerate(dataset.file_names))


@pytest.mark.parametrize("target", HOLDS)
@pytest.mark.parametrize("name", ["fruit_nuts", "coco128"])
def test_real_masks_survive_every_format_that_can_hold_them(
    name: str, target: str, shared_data: Path, tmp_path: Path
) -> None:
    whole = open_dataset(shared_data / name, crowd="drop")
    some = whole.subset(range(0, len(whole), len(whole) // 4))
    write_coco_dataset(tmp_path / "some", [some.sample(i) for i in range(len(some))])
    source = open_dataset(tmp_path / "some")
    if (name, target) == ("coco128", "cityscapes"):
        with pytest.raises(DataError, match="80 classes, and Cityscapes's 16-bit maps hold 65"):
            convert(tmp_path / "some", tmp_path / "out", to=target)
        return
    report = convert(tmp_path / "some", tmp_path / "out", to=target).exported
    back = open_dataset(tmp_path / "out")
    assert len(back) == len(source)
    assert len(back.labels) == len(source.labels) - report.num_dropped
    if not report.num_changed + report.num_dropped:
        assert _worst_iou(source, back) == 1.0
    else:  # what the format cannot hold, and nothing else
        assert {"hole", "parts", "overlap"} - HOLDS[target]
