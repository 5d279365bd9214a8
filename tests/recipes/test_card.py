"""Model cards: what they say, what they admit not to know, and the way to a hub and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fake_hub import FakeHub, serve_hub
from maskwright.cli.app import run
from maskwright.data import open_dataset
from maskwright.errors import CheckpointError, ConfigError
from maskwright.inference import load
from maskwright.recipes.card import model_card, push_model, save_for_hub
from maskwright.recipes.card.licences import coco_licences, first_weights_licence
from maskwright.recipes.card.metadata import card_metadata, yaml_text


def _section(body: str, title: str) -> str:
    return body.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_a_card_of_a_run_has_what_the_run_knows(disc_run: Path) -> None:
    card = model_card(disc_run, device="cpu", license="Apache-2.0", repo="ann/discs")
    assert card.metadata["license"] == "apache-2.0"
    assert card.metadata["library_name"] == "maskwright"
    assert card.metadata["pipeline_tag"] == "image-segmentation"
    (result,) = card.metadata["model-index"][0]["results"]
    assert [one["value"] for one in result["metrics"]] == [50.0]
    assert "| mask | 50.0 | 75.0 | n/a |" in _section(card.body, "Metrics")
    assert "without intervals" in _section(card.body, "Metrics")
    assert 'mw.load("hf://ann/discs")' in card.body
    assert "| seed | 11 |" in _section(card.body, "Training")


def test_what_nobody_said_or_measured_is_called_so(disc_run: Path) -> None:
    card = model_card(disc_run / "best.safetensors", device="cpu")
    assert card.metadata["license"] == "unknown"
    licences = _section(card.body, "Data and licences")
    assert "| this model | unknown |" in licences
    assert "| training data (annotations.json) | unknown |" in licences
    assert "random weights" in licences
    assert "Not measured." in _section(card.body, "Robustness")
    assert "not measured" in _section(card.body, "Calibration")


def test_a_model_without_its_run_folder_has_a_card(disc_run: Path, tmp_path: Path) -> None:
    shutil.copyfile(disc_run / "best.safetensors", tmp_path / "alone.safetensors")
    card = model_card(tmp_path / "alone.safetensors", device="cpu")
    assert "model-index" not in card.metadata
    assert "Unknown: there is no run folder" in _section(card.body, "Training")
    assert "Not measured" in _section(card.body, "Metrics")


def test_scored_on_pictures_a_card_has_the_evaluators_numbers(disc_run: Path, discs: Path) -> None:
    from maskwright.recipes import score_model

    dataset = open_dataset(discs)
    card = model_card(disc_run, dataset=dataset, device="cpu")
    wanted = score_model(load(disc_run, device="cpu"), dataset)
    (result,) = card.metadata["model-index"][0]["results"]
    values = {one["type"]: one["value"] for one in result["metrics"]}
    assert values["mask_ap"] == round(100 * wanted["segm"]["AP"], 2)
    assert "6 of the 12 pictures were trained on" in card.body


def test_the_header_is_read_alike_by_a_yaml_reader_and_by_the_hubs_own(
    disc_run: Path, tmp_path: Path
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    import yaml

    card = model_card(disc_run, device="cpu", license="Free for research", hub_datasets=["a/b"])
    card.write(tmp_path / "README.md")
    read = hub.ModelCard.load(tmp_path / "README.md")
    assert read.data.license == "other"
    assert read.data.license_name == "Free for research"
    assert read.data.datasets == ["a/b"]
    (result,) = read.data.eval_results
    assert (result.metric_type, result.metric_value) == ("mask_ap", 50.0)
    header = card.text.split("---\n")[1]
    assert yaml.safe_load(header) == card.metadata


def test_words_that_yaml_would_take_for_something_else_stay_words() -> None:
    yaml = pytest.importorskip("yaml")
    metadata = card_metadata(
        "no: #x\n---", licence=None, datasets=[], tags=["1e3", "yes", "ü"], data_name="",
        metrics={"mask_ap": ("a: b", 1.0)},
    )  # fmt: skip
    assert yaml.safe_load(yaml_text(metadata)) == metadata


def test_licences_are_read_from_coco_files(tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "licenses": [{"id": 1, "name": "CC BY 2.0"}, {"id": 2, "url": "http://x"}],
        "images": [{"license": 1}, {"license": 1}, {"license": 2}, {"license": 9}, {}],
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    assert coco_licences(path) == "CC BY 2.0 (2 pictures), http://x (1 pictures)"
    path.write_text(json.dumps({"info": {"license": "CC0"}, "images": []}))
    assert coco_licences(path) == "CC0"
    for text in ("[1]", "{", "{}", '{"licenses": 3, "info": "x"}'):
        path.write_text(text)
        assert coco_licences(path) == "unknown"
    assert coco_licences(tmp_path / "gone.json") == "unknown"


def test_first_weights_are_followed_to_where_they_came_from() -> None:
    assert "licence unknown" in first_weights_licence("download", "resnet18")
    assert first_weights_licence("/home/me/w.pth", "x").startswith("the file w.pth")
    assert "efficientnet-lite0" in first_weights_licence("package", "tf_efficientnet_lite0")


def test_robustness_of_a_run_is_in_its_card(disc_run: Path, tmp_path: Path) -> None:
    shutil.copytree(disc_run, tmp_path / "run")
    numbers = {"mean_corrupted_ap": 0.25, "pictures": 12, "note": "words"}
    (tmp_path / "run" / "robustness.json").write_text(json.dumps(numbers))
    robustness = _section(model_card(tmp_path / "run", device="cpu").body, "Robustness")
    assert "| mean corrupted ap | 0.250 |" in robustness
    assert "| pictures | 12 |" in robustness


def test_a_folder_as_a_hub_holds_it_loads(disc_run: Path, tmp_path: Path) -> None:
    written = save_for_hub(disc_run, "# card", tmp_path / "hub")
    assert {path.name for path in written} == {"model.safetensors", "README.md", "scores.json"}
    assert load(tmp_path / "hub", device="cpu").class_names == ("disc",)
    (tmp_path / "other.safetensors").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="damaged"):
        save_for_hub(tmp_path / "other.safetensors", "", tmp_path / "never")
    assert not (tmp_path / "never").exists()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """A hub on this machine, with a cache of its own."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with serve_hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", "hf_nobody")
        yield served


