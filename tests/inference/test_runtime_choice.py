"""Runtimes are measured when that is asked for, and remembered."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from contracts.exactness import require_same
from contracts.tiny_models import TINY_DETECTORS, TINY_HEADS
from maskwright.backbones import FPN, ResNet
from maskwright.data import PixelFormat
from maskwright.errors import ConfigError, MaskwrightError
from maskwright.inference import load
from maskwright.inference.runtime_choice import architecture_key, choose
from maskwright.model import InstanceSegmenter, SemanticSegmenter, save_checkpoint
from maskwright.structures import Batch, Instances

_CONFIG = InstanceSegmenter.Config(short_side=48, long_side=64)


class _Slow:
    """Finds nothing, and takes its time."""

    class_names = ("a",)
    picture_side = object_side = None

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sizes: list[tuple[int, ...]] = []

    def collate(self, images: list[np.ndarray]) -> Batch:
        self.sizes.append(images[0].shape)
        sizes = tuple(image.shape[:2] for image in images)
        return Batch(images=torch.zeros(1, 3, 1, 1), image_sizes=sizes, original_sizes=sizes)

    def predict(self, batch: Batch) -> list[Instances]:
        time.sleep(self.seconds)
        return [Instances.empty(batch.original_sizes[0], scores=torch.zeros(0))]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MASKWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _fail(message: str) -> Callable[[], _Slow]:
    def make() -> _Slow:
        raise MaskwrightError(message)

    return make


def test_the_quickest_is_measured_once_and_then_remembered(cache: Path) -> None:
    made: list[str] = []

    def maker(name: str, seconds: float) -> Callable[[], _Slow]:
        def make() -> _Slow:
            made.append(name)
            return _Slow(seconds)

        return make

    makers = {"torch": maker("torch", 0.05), "eager": maker("eager", 0.001), "onnx": _fail("no")}
    assert choose("auto", "key", _CONFIG, makers) == ("torch", None)
    assert made == []
    assert not cache.exists()
    name, found = choose("measured", "key", _CONFIG, makers)
    assert name == "eager"
    assert found is not None
    assert found.milliseconds["torch"] > 40 > found.milliseconds["eager"]
    assert found.left_out == {"onnx": "no"}
    assert sorted(made) == ["eager", "torch"]
    assert choose("auto", "key", _CONFIG, makers) == ("eager", found)
    assert choose("measured", "key", _CONFIG, makers) == ("eager", found)
    assert sorted(made) == ["eager", "torch"]
    assert choose("auto", "another key", _CONFIG, makers) == ("torch", None)
    # what was remembered is not installed any more
    assert choose("auto", "key", _CONFIG, {"torch": makers["torch"]}) == ("torch", None)


def test_the_usual_one_is_kept_where_another_is_hardly_quicker(cache: Path) -> None:
    usual, other = _Slow(0.030), _Slow(0.029)
    name, _ = choose("measured", "key", _CONFIG, {"torch": lambda: usual, "eager": lambda: other})
    assert name == "torch"
    assert set(usual.sizes) == {(48, 64, 3)}


def test_an_error_of_the_usual_one_is_not_hidden(cache: Path) -> None:
    with pytest.raises(MaskwrightError, match="the backbone does something"):
        choose("measured", "key", _CONFIG, {"torch": _fail("the backbone does something")})


def test_a_damaged_memory_is_measured_anew(cache: Path) -> None:
    makers = {"torch": lambda: _Slow(0.0)}
    choose("measured", "key", _CONFIG, makers)
    (entry,) = (cache / "runtimes").iterdir()
    for text in ("{", "[]", '{"runtime": "torch"}'):
        entry.write_text(text)
        assert choose("auto", "key", _CONFIG, makers) == ("torch", None)
    assert choose("measured", "key", _CONFIG, makers)[1] is not None


def test_nothing_is_kept_where_the_cache_is_off() -> None:
    name, found = choose("measured", "key", _CONFIG, {"torch": lambda: _Slow(0.0)})
    assert name == "torch"
    assert found is not None
    assert choose("auto", "key", _CONFIG, {"torch": lambda: _Slow(0.0)}) == ("torch", None)


def test_the_key_tells_what_times_depend_on() -> None:
    key = architecture_key(_CONFIG, 3, "cpu")
    assert key == architecture_key(InstanceSegmenter.Config(short_side=48, long_side=64), 3, "cpu")
    remembering = InstanceSegmenter.Config(short_side=48, long_side=64, object_side=9)
    assert key == architecture_key(remembering, 3, "cpu")
    wider = InstanceSegmenter.Config(short_side=64, long_side=64)
    threads = torch.get_num_threads()
    others = [
        architecture_key(wider, 3, "cpu"),
        architecture_key(_CONFIG, 4, "cpu"),
        architecture_key(_CONFIG, 3, "cuda"),
        architecture_key(_CONFIG, 3, "cpu", format="onnx"),
    ]
    torch.set_num_threads(threads + 1)
    try:
        others.append(architecture_key(_CONFIG, 3, "cpu"))
    finally:
        torch.set_num_threads(threads)
    assert len({key, *others}) == 6


@pytest.mark.parametrize("values", ["uint16", "float32"])
def test_pictures_to_measure_on_are_as_the_model_takes_them(values: Any) -> None:
    pixels = PixelFormat(
        channels=4, values=values, mean=(9.0, 8.0, 7.0, 6.0), std=(1.0, 1.0, 1.0, 1.0)
    )
    config = SemanticSegmenter.Config(
        backbone=ResNet.Config(depth=18), neck=FPN.Config(channels=8), pixels=pixels, short_side=32,
        long_side=64,
    )  # fmt: skip
    model = config.build(("a",)).eval()
    name, _ = choose("measured", "key", model.config, {"torch": lambda: model})
    assert name == "torch"


def test_a_model_that_is_loaded_as_measured_predicts_what_it_always_does(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskwright.inference.runtimes.find_spec", lambda _: None)
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        detector=TINY_DETECTORS["ssd"],
        mask_head=TINY_HEADS["fcn"],
        short_side=64,
        long_side=96,
    )
    save_checkpoint(config.build(("coin",)), tmp_path / "best.safetensors")
    with pytest.raises(ConfigError, match="exact in fp32: name one for precision 'bf16'"):
        load(tmp_path, device="cpu", runtime="measured", precision="bf16")
    with pytest.raises(ConfigError, match="exact in fp32: name one for compile"):
        load(tmp_path, device="cpu", runtime="measured", compile=True)
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    measured = load(tmp_path, device="cpu", runtime="measured")
    auto = load(tmp_path, device="cpu")
    assert type(measured.model) is type(auto.model)
    eager = load(tmp_path, device="cpu", runtime="eager").predict(image)
    require_same([measured.predict(image), auto.predict(image)], [eager, eager])
    assert len(list((cache / "runtimes").iterdir())) == 1
