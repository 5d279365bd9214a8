"""Predictions of any tool: each form gives the numbers of the same objects as COCO results."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.errors import ConfigError, EvaluationError
from maskwright.evaluation import evaluate, evaluate_families
from maskwright.evaluation.prediction_folders import sniff_folder
from maskwright.masks import Masks
from maskwright.structures import Instances

_SIZE = (40, 60)
_NAMES = ("fig", "nut")


def _mask(left: int, top: int, side: int) -> np.ndarray:
    mask = np.zeros(_SIZE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.fixture
def coco(as_rle) -> dict:
    """Three pictures; the category ids are not the labels."""
    images = [
        {"id": 10 + i, "height": 40, "width": 60, "file_name": f"day/{name}.jpg"}
        for i, name in enumerate("cab")
    ]
    shapes = [(10, 4, (5, 5, 10)), (10, 9, (30, 10, 12)), (11, 4, (20, 20, 14))]
    annotations = [
        {
            "id": number,
            "image_id": image,
            "category_id": category,
            "segmentation": as_rle(_mask(*shape)),
        }
        for number, (image, category, shape) in enumerate(shapes, start=1)
    ]
    categories = [{"id": 9, "name": "nut"}, {"id": 4, "name": "fig"}]
    return {"images": images, "annotations": annotations, "categories": categories}


_FOUND = [  # picture, label, shape, score
    (10, 0, (5, 5, 10), 0.9),
    (10, 1, (32, 10, 12), 0.5),
    (11, 0, (22, 20, 13), 0.75),
    (11, 1, (2, 2, 6), 0.25),
]
_STEMS = {10: "c", 11: "a", 12: "b"}


@pytest.fixture
def expected(coco, as_rle):
    return evaluate(_entries(as_rle), coco)


def _entries(as_rle, *, score: float | None = None):
    return [
        {
            "image_id": image,
            "category_id": (4, 9)[label],
            "segmentation": as_rle(_mask(*shape)),
            "score": own if score is None else score,
        }
        for image, label, shape, own in _FOUND
    ]


def _same(got, expected) -> None:
    assert got.as_dict() == expected.as_dict()
    assert 0 < got["segm"]["AP"] < 1


def _squares(shape) -> list[float]:
    left, top, side = shape
    right, bottom = left + side, top + side
    return [left, top, right, top, right, bottom, left, bottom]


def _write_yolo(folder: Path, *, scores: bool = True) -> None:
    folder.mkdir(parents=True)
    for image, stem in _STEMS.items():
        lines = []
        for one, label, shape, score in _FOUND:
            if one == image:
                points = np.array(_squares(shape)).reshape(-1, 2) / (60, 40)
                words = [str(label), *(repr(float(v)) for v in points.reshape(-1))]
                lines.append(" ".join(words + [repr(score)] * scores) + "\n")
        if lines:  # tools write no text where nothing was found
            (folder / f"{stem}.txt").write_text("".join(lines))


def test_yolo_texts_with_scores_equal_the_same_coco_results(coco, expected, tmp_path) -> None:
    _write_yolo(tmp_path / "labels")
    for folder in (tmp_path / "labels", tmp_path):
        got = evaluate(folder, coco)
        # Polygons of whole pixels are drawn to the same masks.
        _same(got, expected)
        assert any("1 of 3 pictures have no text" in note and "b" in note for note in got.notes)
        assert any("0 = fig, 1 = nut" in note for note in got.notes)


def test_a_data_yaml_names_the_classes_of_texts(coco, expected, tmp_path) -> None:
    _write_yolo(tmp_path / "labels")
    (tmp_path / "data.yaml").write_text("names: {0: fig, 1: nut}\n")
    _same(evaluate(tmp_path / "labels", coco), expected)
    (tmp_path / "data.yaml").write_text("names: [nut, fig]\n")
    assert evaluate(tmp_path / "labels", coco)["segm"]["AP"] < expected["segm"]["AP"]
    (tmp_path / "data.yaml").write_text("names: [fig, almond]\n")
    with pytest.raises(EvaluationError, match="'almond' is no class"):
        evaluate(tmp_path / "labels", coco)


def test_texts_without_scores_and_empty_masks_are_counted(coco, tmp_path) -> None:
    _write_yolo(tmp_path / "labels", scores=False)
    with (tmp_path / "labels" / "c.txt").open("a") as file:
        file.write("0 0.5\n")
    notes = evaluate(tmp_path, coco).notes
    assert any("4 of 4 lines have no score" in note for note in notes)
    assert any("1 lines without coordinates" in note for note in notes)


def test_a_line_of_a_box_is_scored_as_the_box(coco, expected, tmp_path) -> None:
    (tmp_path / "labels").mkdir()
    for image, stem in _STEMS.items():
        lines = [
            f"{label} {(x + s / 2) / 60!r} {(y + s / 2) / 40!r} {s / 60!r} {s / 40!r} {score}\n"
            for one, label, (x, y, s), score in _FOUND
            if one == image
        ]
        (tmp_path / "labels" / f"{stem}.txt").write_text("".join(lines))
    _same(evaluate(tmp_path, coco), expected)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7 0.1 0.1 0.2 0.1 0.2 0.2 0.9", r"line 1: class '7', wanted 0 to 1"),
        ("0 0.1 0.1 0.2 0.1 0.2 1.7 0.9", r"line 1: coordinate 1.7"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 high", r"line 1: the score is 'high'"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 nan", r"score must be a finite number"),
        ("0 0.1 0.1 0.2 0.1 0.2 0.2 -0.5", r"score must be a finite number"),
    ],
)
def test_lines_that_are_no_polygon_are_refused(line, message, coco, tmp_path) -> None:
    (tmp_path / "c.txt").write_text(line + "\n")
    with pytest.raises(EvaluationError, match=message):
        evaluate(tmp_path, coco)


def _label_maps(folder: Path, ending: str = "") -> None:
    folder.mkdir(parents=True)
    for image, stem in _STEMS.items():
        label_map = np.zeros(_SIZE, np.uint16)
        for value, (_, _, shape, _) in enumerate(
            (one for one in _FOUND if one[0] == image), start=1
        ):
            label_map[_mask(*shape)] = value
        Image.fromarray(label_map).save(folder / f"{stem}{ending}.png")


def _write_table(path: Path, columns: tuple[str, ...], names: dict[int, str]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for image, name in names.items():
            for value, (_, label, _, score) in enumerate(
                (one for one in _FOUND if one[0] == image), start=1
            ):
                table.writerow((name, value, _NAMES[label], score))


def test_label_maps_with_a_table_equal_the_same_coco_results(coco, expected, tmp_path) -> None:
    _label_maps(tmp_path / "maps")
    maps = {image: f"{stem}.png" for image, stem in _STEMS.items()}
    _write_table(tmp_path / "maps" / "objects.csv", ("map", "value", "class", "score"), maps)
    _same(evaluate(tmp_path / "maps", coco), expected)


def test_label_maps_beside_the_table_that_predict_writes_have_its_scores(
    coco, expected, tmp_path
) -> None:
    _label_maps(tmp_path / "labelmap")
    names = {image: f"day/{stem}.jpg" for image, stem in _STEMS.items()}
    _write_table(tmp_path / "objects.csv", ("file_name", "object", "class", "score"), names)
    _same(evaluate(tmp_path / "labelmap", coco), expected)


def test_cellpose_maps_of_one_class_have_the_score_one(coco, as_rle, tmp_path) -> None:
    one_class = coco | {"categories": [{"id": 4, "name": "cell"}]}
    for one in one_class["annotations"]:
        one["category_id"] = 4
    _label_maps(tmp_path / "maps", "_cp_masks")
    found = [one | {"category_id": 4} for one in _entries(as_rle, score=1.0)]
    got, wanted = (
        evaluate_families(one, one_class, ["cells", "coco"]) for one in (tmp_path / "maps", found)
    )
    assert got["cells"].numbers == wanted["cells"].numbers
    assert got["coco"].numbers == wanted["coco"].numbers
    assert any("every score is 1" in note for note in got["cells"].notes)


def test_maps_without_classes_need_a_truth_of_one_class(coco, tmp_path) -> None:
    _label_maps(tmp_path / "maps")
    with pytest.raises(EvaluationError, match="nothing says the class"):
        evaluate(tmp_path / "maps", coco)


def test_a_map_of_another_size_is_refused(coco, tmp_path) -> None:
    Image.fromarray(np.ones((20, 30), np.uint8)).save(tmp_path / "c.png")
    with pytest.raises(EvaluationError, match=r"c.png is 20 x 30 .* \(40, 60\)"):
        evaluate(tmp_path, coco)


@pytest.mark.parametrize("below", ["", "masks"], ids=["as predict writes", "as DSB has them"])
def test_a_folder_of_masks_per_picture_equals_the_same_objects(
    below, coco, as_rle, tmp_path
) -> None:
    for image, stem in _STEMS.items():
        for number, (one, label, shape, _) in enumerate(_FOUND, start=1):
            folder = tmp_path / stem / below
            folder.mkdir(parents=True, exist_ok=True)
            if one == image:
                pixels = Image.fromarray(_mask(*shape).astype(np.uint8) * 255)
                pixels.save(folder / f"{number:04d}_{_NAMES[label]}.png")
    got = evaluate(tmp_path, coco)
    assert got.as_dict() == evaluate(_entries(as_rle, score=1.0), coco).as_dict()
    assert any("every score is 1" in note for note in got.notes)


def test_masks_in_folders_of_classes_are_read_as_the_data_format_writes_them(
    coco, as_rle, tmp_path
) -> None:
    for number, (image, label, shape, _) in enumerate(_FOUND):
        folder = tmp_path / _STEMS[image] / "masks" / _NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_mask(*shape)).save(folder / f"{number}.png")
    got = evaluate(tmp_path, coco)
    assert got.as_dict() == evaluate(_entries(as_rle, score=1.0), coco).as_dict()


def test_files_of_unknown_pictures_are_an_error_with_the_list(coco, tmp_path) -> None:
    _write_yolo(tmp_path / "labels")
    (tmp_path / "labels" / "x.txt").write_text("")
    (tmp_path / "labels" / "y.txt").write_text("")
    with pytest.raises(EvaluationError, match=r"2 of 4 texts belong to no picture .*: x, y\."):
        evaluate(tmp_path, coco)
    coco["images"][1]["file_name"] = "night/c.jpg"
    with pytest.raises(EvaluationError, match="belong to no picture"):
        evaluate(tmp_path, coco)


def test_a_folder_is_recognised_or_its_format_is_asked_for(coco, expected, tmp_path) -> None:
    _write_yolo(tmp_path / "both")
    assert sniff_folder(tmp_path / "both") == ["yolo"]
    Image.new("L", (60, 40)).save(tmp_path / "both" / "c.png")
    with pytest.raises(EvaluationError, match="looks like yolo and labelmap; say which"):
        evaluate(tmp_path / "both", coco)
    _same(evaluate(tmp_path / "both", coco, predictions_format="yolo"), expected)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match="holds no predictions that are known"):
        evaluate(tmp_path / "empty", coco)
    with pytest.raises(ConfigError, match="Did you mean 'yolo'"):
        evaluate(tmp_path / "both", coco, predictions_format="yollo")
    with pytest.raises(EvaluationError, match="no such file or folder"):
        evaluate(tmp_path / "nowhere", coco)


def test_a_folder_that_predict_wrote_is_scored_by_its_results(
    coco, expected, as_rle, tmp_path
) -> None:
    (tmp_path / "results.json").write_text(json.dumps(_entries(as_rle)))
    (tmp_path / "labelmap").mkdir()
    _same(evaluate(tmp_path, coco), expected)


def test_an_annotation_json_with_scores_is_matched_by_its_own_names(
    coco, expected, as_rle, tmp_path
) -> None:
    file = {
        "images": [{"id": i + 1, "file_name": f"day/{n}.jpg"} for i, n in enumerate("abc")],
        "categories": [{"id": 1, "name": "fig"}, {"id": 2, "name": "nut"}],
        "annotations": [
            one
            | {"image_id": " abc".index(_STEMS[one["image_id"]]), "id": n}
            | {"category_id": {4: 1, 9: 2}[one["category_id"]]}
            for n, one in enumerate(_entries(as_rle))
        ],
    }
    (tmp_path / "found.json").write_text(json.dumps(file))
    _same(evaluate(tmp_path / "found.json", coco), expected)


def test_an_image_id_that_is_text_may_be_a_file_name(coco, expected, as_rle) -> None:
    for name in ("{}", "{}.jpg", "day/{}.jpg"):
        entries = [
            one | {"image_id": name.format(_STEMS[one["image_id"]])} for one in _entries(as_rle)
        ]
        _same(evaluate(entries, coco), expected)


def _columns(image: int):
    own = [one for one in _FOUND if one[0] == image]
    masks = np.array([_mask(*shape) for _, _, shape, _ in own], bool).reshape(-1, *_SIZE)
    boxes = [[x, y, x + s, y + s] for _, _, (x, y, s), _ in own]
    labels = np.array([label for _, label, _, _ in own], np.int64)
    scores = np.array([score for *_, score in own], np.float32)
    return np.array(boxes, np.float32).reshape(-1, 4), labels, scores, masks


def _torchvision(image: int) -> dict[str, torch.Tensor]:
    boxes, labels, scores, masks = _columns(image)
    return {
        "boxes": torch.from_numpy(boxes),
        "labels": torch.from_numpy(np.array([4, 9])[labels]),
        "scores": torch.from_numpy(scores),
        "masks": torch.from_numpy(masks[:, None] * 0.9 + 0.05),
    }


def test_torchvision_outputs_by_id_by_name_or_in_order_give_the_same(coco, expected) -> None:
    outputs = {image: _torchvision(image) for image in _STEMS}
    forms = [
        outputs,
        list(outputs.items()),
        {f"{_STEMS[image]}.jpg": one for image, one in outputs.items()},
        list(outputs.values()),
    ]
    for form in forms:
        _same(evaluate(form, coco), expected)
    with pytest.raises(EvaluationError, match="2 predictions came without the id"):
        evaluate(forms[3][:2], coco)
    with pytest.raises(EvaluationError, match="this lacks scores"):
        evaluate({10: {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0)}}, coco)


@pytest.mark.parametrize("named", [True, False])
def test_supervision_detections_give_the_same(named, coco, expected) -> None:
    supervision = pytest.importorskip("supervision")
    found = {}
    for image in _STEMS:
        boxes, labels, scores, masks = _columns(image)
        found[image] = supervision.Detections(
            xyxy=boxes,
            mask=masks if len(masks) else None,
            confidence=scores,
            class_id=labels,
            data={"class_name": np.array(_NAMES)[labels]} if named else {},
        )
    _same(evaluate(found, coco), expected)
    _same(evaluate(list(found.values()), coco), expected)
    found[10].confidence = None
    with pytest.raises(EvaluationError, match="no confidence"):
        evaluate(found, coco)


def test_instances_by_file_name_give_the_same(coco, expected) -> None:
    found = {}
    for image, stem in _STEMS.items():
        boxes, labels, scores, masks = _columns(image)
        found[f"{stem}.jpg"] = Instances(
            image_size=_SIZE,
            boxes=torch.from_numpy(boxes),
            labels=torch.from_numpy(labels),
            scores=torch.from_numpy(scores),
            masks=Masks.from_dense(masks),
            class_names=_NAMES,
        )
    _same(evaluate(found, coco), expected)
    _same(evaluate(list(found.values()), coco), expected)


def test_what_is_no_prediction_is_refused(coco) -> None:
    with pytest.raises(EvaluationError, match="are a list; wanted Instances"):
        evaluate({10: [1, 2]}, coco)
    with pytest.raises(EvaluationError, match="class 5 of labels from 0 to 1"):
        evaluate([{"image_id": 10, "label": 5, "bbox": [0, 0, 3, 3], "score": 1.0}], coco)
