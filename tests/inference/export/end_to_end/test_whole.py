"""End-to-end graphs find what their models do, with nothing of this package around them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from contracts.exactness import require_same
from contracts.tiny_models import soft_pictures, tiny_model
from maskwright.data import read_image
from maskwright.errors import ConfigError, MaskwrightError
from maskwright.inference import Runtime, load
from maskwright.inference.export.folder import read_header
from maskwright.inference.export.writing import write_exported
from maskwright.model import InstanceSegmenter

pytest.importorskip("onnxscript")

from maskwright.inference.export.end_to_end.agreement import require_agreement
from maskwright.inference.export.end_to_end.assembling import assemble
from maskwright.inference.export.end_to_end.writing import write_end_to_end

_ALONE = """
import sys
for name in ("maskwright", "torch", "torchvision", "PIL", "cv2"):
    sys.modules[name] = None  # importing it is an error from now on
exec(compile(open("program.py").read(), "program.py", "exec"))
"""


@pytest.fixture(scope="module")
def model() -> InstanceSegmenter:
    return tiny_model("yolo", "prototypes")


@pytest.fixture(scope="module")
def parts(model: InstanceSegmenter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    write_exported(model, folder, "onnx")
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["crops", "masks"])
def folder(
    parts: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    made = tmp_path_factory.mktemp("whole")
    write_end_to_end(parts, made, full_masks=request.param)
    return made


def _batch(pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
    sizes = np.array([each.shape[:2] for each in pictures], np.int64)
    images = np.full((len(pictures), *sizes.max(axis=0), 3), 255, np.uint8)
    for place, picture in zip(images, pictures, strict=True):
        place[: picture.shape[0], : picture.shape[1]] = picture
    return {"images": images, "sizes": sizes}


def _run(model: bytes | str, pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, _batch(pictures)), strict=True))


def test_the_graph_finds_what_the_model_does_in_batches_of_many_sizes(
    model: InstanceSegmenter, folder: Path
) -> None:
    predictor = load(folder)
    assert isinstance(predictor.model, Runtime)
    assert predictor.model.picture_side == model.picture_side
    pictures = soft_pictures()
    for chosen in (pictures[:1], pictures[1:], pictures):
        expected = model.predict(model.collate(chosen))
        assert sum(map(len, expected)) >= 5
        require_same(predictor.predict(chosen, batch_size=3), expected)


def test_detections_come_by_picture_and_falling_score(folder: Path) -> None:
    found = _run(str(folder / "model.onnx"), soft_pictures())
    assert set(found["pictures"].tolist()) == {0, 1, 2}
    order = np.lexsort((-found["scores"], found["pictures"]))
    assert order.tolist() == list(range(len(order)))
    assert {each.dtype for each in found.values()} >= {np.dtype(np.float32), np.dtype(np.int64)}
    if "masks" in found:
        assert found["masks"].dtype == np.uint8
        assert set(np.unique(found["masks"])) == {0, 1}


def test_a_batch_without_detections_has_empty_outputs(parts: Path) -> None:
    header = read_header(parts)
    assert isinstance(header.model, InstanceSegmenter.Config)
    nothing = replace(header.model.detector, score_threshold=1.0)
    header = replace(header, model=replace(header.model, detector=nothing))
    graph = assemble(parts, header, full_masks=True).SerializeToString()
    for pictures in (soft_pictures(), soft_pictures()[1:2]):
        found = _run(graph, pictures)
        height, width = _batch(pictures)["images"].shape[1:3]
        assert {name: each.shape for name, each in found.items()} == {
            "boxes": (0, 4),
            "labels": (0,),
            "scores": (0,),
            "pictures": (0,),
            "crops": (0, 56, 56),
            "masks": (0, height, width),
        }


def test_only_operators_of_the_standard_are_in_the_graph(folder: Path) -> None:
    import onnx

    graph = onnx.load(folder / "model.onnx")
    assert [each.domain for each in graph.opset_import] == [""]
    assert {node.domain for node in graph.graph.node} == {""}
    assert not graph.functions
    metadata = {each.key: json.loads(each.value) for each in graph.metadata_props}
    assert metadata == {"class_names": ["coin", "nut", "screw"], "category_ids": [3, 5, 8]}


def test_the_program_of_the_readme_runs_without_this_package(
    model: InstanceSegmenter, folder: Path, tmp_path: Path
) -> None:
    text = (folder / "README.md").read_text()
    (program,) = re.findall(r"## Run it\n.*?```python\n(.*?)```", text, re.DOTALL)
    assert ("def paste" in program) == ("masks" not in read_header(folder).graphs["model"].outputs)
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    picture = soft_pictures()[0]
    np.save(tmp_path / "picture.npy", picture)
    alone = subprocess.run(
        [sys.executable, "-I", "-c", _ALONE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr
    (expected,) = model.predict(model.collate([picture]))
    lines = alone.stdout.splitlines()
    assert len(lines) == len(expected) >= 5
    for line, score, label, box, area in zip(
        lines,
        expected.scores.tolist(),
        expected.labels.tolist(),
        expected.boxes.tolist(),
        expected.masks.area.tolist(),
        strict=True,
    ):
        place, name, found_score, rest = line.split(" ", 3)
        found_box, pixels = rest.rsplit(" ", 1)
        assert (place, name) == ("0", expected.class_names[label])
        assert float(found_score) == pytest.approx(score, abs=2e-4)
        assert ast.literal_eval(found_box) == pytest.approx(box, abs=0.02)
        assert abs(int(pixels) - area) <= 2


def test_the_readme_says_what_goes_in_and_comes_out(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "| in: `images` | b, H, W, 3 | uint8, RGB" in text
    assert "| out: `crops` | n, s, s | float32" in text
    assert "At most 30 detections of a picture come out, of scores above 0.05" in text
    has_masks = "masks" in read_header(folder).graphs["model"].outputs
    assert ("| out: `masks` | n, H, W |" in text) == has_masks


def test_other_runtimes_than_onnx_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="runtime 'openvino' does not run: take 'onnx'"):
        load(folder, runtime="openvino")


def test_a_graph_of_another_model_is_told_from_its_own(
    model: InstanceSegmenter, parts: Path, tmp_path: Path
) -> None:
    require_agreement(model, parts, tmp_path)
    other = tiny_model("yolo", "prototypes")
    for parameter in other.detector.head.parameters():
        parameter.mul_(-1)
    with pytest.raises(MaskwrightError, match=r"does not find what the model does.*not kept"):
        require_agreement(other, parts, tmp_path)


@pytest.mark.shared_data
def test_real_pictures_give_the_same_objects(
    model: InstanceSegmenter, folder: Path, shared_data: Path
) -> None:
    paths = sorted((shared_data / "nuclei" / "images").glob("*.png"))[::40][:6]
    assert paths
    pictures = [read_image(path) for path in paths]
    expected = model.predict(model.collate(pictures))
    assert sum(map(len, expected)) >= 20
    require_same(load(folder).predict(pictures, batch_size=len(pictures)), expected)
