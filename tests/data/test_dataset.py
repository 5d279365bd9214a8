from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from rich.console import Console

from maskwright.data import Dataset, open_annotations, open_dataset
from maskwright.data.index import take_ragged

Content = dict[str, Any]
Write = Callable[[Content], Path]


def test_targets_hold_boxes_of_masks_labels_and_names(content: Content, write: Write) -> None:
    targets = open_annotations(write(content)).targets(1)
    assert targets.image_size == (8, 10)
    assert targets.boxes.tolist() == [[1, 1, 5, 4], [1, 2, 2, 5]]
    assert targets.boxes.dtype == torch.float32
    assert targets.labels.tolist() == [1, 0]
    assert targets.names == ["zebra", "apple"]
    assert targets.category_ids == (4, 90)
    assert targets.is_crowd is not None
    assert targets.is_crowd.tolist() == [False, False]
    assert targets.scores is None


def test_columns_over_objects_agree_with_targets(content: Content, write: Write) -> None:
    dataset = open_annotations(write(content))
    for i in range(len(dataset)):
        here = dataset.object_image == i
        targets = dataset.targets(i)
        assert dataset.labels[here].tolist() == targets.labels.tolist()
        assert targets.is_crowd is not None
        assert dataset.is_crowd[here].tolist() == targets.is_crowd.tolist()
    assert dataset.sizes.tolist() == [[8, 10]] * 3
    assert dataset.image_ids.tolist() == [7, 3, 5]


def test_a_subset_is_the_chosen_pictures_in_order(content: Content, write: Write) -> None:
    dataset = open_dataset(write(content))
    subset = dataset.subset([2, 1])
    assert subset.file_names == ("c.png", "b.png")
    assert subset.object_image.tolist() == [1, 1]
    assert subset.annotation_ids.tolist() == [100, 99]
    np.testing.assert_array_equal(subset.image(1), dataset.image(1))
    assert subset.subset([1]).file_names == ("b.png",)
    assert [image["id"] for image in subset.to_coco()["images"]] == [5, 3]
    assert {a["image_id"] for a in subset.to_coco()["annotations"]} == {3}


def test_an_empty_subset_is_a_dataset(content: Content, write: Write) -> None:
    subset = open_annotations(write(content)).subset([])
    assert len(subset) == len(subset.labels) == len(subset.boxes) == 0
    assert subset.to_coco()["images"] == []
    assert subset.class_names == ("apple", "zebra")


def test_a_subset_shares_the_annotation_arrays(content: Content, write: Write) -> None:
    dataset = open_annotations(write(content))
    assert dataset.subset([0])._index is dataset._index


def test_a_dataset_survives_pickling(content: Content, write: Write) -> None:
    dataset = open_dataset(write(content))
    again: Dataset = pickle.loads(pickle.dumps(dataset))
    assert again.to_coco() == dataset.to_coco()
    assert again.targets(1).masks == dataset.targets(1).masks


def test_reports_print_and_become_plain_values(content: Content, write: Write) -> None:
    content["annotations"][0]["segmentation"] = []
    report = open_annotations(write(content)).report
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(report)
    text = console.export_text()
    assert "3 pictures (1 without objects), 3 objects (1 crowd) of 2 classes" in text
    assert "no segmentation" in text
    values = json.loads(json.dumps(report.as_dict()))
    assert (values["objects"], values["dropped"], values["changed"]) == (3, 1, 0)
    assert values["findings"][0]["examples"] == ["annotation 100 of picture 'b.png'"]


def test_ragged_columns_are_selected_item_by_item() -> None:
    rng = np.random.default_rng(0)
    items = [rng.integers(0, 9, rng.integers(0, 4)) for _ in range(20)]
    offsets = np.concatenate([[0], np.cumsum([len(item) for item in items])])
    order = rng.permutation(20)[:12]
    values, new_offsets = take_ragged(np.concatenate(items), offsets, order)
    for place, item in enumerate(order):
        chosen = values[new_offsets[place] : new_offsets[place + 1]]
        np.testing.assert_array_equal(chosen, items[item])


@pytest.mark.shared_data
@pytest.mark.filterwarnings("ignore:__array__")  # pycocotools 2.0 under NumPy 2
@pytest.mark.parametrize(
    ("file", "num_images", "num_objects", "num_crowd", "num_classes"),
    [
        ("coco128/instances.json", 128, 900, 13, 80),
        ("nuclei/val.json", 70, 1908, 0, 1),
        ("nuclei/train.json", 281, 8930, 0, 1),
        ("fruit_nuts/trainval.json", 18, 165, 0, 3),
    ],
)
def test_real_datasets_arrive_whole_and_decode_as_pycocotools_decodes_them(
    shared_data: Path,
    file: str,
    num_images: int,
    num_objects: int,
    num_crowd: int,
    num_classes: int,
) -> None:
    path = shared_data / file
    dataset = open_dataset(path)
    report = dataset.report
    assert (len(dataset), len(dataset.labels)) == (num_images, num_objects)
    assert (report.num_objects, report.num_crowd) == (num_objects, num_crowd)
    assert (report.num_changed, report.num_dropped) == (0, 0)
    assert len(dataset.class_names) == num_classes
    oracle = COCO(path)
    ids = dataset.annotation_ids
    for i in range(0, len(dataset), max(1, len(dataset) // 40)):
        targets = dataset.targets(i)
        assert targets.masks is not None
        codes = [oracle.annToRLE(oracle.anns[k]) for k in ids[dataset.object_image == i].tolist()]
        expected = [coco_mask.decode(code) for code in codes]
        np.testing.assert_array_equal(
            targets.masks.to_dense(), np.reshape(expected, (len(codes), *targets.image_size))
        )
        assert dataset.image(i).shape[:2] == targets.image_size
    written = {a["id"]: a for a in dataset.to_coco()["annotations"]}
    assert len(written) == num_objects
    for annotation_id, annotation in written.items():
        assert annotation.items() <= oracle.anns[annotation_id].items()


@pytest.mark.shared_data
def test_the_official_ground_truth_of_100_pictures_opens(shared_data: Path) -> None:
    dataset = open_annotations(shared_data / "golden" / "instances_val2014_100.json")
    assert len(dataset) == 100
