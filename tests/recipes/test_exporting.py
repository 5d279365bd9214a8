"""Exports that are kept only where they predict what the model does."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from contracts.tiny_models import soft_pictures, tiny_model
from maskwright.data import Dataset, open_dataset
from maskwright.errors import ConfigError, DataError, EvaluationError
from maskwright.inference import load
from maskwright.model import save_checkpoint
from maskwright.recipes import export_model
from maskwright.recipes.parity import measure_folder, measure_reference

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, pictures, and the model's own detections as their truth."""
    folder = tmp_path_factory.mktemp("place")
    save_checkpoint(tiny_model("ssd", "mask_rcnn"), folder / "model.safetensors")
    predictor = load(folder / "model.safetensors", runtime="eager")
    names = {3: "coin", 5: "nut", 8: "screw"}
    coco = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in names.items()],
    }
    for i, picture in enumerate(soft_pictures(), start=1):
        cv2.imwrite(str(folder / f"{i}.png"), picture[..., ::-1])
        height, width = picture.shape[:2]
        coco["images"].append({"id": i, "file_name": f"{i}.png", "height": height, "width": width})
        for found in predictor.predict(picture)[:8].to_coco(i):
            annotation = {key: found[key] for key in ("image_id", "category_id", "segmentation")}
            coco["annotations"].append(
                annotation
                | {"id": len(coco["annotations"]) + 1, "iscrowd": 0, "bbox": found["bbox"]}
                | {"area": found["bbox"][2] * found["bbox"][3]}
            )
    (folder / "truth.json").write_text(json.dumps(coco))
    return folder


@pytest.fixture(scope="module")
def data(place: Path) -> Dataset:
    return open_dataset(place / "truth.json")


@pytest.mark.slow
def test_an_int8_export_is_kept_or_refused_by_its_scores(
    place: Path, data: Dataset, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    kept = export_model(
        place / "model.safetensors", tmp_path / "kept", data=data, calibrate=data, max_ap_drop=1.0
    )
    assert kept.parity is not None
    assert kept.header.in_fp32 == ()
    assert kept.header.graphs["dense"].precision == "int8"
    assert kept.parity.before["mask AP"] > 0.5  # the truth is the model's own
    assert kept.parity.drop > 0
    assert kept.parity.agreement < 1
    assert kept.parity.worst[0][1] == min(value for _, value in kept.parity.worst)
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {
        "README.md",
        "config.json",
        "dense.onnx",
        "masks.onnx",
    }
    predictor = load(tmp_path / "kept")
    measured = measure_folder(
        measure_reference(load(place / "model.safetensors", runtime="eager"), data),
        tmp_path / "kept",
    )
    assert measured.after == kept.parity.after
    assert predictor.class_names == data.class_names
    with pytest.raises(EvaluationError, match=r"not kept.*differ most: \d\.png.*dense/") as refusal:
        export_model(
            place / "model.safetensors",
            tmp_path / "refused",
            data=data,
            calibrate=data,
            max_ap_drop=0.0,
        )
    assert "heads, boxes, neck, stem in float32" in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_float32_export_scores_what_the_model_does(
    place: Path, data: Dataset, tmp_path: Path
) -> None:
    exported = export_model(place / "model.safetensors", tmp_path / "out", data=data)
    assert exported.parity is not None
    assert exported.parity.after == exported.parity.before
    assert exported.parity.agreement > 0.999
    assert exported.as_dict()["files"] == ["dense.onnx", "masks.onnx"]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["parity"]["drop"] == 0
    with pytest.raises(ConfigError, match="exported model already"):
        export_model(tmp_path / "out", tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_drop_outside_0_to_1_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be from 0 to 1"):
        export_model(place / "model.safetensors", tmp_path / "out", max_ap_drop=5)


def test_a_folder_with_something_in_it_is_left_alone(place: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(DataError, match="is not an empty folder"):
        export_model(place / "model.safetensors", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_calibration_needs_objects(place: Path, data: Dataset, tmp_path: Path) -> None:
    coco = json.loads((place / "truth.json").read_text()) | {"annotations": []}
    (place / "empty.json").write_text(json.dumps(coco))
    empty = open_dataset(place / "empty.json")
    with pytest.raises(EvaluationError, match="calibrate on have no objects"):
        export_model(place / "model.safetensors", tmp_path / "out", calibrate=empty)
    assert not (tmp_path / "out").exists()


def test_torch_export_has_no_int8(place: Path, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="onnx or openvino"):
        export_model(
            place / "model.safetensors", tmp_path / "out", to="torch-export", calibrate=data
        )
