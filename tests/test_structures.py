from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskwright.errors import ImageError, MaskError
from maskwright.masks import Masks
from maskwright.structures import Instances

_SIZE = (24, 32)


def _random_instances(seed: int, n: int = 5, *, with_masks: bool = True) -> Instances:
    generator = np.random.default_rng(seed)
    dense = generator.random((n, *_SIZE)) > 0.7
    starts = generator.uniform(0, 10, (n, 2))
    boxes = np.hstack([starts, starts + generator.uniform(1, 12, (n, 2))])
    return Instances(
        image_size=_SIZE,
        boxes=torch.from_numpy(boxes).float(),
        labels=torch.from_numpy(generator.integers(0, 2, n)),
        scores=torch.from_numpy(generator.random(n)).float(),
        masks=Masks.from_dense(dense) if with_masks else None,
        class_names=("date", "fig"),
        category_ids=(17, 4),
    )


# pycocotools 2.0.11 returns arrays in a way that NumPy 2 warns of
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_results_survive_json_and_decode_with_pycocotools() -> None:
    instances = _random_instances(0)
    results = json.loads(json.dumps(instances.to_coco(image_id=139)))
    assert instances.masks is not None
    assert instances.scores is not None
    for i, result in enumerate(results):
        x1, y1, x2, y2 = (float(value) for value in instances.boxes[i])
        assert result["image_id"] == 139
        assert result["bbox"] == [x1, y1, x2 - x1, y2 - y1]
        assert result["score"] == float(instances.scores[i])
        assert result["category_id"] == (17, 4)[int(instances.labels[i])]
        assert result["category_name"] == instances.names[i]
        decoded = coco_mask.decode(result["segmentation"]).astype(bool)
        np.testing.assert_array_equal(decoded, instances.masks.to_dense()[i])


def test_category_ids_count_from_one_where_no_dataset_gave_any() -> None:
    instances = Instances(
        image_size=_SIZE, boxes=torch.zeros(2, 4), labels=torch.tensor([0, 6]), scores=torch.ones(2)
    )
    assert [entry["category_id"] for entry in instances.to_coco()] == [1, 7]
    assert "segmentation" not in instances.to_coco()[0]


def test_truth_becomes_annotations_with_area_and_crowd_flag() -> None:
    truth = Instances(
        image_size=_SIZE,
        boxes=torch.tensor([[0.0, 0, 4, 2], [1, 1, 3, 3]]),
        labels=torch.tensor([0, 0]),
        masks=Masks.from_boxes([[0, 0, 4, 2], [1, 1, 3, 3]], _SIZE),
        is_crowd=torch.tensor([False, True]),
    )
    entries = json.loads(json.dumps(truth.to_coco()))
    assert [(entry["area"], entry["iscrowd"]) for entry in entries] == [(8, 0), (4, 1)]
    assert "score" not in entries[0]


def _two_overlapping(scores: list[float] | None) -> Instances:
    masks = Masks.from_boxes([[0, 0, 3, 2], [2, 0, 5, 2]], (2, 5))
    return Instances(
        image_size=(2, 5),
        boxes=torch.from_numpy(masks.boxes),
        labels=torch.zeros(2, dtype=torch.int64),
        scores=None if scores is None else torch.tensor(scores),
        masks=masks,
    )


def test_the_higher_score_wins_a_shared_pixel_of_the_label_map() -> None:
    found = _two_overlapping([0.2, 0.9])
    assert found.to_label_map().tolist() == [[1, 1, 2, 2, 2]] * 2
    assert found.to_label_map(overlap="first").tolist() == [[1, 1, 1, 2, 2]] * 2
    assert _two_overlapping([0.9, 0.2]).to_label_map().tolist() == [[1, 1, 1, 2, 2]] * 2
    assert _two_overlapping([0.5, 0.5]).to_label_map().tolist() == [[1, 1, 1, 2, 2]] * 2


def test_overlapping_truth_has_no_label_map_until_a_rule_is_chosen() -> None:
    truth = _two_overlapping(None)
    with pytest.raises(MaskError, match="overlap"):
        truth.to_label_map()
    with pytest.raises(MaskError, match="true objects have none"):
        truth.to_label_map(overlap="score")
    assert truth.to_label_map(overlap="last").tolist() == [[1, 1, 2, 2, 2]] * 2


def test_conversions_that_need_masks_say_so() -> None:
    instances = _random_instances(1, with_masks=False)
    with pytest.raises(MaskError, match="label map needs masks, and these 5 objects"):
        instances.to_label_map()
    with pytest.raises(MaskError, match="outline needs masks"):
        instances.to_polygons()


