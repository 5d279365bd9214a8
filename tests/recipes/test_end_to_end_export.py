"""End-to-end exports: kept where they find what the model does, refused where they cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from contracts.tiny_models import soft_pictures, tiny_model
from maskwright.data import Dataset, open_dataset
from maskwright.errors import ConfigError
from maskwright.inference import load
from maskwright.mask_heads import FCN
from maskwright.model import SemanticSegmenter, save_checkpoint, store_calibration
from maskwright.recipes import export_model
from maskwright.score_calibration import ScoreCalibration

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

_CALIBRATION = ScoreCalibration(
    class_names=("coin", "nut", "screw"),
    method="size",
    temperatures=(0.5, 1.5, 1.0),
    shifts=(0.3, -0.4, 0.0),
    slopes=(0.2, -0.3, 0.1),
    centre=5.0,
    thresholds={"f1": (0.3, 0.4, 0.5)},
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibrated model, pictures, and its own detections as their truth."""
    folder = tmp_path_factory.mktemp("place")
    save_checkpoint(tiny_model("ssd", "fcn"), folder / "model.safetensors")
    store_calibration(folder / "model.safetensors", _CALIBRATION)
    predictor = load(folder / "model.safetensors", runtime="eager")
    categories = [{"id": i, "name": name} for i, name in ((3, "coin"), (5, "nut"), (8, "screw"))]
    coco: dict[str, Any] = {"images": [], "annotations": [], "categories": categories}
    for i, picture in enumerate(soft_pictures(), start=1):
        cv2.imwrite(str(folder / f"{i}.png"), picture[..., ::-1])
        height, width = picture.shape[:2]
        coco["images"].append({"id": i, "file_name": f"{i}.png", "height": height, "width": width})
        for found in predictor.predict(picture)[:8].to_coco(i):
            wanted = ("image_id", "category_id", "segmentation", "bbox")
            more = {"id": len(coco["annotations"]) + 1, "iscrowd": 0}
            area = found["bbox"][2] * found["bbox"][3]
            coco["annotations"].append({key: found[key] for key in wanted} | more | {"area": area})
    (folder / "truth.json").write_text(json.dumps(coco))
    return folder


@pytest.fixture(scope="module")
def data(place: Path) -> Dataset:
    return open_dataset(place / "truth.json")


def test_an_end_to_end_export_is_one_file_that_finds_the_same_objects(
    place: Path, data: Dataset, tmp_path: Path
) -> None:
    exported = export_model(
        place / "model.safetensors", tmp_path / "out", data=data, end_to_end=True, full_masks=True
    )
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"README.md", "config.json", "model.onnx"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    parity = exported.parity
    assert parity is not None
    assert parity.objects > 20
    assert parity.differing == ()
    assert parity.drop <= 1e-4
    plain = exported.as_dict()
    assert plain["end_to_end"]
    assert plain["files"] == ["model.onnx"]
    assert plain["parity"]["differing_objects"] == 0
    assert "calibrated" in (tmp_path / "out" / "README.md").read_text()
    predictor = load(tmp_path / "out")
    assert predictor.score_thresholds("auto") == {"coin": 0.3, "nut": 0.4, "screw": 0.5}


def _refused(place: Path, out: Path, match: str, model: str = "model.safetensors", **more: Any):
    with pytest.raises(ConfigError, match=match):
        export_model(place / model, out, **more)
    assert not out.exists()


@pytest.mark.parametrize("to", ["openvino", "torch-export"])
def test_an_end_to_end_graph_is_written_to_onnx_only(place: Path, tmp_path: Path, to: Any) -> None:
    match = f"writes one ONNX graph, and --to says {to}: take --to onnx"
    _refused(place, tmp_path / "out", match, to=to, end_to_end=True)


def test_full_masks_are_of_end_to_end_graphs(place: Path, tmp_path: Path) -> None:
    _refused(place, tmp_path / "out", "--full-masks is of --end-to-end", full_masks=True)


@pytest.mark.parametrize("detector", ["rcnn", "fast_rcnn"])
def test_detectors_that_search_the_pixels_are_refused(tmp_path: Path, detector: str) -> None:
    save_checkpoint(tiny_model(detector, "none"), tmp_path / "model.safetensors")
    match = f"'{detector}' cannot be exported with --end-to-end.*selective search.*faster_rcnn"
    _refused(tmp_path, tmp_path / "out", match, end_to_end=True)


def test_full_masks_need_a_mask_head(tmp_path: Path) -> None:
    save_checkpoint(tiny_model("yolo", "none"), tmp_path / "model.safetensors")
    match = "--full-masks: this model has no mask head"
    _refused(tmp_path, tmp_path / "out", match, end_to_end=True, full_masks=True)


def test_semantic_models_are_refused(tmp_path: Path) -> None:
    config = SemanticSegmenter.Config(head=FCN.Config(hidden_channels=8), short_side=64)
    save_checkpoint(config.build(("coin",)), tmp_path / "model.safetensors")
    match = "a semantic model has none: export without it"
    _refused(tmp_path, tmp_path / "out", match, end_to_end=True)


@pytest.mark.slow
def test_an_end_to_end_graph_in_int8_is_measured_as_a_whole(
    place: Path, data: Dataset, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    exported = export_model(
        place / "model.safetensors",
        tmp_path / "out",
        data=data,
        calibrate=data,
        max_ap_drop=1.0,
        end_to_end=True,
    )
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"README.md", "config.json", "model.onnx"}
    assert exported.header.precision == "int8"
    assert exported.parity is not None
    assert 0.5 < exported.parity.agreement < 1
    assert load(tmp_path / "out", precision="int8").class_names == data.class_names
