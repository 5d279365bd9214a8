"""Times in turn, arithmetic and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.detectors import FasterRCNN
from maskwright.inference import Predictor
from maskwright.inference.peak_memory import __file__ as peak_memory_file
from maskwright.model import InstanceSegmenter
from maskwright.recipes.costs import count_gflops, count_parameters, time_in_turn
from maskwright.structures import Batch, Instances


class _Watched:
    """A runtime that finds nothing and writes down whose turn it was."""

    class_names = ("disc",)
    picture_side = object_side = None

    def __init__(self, name: str, log: list[tuple[str, int]]) -> None:
        self.name, self.log = name, log

    def collate(self, images: list[np.ndarray]) -> Batch:
        sizes = tuple(image.shape[:2] for image in images)
        pixels = torch.from_numpy(images[0].copy()).permute(2, 0, 1)[None]
        return Batch(images=pixels, image_sizes=sizes, original_sizes=sizes)

    def predict(self, batch: Batch) -> list[Instances]:
        self.log.append((self.name, int(batch.images.sum())))
        return [Instances.empty(batch.original_sizes[0], scores=torch.zeros(0))]


def test_models_take_turns_and_see_each_picture_once(tmp_path: Path) -> None:
    paths = []
    for value in (1, 2, 3):
        paths.append(tmp_path / f"{value}.png")
        Image.fromarray(np.full((4, 5, 3), value, np.uint8)).save(paths[-1])
    log: list[tuple[str, int]] = []
    ms = time_in_turn({name: Predictor(_Watched(name, log)) for name in "ab"}, paths)
    assert set(ms) == {"a", "b"}
    assert all(value > 0 for value in ms.values())
    assert [name for name, _ in log] == ["a", "b", "a", "b", "b", "a", "a", "b"]
    for name in "ab":
        assert [pixels for each, pixels in log if each == name][1:] == [60, 120, 180]


def test_arithmetic_is_that_of_the_layers() -> None:
    config = InstanceSegmenter.Config(
        detector=FasterRCNN.Config(detections_per_image=1), short_side=64, long_side=64
    )
    model = InstanceSegmenter(config, ("disc",))
    image = np.zeros((64, 64, 3), np.uint8)
    operations = 0

    def count(layer: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal operations
        if isinstance(layer, torch.nn.Linear):
            operations += 2 * output.numel() * layer.in_features
        elif isinstance(layer, torch.nn.ConvTranspose2d):
            # each input pixel goes to every tap of every output channel
            stride = layer.stride[0] * layer.stride[1]
            operations += 2 * output.numel() * layer.weight[:, 0].numel() // stride
        else:
            operations += 2 * output.numel() * layer.weight[0].numel()

    layers = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
    for layer in model.modules():
        if isinstance(layer, layers):
            layer.register_forward_hook(count)
    counted = count_gflops(model, image)
    assert counted == pytest.approx(operations / 1e9, rel=1e-9)
    assert count_parameters(model) == sum(each.numel() for each in model.parameters())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the peak")
def test_the_memory_of_a_process_is_not_that_of_its_parent() -> None:
    held = np.ones(25_000_000)  # 200 MB
    # run by path, which imports neither PyTorch nor the package around it
    code = f"import runpy; print(runpy.run_path({peak_memory_file!r})['own_peak']())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert 1e6 < int(done.stdout) < held.nbytes