def test_the_table_has_a_row_per_object() -> None:
    instances = _random_instances(2)
    table = instances.to_dataframe()
    assert instances.masks is not None
    assert table["object"].tolist() == [1, 2, 3, 4, 5]
    assert table["class"].tolist() == instances.names
    np.testing.assert_array_equal(table[["x1", "y1", "x2", "y2"]], instances.boxes)
    np.testing.assert_array_equal(table["area"], instances.masks.to_dense().sum((1, 2)))


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.filterwarnings("default")
def test_supervision_gets_boxes_classes_and_the_same_masks(compact: bool) -> None:
    pytest.importorskip("supervision", reason="an optional extra")
    instances = _random_instances(3)
    detections = instances.to_supervision(compact=compact)
    assert instances.masks is not None
    assert instances.scores is not None
    np.testing.assert_array_equal(detections.xyxy, instances.boxes)
    np.testing.assert_array_equal(np.asarray(detections.mask), instances.masks.to_dense())
    np.testing.assert_array_equal(detections.confidence, instances.scores)
    assert detections["class_name"].tolist() == instances.names
    assert len(_random_instances(3, n=0).to_supervision(compact=compact)) == 0


def test_no_objects_convert_to_nothing_of_the_same_form() -> None:
    empty = _random_instances(4, n=0)
    assert empty.to_coco() == []
    assert empty.to_polygons() == []
    assert empty.to_label_map().shape == _SIZE
    assert not empty.to_label_map().any()
    table, filled = empty.to_dataframe(), _random_instances(4).to_dataframe()
    assert len(table) == 0
    assert table.dtypes.to_dict() == filled.dtypes.to_dict()


def test_an_overlay_is_saved_from_pixels_file_or_argument(tmp_path: Path) -> None:
    from dataclasses import replace

    image = np.random.default_rng(0).integers(0, 256, (*_SIZE, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "picture.png"), image[..., ::-1])
    instances = _random_instances(5)
    instances.save_overlay(tmp_path / "a.png", image)
    replace(instances, source=image).save_overlay(tmp_path / "b.png")
    replace(instances, source=tmp_path / "picture.png").save_overlay(tmp_path / "c.png")
    drawn = [cv2.imread(str(tmp_path / f"{name}.png")) for name in "abc"]
    assert drawn[0] is not None
    assert not np.array_equal(drawn[0], image[..., ::-1])
    for other in drawn[1:]:
        np.testing.assert_array_equal(drawn[0], other)


def test_an_overlay_leaves_out_unsure_objects(tmp_path: Path) -> None:
    image = np.zeros((*_SIZE, 3), np.uint8)
    unsure = _random_instances(6)
    unsure.save_overlay(tmp_path / "none.png", image, min_score=1.0)
    assert not cv2.imread(str(tmp_path / "none.png")).any()
    unsure.save_overlay(tmp_path / "all.png", image, min_score=0)
    assert cv2.imread(str(tmp_path / "all.png")).any()


def test_an_overlay_without_a_picture_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"save_overlay\(path, image\)"):
        _random_instances(7).save_overlay(tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_selecting_objects_keeps_fields_in_step() -> None:
    instances = _random_instances(8)
    chosen = instances[[3, 1]]
    assert chosen.masks is not None
    assert instances.masks is not None
    assert chosen.boxes.tolist() == instances.boxes[[3, 1]].tolist()
    assert chosen.masks == instances.masks[[3, 1]]
    assert len(instances[[]]) == 0
    assert len(instances[-1]) == 1
    with pytest.raises(IndexError):
        instances[5]


def test_disagreeing_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 7\): transposed\?"):
        Instances(image_size=_SIZE, boxes=torch.zeros(4, 7), labels=torch.zeros(7).long())
    with pytest.raises(ValueError, match="one entry per box"):
        Instances(image_size=_SIZE, boxes=torch.zeros(2, 4), labels=torch.zeros(3).long())
    with pytest.raises(ValueError, match="masks are of a"):
        Instances(
            image_size=_SIZE,
            boxes=torch.zeros(0, 4),
            labels=torch.zeros(0).long(),
            masks=Masks.empty((2, 2)),
        )


def test_printing_says_what_was_found() -> None:
    assert repr(_two_overlapping(None)) == "<Instances 2 on 2 x 5: 2 0>"
    assert repr(Instances.empty((3, 4))) == "<Instances 0 on 3 x 4>"


def test_a_class_map_gives_shared_pixels_to_the_smaller_object_and_knows_no_crowds() -> None:
    masks = Masks.from_boxes([[0, 0, 4, 2], [1, 0, 2, 2], [3, 0, 6, 2]], (2, 7))
    objects = Instances(
        image_size=(2, 7),
        boxes=torch.tensor(masks.boxes),
        labels=torch.tensor([1, 0, 1]),
        masks=masks,
        is_crowd=torch.tensor([False, False, True]),
    )
    assert objects.to_class_map().tolist() == [[2, 1, 2, 2, -1, -1, 0]] * 2
    assert Instances.empty((1, 2), masks=Masks.empty((1, 2))).to_class_map().tolist() == [[0, 0]]
