"""Pictures as they are stored, from training through the model file to prediction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import maskwright as mw
from maskwright.errors import ConfigError, DataError, ImageError
from maskwright.model import InstanceSegmenter
from maskwright.recipes import TrainedRun, resume, train
from small_recipe import SMALL


def _faint_16_bit(grey: np.ndarray) -> np.ndarray:
    """Everything within 255 of 65,535: one level of 8 bits."""
    return grey.astype(np.uint16) + np.uint16(30_000)


def _floats(grey: np.ndarray) -> np.ndarray:
    return grey.astype(np.float32) * 1e-3 - 0.5


def _stack(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey.astype(np.uint16) * scale for scale in (1, 2, 30, 100, 257)])


_FORMS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int, str]] = {
    "16-bit grey": (_faint_16_bit, 1, "uint16"),
    "floats": (_floats, 1, "float32"),
    "stack of 5 pages": (_stack, 5, "uint16"),
}


def _convert(discs: Path, folder: Path, form: Callable[[np.ndarray], np.ndarray]) -> Path:
    document = json.loads(discs.read_text())
    for entry in document["images"]:
        grey = np.asarray(Image.open(discs.parent / entry["file_name"]))[:, :, 0]
        entry["file_name"] = entry["file_name"].replace(".png", ".tif")
        tifffile.imwrite(folder / entry["file_name"], form(grey), photometric="minisblack")
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder / "annotations.json"


def _train(data: Path, out: Path, **options: Any) -> TrainedRun:
    known = {
        "preset": "tiny",
        "weights": "none",
        "quiet": True,
        "overrides": SMALL,
        "num_steps": 2,
    }
    return train(data, out=out, **(known | options))


@pytest.mark.parametrize("form", _FORMS)
def test_a_model_is_trained_saved_loaded_and_predicts_on_pictures_as_stored(
    discs: Path, tmp_path: Path, form: str
) -> None:
    make, channels, values = _FORMS[form]
    data = _convert(discs, tmp_path, make)
    run = _train(data, tmp_path / "run")
    predictor = mw.load(run.path)
    pixels = predictor.pixel_format
    assert pixels is not None
    assert (pixels.channels, pixels.values) == (channels, values)
    picture = tmp_path / "1.tif"
    found = predictor.predict(picture)
    # the very pixels in memory give the same
    array = tifffile.imread(picture)
    array = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    again = predictor.predict(array)
    assert len(found)
    torch.testing.assert_close(found.boxes, again.boxes, rtol=0, atol=0)
    tensor = torch.from_numpy(array.reshape(64, 64, channels).astype(np.float32)).permute(2, 0, 1)
    if values == "float32":
        torch.testing.assert_close(predictor.predict(tensor).boxes, found.boxes, rtol=0, atol=0)
    found.save_overlay(tmp_path / "overlay.png", min_score=0)
    drawn = np.asarray(Image.open(tmp_path / "overlay.png"))
    assert drawn.shape == (64, 64, 3)
    assert drawn.std() > 10  # stretched: the faint disc can be seen
    tiled = predictor.predict(picture, tiles=48)
    assert tiled.image_size == (64, 64)


def test_the_statistics_are_those_of_the_training_pictures(discs: Path, tmp_path: Path) -> None:
    data = _convert(discs, tmp_path, _stack)
    run = _train(data, tmp_path / "run", num_steps=1)
    ids = json.loads((run.path / "split.json").read_text())["train"]
    pixels = np.stack([tifffile.imread(tmp_path / f"{i}.tif") for i in ids]).astype(np.float64)
    stored = json.loads((run.path / "config.json").read_text())["recipe"]["model"]["pixels"]
    np.testing.assert_allclose(stored["mean"], pixels.mean(axis=(0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(stored["std"], pixels.std(axis=(0, 2, 3)), rtol=1e-9)
    assert run.recipe.augmentation.fill == tuple(stored["mean"])
    assert isinstance(run.model, InstanceSegmenter)
    batch = run.model.collate([np.moveaxis(tifffile.imread(tmp_path / "1.tif"), 0, -1)])
    assert batch.images.shape[1] == 5
    assert resume(run.path, quiet=True).steps == 1


def test_eight_bit_rgb_has_no_pixel_format_and_the_option_rgb_brings_others_to_it(
    discs: Path, tmp_path: Path
) -> None:
    assert _train(discs, tmp_path / "plain", num_steps=1).recipe.model.pixels is None
    data = _convert(discs, tmp_path, _faint_16_bit)
    run = _train(data, tmp_path / "rgb", num_steps=1, pictures="rgb")
    assert run.recipe.model.pixels is None
    stored = _train(discs, tmp_path / "stored", num_steps=1, pictures="stored")
    assert stored.recipe.model.pixels is not None
    assert stored.recipe.model.pixels.channels == 3


def test_pictures_of_different_formats_and_unknown_rules_are_refused(
    discs: Path, tmp_path: Path
) -> None:
    data = _convert(discs, tmp_path, _faint_16_bit)
    tifffile.imwrite(tmp_path / "3.tif", np.zeros((64, 64), np.uint8), photometric="minisblack")
    with pytest.raises(DataError, match=r"11 of 1 x uint16 .*; 1 of 1 x uint8 .*--pictures rgb"):
        _train(data, tmp_path / "run")
    with pytest.raises(ConfigError, match="Did you mean 'stored'"):
        _train(data, tmp_path / "run", pictures="stord")


def test_a_picture_of_another_format_is_refused_by_the_model(discs: Path, tmp_path: Path) -> None:
    data = _convert(discs, tmp_path, _faint_16_bit)
    predictor = mw.load(_train(data, tmp_path / "run", num_steps=1).path)
    wanted = r"trained on pictures of 1 channel of uint16"
    with pytest.raises(ImageError, match=rf"1\.png is \(64, 64, 3\) uint8; .*{wanted}"):
        predictor.predict(discs.parent / "1.png")
    with pytest.raises(ImageError, match=rf"an array is \(9, 9, 1\) uint8; .*{wanted}"):
        predictor.predict(np.zeros((9, 9), np.uint8))
    with pytest.raises(ImageError, match=wanted):
        predictor.predict(discs.parent / "1.png", tiles=32)


def test_selective_search_says_that_it_needs_colours(discs: Path, tmp_path: Path) -> None:
    data = _convert(discs, tmp_path, _faint_16_bit)
    with pytest.raises(ConfigError, match=r"fast_rcnn.*--pictures rgb"):
        _train(data, tmp_path / "run", model="fast-rcnn+mask-rcnn", overrides={})


def test_a_semantic_model_takes_stored_pictures_too(discs: Path, tmp_path: Path) -> None:
    data = _convert(discs, tmp_path, _floats)
    overrides = {"batch_size": 2, "num_workers": 0, "evaluations": 1, "model.short_side": 64}
    run = _train(data, tmp_path / "run", task="semantic", overrides=overrides)
    assert mw.load(run.path).class_map(tmp_path / "1.tif").shape == (64, 64)
