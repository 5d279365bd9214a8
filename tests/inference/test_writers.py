from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from maskwright.errors import MaskError
from maskwright.inference import Predictor
from maskwright.inference.writers import (
    write_coco_results,
    write_label_map,
    write_masks,
    write_table,
)
from maskwright.masks import Masks
from maskwright.structures import Instances


@pytest.fixture
def found(predictor: Predictor, picture: np.ndarray) -> Instances:
    return predictor.predict(picture)


def test_coco_results_read_back_equal(found: Instances, tmp_path: Path) -> None:
    write_coco_results(tmp_path / "results.json", found.to_coco(7))
    assert json.loads((tmp_path / "results.json").read_text()) == found.to_coco(7)
    write_coco_results(tmp_path / "none.json", [])
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_a_number_that_json_lacks_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_coco_results(tmp_path / "results.json", [{"score": float("nan")}])
    assert list(tmp_path.iterdir()) == []


def test_a_label_map_has_16_bits_and_the_numbers_of_the_objects(
    found: Instances, tmp_path: Path
) -> None:
    write_label_map(tmp_path / "a.png", found)
    read = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, found.to_label_map())


def test_more_objects_than_16_bits_count_are_refused(tmp_path: Path) -> None:
    n = 65_536
    many = Instances(
        image_size=(1, 1),
        boxes=torch.zeros(n, 4),
        labels=torch.zeros(n, dtype=torch.int64),
        scores=torch.zeros(n),
        masks=Masks.from_boxes(np.zeros((n, 4)), (1, 1)),
    )
    with pytest.raises(MaskError, match="65,535 objects, got 65536"):
        write_label_map(tmp_path / "a.png", many)
    assert list(tmp_path.iterdir()) == []


def test_one_picture_per_object_holds_its_exact_mask(found: Instances, tmp_path: Path) -> None:
    files = write_masks(tmp_path / "masks", found)
    assert [file.name for file in files] == ["0001_coin.png", "0002_nut.png", "0003_nut.png"]
    assert found.masks is not None
    for file, mask in zip(files, found.masks.to_dense(), strict=True):
        np.testing.assert_array_equal(cv2.imread(str(file), -1), mask * np.uint8(255))


def test_masks_of_an_earlier_run_are_replaced(found: Instances, tmp_path: Path) -> None:
    write_masks(tmp_path / "masks", found)
    write_masks(tmp_path / "masks", found[[1]])
    assert [file.name for file in (tmp_path / "masks").iterdir()] == ["0001_nut.png"]
    write_masks(tmp_path / "masks", found[[]])
    assert list((tmp_path / "masks").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]


def test_class_names_become_safe_file_names(found: Instances, tmp_path: Path) -> None:
    from dataclasses import replace

    odd = replace(found[[0, 1]], class_names=("../a b/c", "гриб"), labels=torch.tensor([0, 1]))
    names = [file.name for file in write_masks(tmp_path / "masks", odd)]
    assert names == ["0001_a-b-c.png", "0002_гриб.png"]


def test_a_failure_leaves_the_old_masks_and_nothing_aside(found: Instances, tmp_path: Path) -> None:
    from dataclasses import replace

    write_masks(tmp_path / "masks", found)
    # a class name longer than file systems allow fails at the second file
    long = replace(found, class_names=("coin", "n" * 300))
    with pytest.raises(OSError, match="too long"):
        write_masks(tmp_path / "masks", long)
    assert len(list((tmp_path / "masks").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["masks"]


def test_a_table_reads_back_equal(found: Instances, tmp_path: Path) -> None:
    table = found.to_dataframe()
    write_table(tmp_path / "objects.csv", table)
    read = pd.read_csv(tmp_path / "objects.csv")
    pd.testing.assert_frame_equal(read.astype(table.dtypes.to_dict()), table)
