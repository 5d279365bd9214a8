"""Exported folders: written, read by every runtime, and refused where they are not whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from contracts.exactness import require_same
from contracts.tiny_models import soft_pictures, tiny_model
from maskwright.backbones import FPN, MobileNet, Timm
from maskwright.data import PixelFormat
from maskwright.detectors import YOLO
from maskwright.errors import CheckpointError, ConfigError, ImageError, MaskwrightError
from maskwright.inference import Predictor, Runtime, SemanticRuntime, load
from maskwright.inference.export.agreement import compare_outputs, require_equal_outputs
from maskwright.inference.export.end_to_end.writing import write_end_to_end
from maskwright.inference.export.runtime import load_exported
from maskwright.inference.export.writing import write_exported
from maskwright.mask_heads import FCN
from maskwright.model import InstanceSegmenter, SemanticSegmenter, save_checkpoint
from maskwright.model.lively import make_lively

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

_HEAD = FCN.Config(strides=(8, 16), hidden_channels=16)


@pytest.fixture(scope="module")
def model() -> SemanticSegmenter:
    config = SemanticSegmenter.Config(
        backbone=MobileNet.Config(size="small"),
        neck=None,
        head=_HEAD,
        short_side=96,
        long_side=200,
    )
    torch.manual_seed(0)
    made = config.build(("coin", "nut")).eval().requires_grad_(False)
    make_lively(made, soft_pictures()[0])
    return made


@pytest.fixture(scope="module")
def written(model: SemanticSegmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_exported(model, folder, "onnx")
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "exported")


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_both_runtimes_give_the_class_maps_of_the_model(
    model: SemanticSegmenter, written: Path, runtime: str
) -> None:
    pytest.importorskip("openvino")
    predictor = load(written, runtime=runtime)
    assert isinstance(predictor.model, SemanticRuntime)
    assert not predictor.finds_objects
    plain = Predictor(model)
    pictures = soft_pictures()
    found = predictor.class_map(pictures, batch_size=2)
    for ours, theirs in zip(found, plain.class_map(pictures, batch_size=2), strict=True):
        assert len(np.unique(theirs)) > 1
        assert (ours != theirs).mean() <= 1e-4


def test_pictures_smaller_than_those_of_the_tracing_are_taken(
    model: SemanticSegmenter, written: Path
) -> None:
    exported = load_exported(written)
    images = torch.rand(1, 3, 32, 64, generator=torch.Generator().manual_seed(3)) * 255
    (found,) = exported.sessions["dense"].run({"images": images.numpy()}).values()
    expected = model.head.class_logits(
        model.backbone((images - model.pixel_mean) / model.pixel_std)
    )
    assert np.abs(found - expected.numpy()).max() <= 1e-4 * expected.abs().max()


def test_the_readme_names_every_input_and_output(written: Path) -> None:
    text = (written / "README.md").read_text()
    assert "`images` (?, 3, ?, ?)" in text
    assert "`class_logits` (?, 3, ?, ?)" in text
    assert "to a multiple of 32" in text


def test_a_missing_graph_is_named(folder: Path) -> None:
    (folder / "dense.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"lacks dense\.onnx.*copy the folder as a whole"):
        load(folder)


def test_a_damaged_graph_is_named(folder: Path) -> None:
    graph = folder / "dense.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"dense\.onnx is damaged"):
        load(folder)


def test_a_missing_or_damaged_config_is_named(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"without its config\.json"):
        load(folder)


def _change(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_config_that_lacks_an_entry_is_damaged(folder: Path) -> None:
    _change(folder, class_names=None)
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load(folder)


def test_another_version_is_refused(folder: Path) -> None:
    _change(folder, format=2, maskwright="9.0")
    with pytest.raises(CheckpointError, match=r"format 2, written by maskwright 9\.0"):
        load(folder)


def test_normalisation_of_four_channels_is_refused(folder: Path) -> None:
    _change(folder, pixel_mean=[1, 2, 3, 4])
    with pytest.raises(CheckpointError, match="4 and 3 channels, not 3"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"graphs": {}}, r"names no graph dense.*export the model again"),
        ({"to": "tflite"}, r"config\.json is damaged.*to is 'tflite', not one of onnx"),
        ({"precision": "int4"}, r"config\.json is damaged.*precision is 'int4'"),
        ({"end_to_end": True}, r"names no graph model"),
    ],
)
def test_a_config_that_the_folder_does_not_bear_out_is_damaged(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    _change(folder, **changes)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize("name", ["../dense.onnx", "/dense.onnx", ""])
def test_graphs_outside_the_folder_are_not_opened(folder: Path, name: str) -> None:
    known = json.loads((folder / "config.json").read_text())["graphs"]
    known["dense"]["files"] = {name: "0"} if name else {}
    _change(folder, graphs=known)
    with pytest.raises(
        CheckpointError, match=r"config\.json is damaged.*graph dense has the files"
    ):
        load(folder)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a folder without best\.safetensors"):
        load(tmp_path)


def test_models_of_other_pictures_than_rgb_are_refused(tmp_path: Path) -> None:
    pixels = PixelFormat(channels=1, values="uint16", mean=(900.0,), std=(300.0,))
    config = SemanticSegmenter.Config(
        backbone=MobileNet.Config(size="small"), neck=None, head=_HEAD, pixels=pixels
    )
    with pytest.raises(ConfigError, match=r"takes pictures of 1 channel of uint16.*RGB of 8 bits"):
        write_exported(config.build(("coin",)), tmp_path, "onnx")


def test_operators_that_the_runtime_does_not_know_are_refused(folder: Path) -> None:
    import onnx

    from maskwright.inference.export.folder import checksum

    graph = onnx.load(folder / "dense.onnx")
    graph.opset_import[0].version = 999
    onnx.save(graph, folder / "dense.onnx")
    known = json.loads((folder / "config.json").read_text())["graphs"]
    known["dense"]["files"] = {"dense.onnx": checksum(folder / "dense.onnx")}
    _change(folder, graphs=known)
    with pytest.raises(CheckpointError, match="operators are newer than the installed"):
        load(folder)


def test_a_runtime_that_does_not_read_the_format_is_refused(written: Path) -> None:
    with pytest.raises(ConfigError, match="to onnx in fp32, which runtime 'torch'"):
        load(written, runtime="torch")


def test_int8_graphs_run_only_where_they_were_measured(folder: Path) -> None:
    _change(folder, precision="int8")
    assert load(folder).class_names == ("coin", "nut")
    with pytest.raises(ConfigError, match=r"to onnx in int8, which runtime 'openvino'"):
        load(folder, runtime="openvino")


def test_another_precision_than_that_of_the_export_is_refused(written: Path) -> None:
    with pytest.raises(ConfigError, match="exported in fp32, not in 'int8'"):
        load(written, precision="int8")


def test_weights_for_an_exported_model_are_refused(written: Path) -> None:
    with pytest.raises(ConfigError, match="leave weights"):
        load(written, class_names=["a"])


@pytest.mark.parametrize("shape", [(0, 10, 3), (10, 0, 3), (10, 10, 4)])
def test_pictures_without_pixels_or_with_more_channels_are_refused(
    written: Path, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ImageError):
        load_exported(written).collate([np.zeros(shape, np.uint8)])


def test_graphs_of_another_model_are_told_from_its_own(
    model: SemanticSegmenter, written: Path
) -> None:
    exported = load_exported(written)
    require_equal_outputs(compare_outputs(model, exported), written)
    torch.manual_seed(1)
    other = model.config.build(("coin", "nut")).eval().requires_grad_(False)
    with pytest.raises(MaskwrightError, match=r"dense/class_logits by .*was not kept"):
        require_equal_outputs(compare_outputs(other, exported), written)


def test_int8_of_a_model_file_points_to_export(model: SemanticSegmenter, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match="maskwright export --int8 --calibrate DATA"):
        load(tmp_path / "model.safetensors", runtime="onnx", precision="int8")


@pytest.mark.slow
@pytest.mark.parametrize("end_to_end", [False, True])
def test_a_backbone_that_pads_by_the_size_of_its_map_is_exported(
    end_to_end: bool, tmp_path: Path
) -> None:
    config = InstanceSegmenter.Config(
        backbone=Timm.Config(model="tf_efficientnet_lite0"),  # "SAME" padding
        neck=FPN.Config(channels=16),
        detector=YOLO.Config(width=16, norm="batch", detections_per_image=30),
        mask_head=_HEAD,
        short_side=96,
        long_side=200,
    )
    torch.manual_seed(0)
    model = config.build(("coin", "nut")).eval().requires_grad_(False)
    make_lively(model, soft_pictures()[0])
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    write_exported(model, graphs, "onnx")
    if end_to_end:
        write_end_to_end(graphs, tmp_path, full_masks=False)
    predictor = load(tmp_path if end_to_end else graphs)
    pictures = soft_pictures()
    expected = model.predict(model.collate(pictures))
    assert sum(map(len, expected)) >= 5
    require_same(predictor.predict(pictures, batch_size=3), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("detector", "head", "to", "runtimes"),
    [
        ("faster_rcnn", "mask_rcnn", "onnx", ("onnx", "openvino")),
        ("rcnn", "fcn", "onnx", ("onnx", "openvino")),
        ("ssd", "deeplab", "openvino", ("openvino",)),
        ("fast_rcnn", "none", "openvino", ("openvino",)),
        ("yolo", "prototypes", "torch-export", ("torch",)),
    ],
)
def test_exported_pairs_predict_what_their_models_do(
    detector: str, head: str, to: str, runtimes: tuple[str, ...], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    model = tiny_model(detector, head)
    write_exported(model, tmp_path, to)
    pictures = soft_pictures()
    for runtime in runtimes:
        predictor = load(tmp_path, runtime=runtime)
        assert isinstance(predictor.model, Runtime)
        for chosen in (pictures[:1], pictures[1:]):
            expected = model.predict(model.collate(chosen))
            assert sum(map(len, expected)) >= 5
            require_same(predictor.predict(chosen, batch_size=2), expected)
