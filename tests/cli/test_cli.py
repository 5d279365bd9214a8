"""The command line, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskwright.cli.app import dotted_to_set, run
from maskwright.data import read_image
from maskwright.recipes import train

_SMALL = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.detector.box_head.fc_channels": [32],
    "model.detector.detections_per_image": 5,
    "model.mask_head.conv_channels": [16],
    "num_workers": 0,
    "evaluations": 1,
}


@pytest.fixture(scope="module")
def trained(discs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    train(discs, out=out, preset="tiny", weights="none", num_steps=2, overrides=_SMALL, quiet=True)
    return out


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run([str(token) for token in tokens])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_dotted_options_become_settings() -> None:
    assert dotted_to_set(["--a.b", "1", "--c", "2", "--d.e-f=x=y"]) == [
        "--set",
        "a.b=1",
        "--c",
        "2",
        "--set",
        "d.e-f=x=y",
    ]


def test_train_prints_the_scores_as_json_and_nothing_else(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dotted = [f"--{name}={value}" for name, value in _SMALL.items() if "." in name]
    code, out, _ = _run(
        capsys, "train", discs, "--out", tmp_path / "run", "--preset", "tiny", "--weights", "none",
        "--steps", 2, "--json", "--set", "num-workers=0", *dotted,
    )  # fmt: skip
    assert code == 0
    scores = json.loads(out)
    assert scores["steps"] == 2
    assert set(scores["validation"]["segm"]) >= {"AP", "AP50", "ARl"}


def test_predict_writes_every_output_and_a_summary(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(
        capsys, "predict", trained / "best.safetensors", discs.parent / "1.png",
        discs.parent / "2.png", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["pictures"] == 2
    assert {"results.json", "objects.csv", "overlay", "labelmap"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }


@pytest.mark.parametrize("tiles", [["auto"], ["32", "--overlap", "8", "--batch-size", "3"]])
def test_predict_cuts_pictures_into_tiles(
    trained: Path,
    discs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    tiles: list[str],
) -> None:
    code, out, _ = _run(
        capsys, "predict", trained, discs.parent / "1.png", "--out", tmp_path / "out",
        "--write", "coco", "--score-threshold", "0.0", "--tiles", *tiles, "--json",
    )  # fmt: skip
    assert code == 0
    summary = json.loads(out)
    assert set(summary) == {"out", "pictures", "objects", "written", "failures"}
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(results) == summary["objects"] > 0
    assert {tuple(result["segmentation"]["size"]) for result in results} == {(64, 64)}


def test_predict_goes_on_past_an_unreadable_picture_and_says_so(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (tmp_path / "good.png").write_bytes((discs.parent / "1.png").read_bytes())
    code, _, err = _run(
        capsys, "predict", trained, tmp_path, "--out", tmp_path / "out", "--write", "coco"
    )
    assert code == 1
    assert "broken.png" in err
    assert (tmp_path / "out" / "results.json").is_file()


def test_predictions_can_be_scored_by_file_name(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(capsys, "predict", trained, discs.parent, "--out", tmp_path, "--write", "coco")
    code, out, _ = _run(
        capsys, "evaluate", "--predictions", tmp_path / "results.json", "--data", discs, "--json"
    )
    assert code == 0
    by_file = json.loads(out)
    code, out, _ = _run(capsys, "evaluate", trained, discs, "--json")
    assert code == 0
    assert json.loads(out)["segm"] == pytest.approx(by_file["segm"], abs=1e-9)


def test_cell_metrics_come_beside_cocos_numbers_when_asked_for(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = json.loads(discs.read_text())["annotations"]
    keys = ("image_id", "category_id", "segmentation")
    found = [{key: one[key] for key in keys} | {"score": 0.9} for one in truth]
    (tmp_path / "found.json").write_text(json.dumps(found))
    tokens = ("evaluate", "--predictions", tmp_path / "found.json", "--data", discs)
    code, out, _ = _run(capsys, *tokens, "--metrics", "coco", "cells", "--json")
    assert code == 0
    scores = json.loads(out)
    assert set(scores) == {"bbox", "segm", "boundary", "intervals", "cells"}
    assert scores["cells"]["numbers"]["AJI"] == 1.0
    assert scores["cells"]["by_iou"]["0.95"]["f1"] == 1.0
    code, out, _ = _run(capsys, *tokens, "--metrics", "cells")
    assert code == 0
    assert "aggregated Jaccard index" in out
    code, _, err = _run(
        capsys, *tokens, "--metrics", "cells", "--score-threshold", "0.95", "--json"
    )
    assert code == 0
    assert "give a lower score threshold" in err


def test_two_models_or_files_are_held_against_each_other(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = json.loads(discs.read_text())["annotations"]
    keys = ("image_id", "category_id", "segmentation")
    found = [{key: one[key] for key in keys} | {"score": 0.9} for one in truth]
    (tmp_path / "all.json").write_text(json.dumps(found))
    (tmp_path / "half.json").write_text(json.dumps(found[::2]))
    files = ("evaluate", tmp_path / "half.json", tmp_path / "all.json", "--paired", "--data", discs)
    code, out, _ = _run(capsys, *files, "--replicates", 99, "--json")
    assert code == 0
    comparison = json.loads(out)
    assert comparison["names"] == ["half.json", "all.json"]
    assert comparison["numbers"]["mask AP"]["b"] == pytest.approx(1.0)
    assert comparison["numbers"]["mask AP"]["difference"] > 0
    code, out, _ = _run(capsys, *files, "--replicates", 99, "--kinds", "boundary")
    assert code == 0
    assert "all.json is better than half.json: boundary AP +" in out
    assert "mask AP" not in out
    code, out, _ = _run(
        capsys, "evaluate", trained, tmp_path / "all.json", "--paired", "--data", discs,
        "--metrics", "coco", "counting", "--replicates", 99,
    )  # fmt: skip
    assert code == 0
    assert "all.json is better than run" in out
    assert "counting MAE" in out


def test_families_of_metrics_and_folders_of_texts_are_taken(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for image in json.loads(discs.read_text())["images"][:2]:
        text = "0 0.1 0.1 0.4 0.1 0.4 0.4 0.75\n"
        (tmp_path / f"{Path(image['file_name']).stem}.txt").write_text(text)
    code, out, err = _run(
        capsys, "evaluate", "--predictions", tmp_path, "--data", discs, "--json", "--metrics",
        "lvis", "panoptic", "counting", "agnostic", "--replicates", 20, "--overlap", "smaller",
    )  # fmt: skip
    assert code == 0
    scores = json.loads(out)
    assert set(scores) == {"lvis", "panoptic", "counting", "agnostic"}
    assert scores["counting"]["tables"]["Per class"]["disc"]["found"] == 2
    assert "have no text" in err
    code, _, err = _run(
        capsys, "evaluate", "--predictions", tmp_path, "--data", discs, "--predictions-format",
        "masks", "--iou-thresholds", 0.5, "--replicates", 0,
    )  # fmt: skip
    assert code == 2
    assert "there is no folder in it" in err


def test_a_part_of_the_split_can_be_scored(
    trained: Path, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(
        capsys, "evaluate", trained / "best.safetensors", discs, "--subset", "test", "--json"
    )
    assert code == 0
    scores = json.loads((trained / "scores.json").read_text())
    printed = json.loads(out)
    printed.pop("intervals", None)
    assert printed == scores["test"]


def test_a_model_is_scored_on_data_whose_classes_have_other_ids_and_order(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(discs.read_text())
    document["categories"] = [{"id": 0, "name": "unused"}, {"id": 3, "name": "disc"}]
    for annotation in document["annotations"]:
        annotation["category_id"] = 3
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document))
    options = ("--json", "--images", discs.parent)
    results = [_run(capsys, "evaluate", trained, data, *options) for data in (discs, other)]
    assert results[0] == results[1]
    assert results[0][0] == 0


def test_tables_are_printed_for_people(
    trained: Path, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(capsys, "evaluate", trained, discs)
    assert code == 0
    assert "AP50" in out
    assert "disc" in out


def test_an_augmentation_is_named_on_the_command_line(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code, _, err = _run(capsys, "train", discs, "--out", out, "--augment", "medicl")
    assert code == 2
    assert "unknown augmentation 'medicl'. Did you mean 'medical'?" in err
    assert not out.exists()


def test_data_view_shows_what_a_model_will_see(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = []
    for tokens in (
        ["--augment"],
        ["--augment", "strong", "--augmentation.mosaic.probability", "1"],
    ):
        sheet = tmp_path / f"{len(sizes)}.png"
        code, out, _ = _run(
            capsys,
            "data",
            "view",
            discs,
            *tokens,
            "--out",
            sheet,
            "--count",
            "2",
            "--columns",
            "3",
            "--cell",
            "64",
        )
        assert code == 0
        assert "2 pictures, 3 views each" in out
        sizes.append(read_image(sheet).shape[1])
    assert sizes == [8 + 4 * 72] * 2
    code, _, err = _run(capsys, "data", "view", discs, "--out", "x.png", "--augment", "--objects")
    assert code == 2
    assert "leave --objects out" in err


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["evaluate", "--data", "x.json"], "one of the two"),
        (["evaluate", "model.safetensors"], "needs the truth"),
        (["evaluate", "missing.safetensors", "x.json"], "missing.safetensors"),
        (["evaluate", "m.safetensors", "x.json", "--data", "y.json"], "got DATA twice"),
        (["evaluate", "x.json", "--predictions", "r.json"], "--predictions r.json --data x.json"),
        (["evaluate", "a.json", "b.json", "--paired"], "--paired needs the truth as --data"),
        (["evaluate", "a.json", "--paired", "--data", "x.json"], "got 1: evaluate A B --paired"),
        (["evaluate", "--paired", "--predictions", "r.json"], "named as A or B"),
        (["evaluate", "a", "b", "--paired", "--data", "d", "--semantic"], "do not go with"),
        (["evaluate", "--predictions", "no.json", "--data", "x.json"], "x.json"),
        (["train"], "train needs DATA"),
        (["train", "nowhere.json", "--out", "x"], "nowhere.json"),
        (["train", "d", "--out", "x", "--resume", "y"], "leave DATA and --out out"),
        (["train", "d", "--out", "x", "--set", "batch-size"], "name=value"),
        (["predict", "missing.safetensors", "a.png"], "missing.safetensors"),
        (["predict", "m.safetensors", "a.png", "--overlap", "8"], "add --tiles auto"),
        (["train", "--model.short-side"], "needs a value"),
    ],
)
def test_mistakes_end_with_code_2_and_a_message(
    tokens: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, *tokens)
    assert code == 2
    assert message in err
    assert not out


def test_an_unknown_option_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(["train", "d.json", "--stepz", "3"])
    assert stopped.value.code != 0
    output = capsys.readouterr()
    assert "--steps" in output.out + output.err


def test_a_class_that_the_model_lacks_is_answered_with_the_nearest(
    trained: Path, discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = _run(
        capsys, "predict", trained, discs.parent / "1.png", "--out", tmp_path / "o",
        "--classes", "disk",
    )  # fmt: skip
    assert code == 2
    assert "disc" in err
    assert not (tmp_path / "o").exists()


def test_a_damaged_model_file_is_an_error(
    trained: Path, tmp_path: Path, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((trained / "best.safetensors").read_bytes()[:5000])
    code, _, err = _run(capsys, "predict", cut, discs.parent / "1.png", "--out", tmp_path / "o")
    assert code == 2
    assert "damaged" in err


def test_the_help_of_train_says_how_every_option_is_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = _run(capsys, "train", "--help")
    assert "--model.detector.score-threshold 0.1" in out
    assert "config.json" in out


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["train"],
        ["predict"],
        ["evaluate"],
        ["demo"],
        ["data", "split"],
        ["data", "stats"],
        ["data", "view"],
    ],
)
def test_help_shows_examples_and_options(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(capsys, *command, "--help")
    assert code == 0
    assert "Usage: maskwright" in out
