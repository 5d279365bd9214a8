"""`maskwright explain`, and `recipes.explain` beneath it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from maskwright.cli.app import run
from maskwright.data import read_image
from maskwright.errors import ConfigError
from maskwright.explain import ObjectIndex
from maskwright.inference import Predictor
from maskwright.recipes import explain, train
from planting.cue import CueRuntime, cue_picture

_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.detector.score_threshold": 0.0,
    "num_workers": 0,
    "evaluations": 1,
}
_QUICK = ("--score-threshold", 0, "--steps", 2, "--no-faithfulness")


@pytest.fixture(scope="module")
def trained(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("explain") / "run"
    train(
        discs,
        out=out,
        model="yolo+prototypes",
        backbone="test_resnet",
        preset="tiny",
        weights="none",
        num_steps=1,
        overrides=_SMALL,
        quiet=True,
    )
    return out


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run([str(token) for token in tokens])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_maps_a_sheet_and_numbers_are_written_and_the_index_is_kept(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("captum", reason="gradients need the extra explain")
    model, out = Path(shutil.copytree(trained, tmp_path / "run")), tmp_path / "why"
    tokens = ("explain", model, discs.parent / "1.png", "--out", out, "--objects", 1, 3, *_QUICK)
    code, printed, err = _run(capsys, *tokens, "--neighbours", 2, "--json")
    assert code == 0, err
    numbers = json.loads(printed)
    assert [each["object"] for each in numbers["objects"]] == [1, 3]
    for each in numbers["objects"]:
        assert each["method"] == "gradients"
        shares = each["shares"]
        total = shares["inside"] + shares["around"] + shares["elsewhere"]
        assert total == pytest.approx(1.0) or total == 0.0
        assert len(each["neighbours"]) == 2
        assert each["neighbours"][0]["class"] == "disc"
    names = ["object_1.png", "object_3.png", "sheet.png", "explain.json"]
    assert [Path(path).name for path in numbers["written"]] == names
    assert read_image(out / "object_1.png").shape == (768, 768, 3)
    del numbers["written"]
    assert json.loads((out / "explain.json").read_text()) == numbers
    kept = ObjectIndex.load(model / "objects.npz")
    split = json.loads((model / "split.json").read_text())
    assert set(kept.image_ids.tolist()) <= set(split["train"])
    before = (model / "objects.npz").stat().st_mtime_ns
    code, printed, _ = _run(capsys, *tokens)
    assert code == 0
    assert "in mask" in printed
    assert (model / "objects.npz").stat().st_mtime_ns == before


def test_an_index_of_other_data_is_made_anew(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(discs.read_text())
    document["annotations"] = document["annotations"][:3]
    few = discs.parent / "few.json"
    few.write_text(json.dumps(document))
    index = tmp_path / "kept.npz"
    for data, count in ((discs, 20), (few, 3)):
        code, _, err = _run(
            capsys, "explain", trained, discs.parent / "2.png", "--out", tmp_path / "why",
            "--data", data, "--index", index, "--top", 1, *_QUICK,
        )  # fmt: skip
        assert code == 0, err
        assert len(ObjectIndex.load(index)) == count
    assert not (trained / "objects.npz").exists()


def test_any_runtime_is_explained_by_covering_and_its_lack_of_neighbours_is_said() -> None:
    explanation = explain(Predictor(CueRuntime()), cue_picture(), patches=4, faithfulness=False)
    (one,) = explanation.objects
    assert one.saliency.attribution.method == "occlusion"
    assert one.neighbours == ()
    assert "inner maps cannot be read" in explanation.notes[0]
    assert explanation.as_dict()["objects"][0]["integration_error"] is None


def test_a_picture_without_objects_gives_an_empty_explanation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dark = np.zeros_like(cue_picture())
    explanation = explain(Predictor(CueRuntime()), dark)
    assert explanation.objects == ()
    assert "nothing is found" in explanation.notes[0]
    assert explanation.to_table().row_count == 1


def test_what_cannot_be_is_said(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="there is no object 2: 1 were found"):
        explain(Predictor(CueRuntime()), cue_picture(), objects=[2])
    code, _, err = _run(capsys, "explain", trained, discs.parent, "--out", tmp_path / "why")
    assert code == 2
    assert "is a folder" in err
    assert not (tmp_path / "why").exists()