def test_a_pushed_model_comes_back_as_it_was(disc_run: Path, hub: FakeHub) -> None:
    address = push_model(disc_run, "ann/discs", "# card", private=True, endpoint=hub.address)
    assert address.endswith("/commit/" + "0" * 39 + "1")
    assert hub.is_private == {"ann/discs": True}
    assert set(hub.files["ann/discs"]) == {"model.safetensors", "README.md", "scores.json"}
    assert hub.files["ann/discs"]["README.md"] == b"# card"
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    here, there = (load(name, device="cpu") for name in (disc_run, "hf://ann/discs"))
    assert torch.equal(here.predict(image).boxes, there.predict(image).boxes)
    hub.files.clear()  # what was fetched once is in the cache, and is asked for by its commit
    again = load("hf://ann/discs@" + "0" * 39 + "1", device="cpu")
    assert again.class_names == ("disc",)


def test_what_a_hub_does_not_hold_is_explained(hub: FakeHub) -> None:
    with pytest.raises(CheckpointError, match="hf://ann/gone could not be fetched"):
        load("hf://ann/gone")
    hub.files["ann/empty"] = {}
    with pytest.raises(CheckpointError, match=r"holds model\.safetensors"):
        load("hf://ann/empty")
    with pytest.raises(ConfigError, match="hf://USER/MODEL"):
        load("hf://ann")


def test_the_command_line_writes_and_pushes_cards(
    disc_run: Path, hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "card.md"
    assert run(["card", str(disc_run), "--out", str(out), "--license", "MIT"]) == 0
    assert 'license: "mit"' in out.read_text(encoding="utf-8")
    assert run(["push", str(disc_run), "ann/cli", "--card", str(out)]) == 0
    assert hub.files["ann/cli"]["README.md"] == out.read_bytes()
    assert f"{hub.address}/ann/cli/commit" in capsys.readouterr().out
    assert run(["card", str(disc_run), "--subset", "test"]) == 2
    assert "needs --data" in capsys.readouterr().err
