"""The engine's Winograd convolution against oneDNN's direct one, layer by layer.

    python benchmarks/convolutions.py [--json benchmarks/measured/convolutions.json] [--rounds 15]

All 3 x 3 convolutions of stride 1 of Mask R-CNN R50-FPN at 800 x 1088, channels last, with their
rectifier, weights packed on both sides. Both sides in turn; a figure is the median of the rounds.
The error of each is its largest difference from a convolution in float64, as a part of the largest
result.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inference import machine
from maskwright.inference.engine.layers import FusedConv2d
from maskwright.kept_memory import keep_memory


@dataclass(frozen=True)
class Layer:
    """A convolution: where it stands, pictures, channels in and out, size, how often it is run."""

    name: str
    pictures: int
    channels: int
    written: int
    height: int
    width: int
    times: int


LAYERS = (
    Layer("body, stage 1", 1, 64, 64, 200, 272, 3),
    Layer("body, stage 2", 1, 128, 128, 100, 136, 3),
    Layer("body, stage 3", 1, 256, 256, 50, 68, 5),
    Layer("body, stage 4", 1, 512, 512, 25, 34, 2),
    Layer("pyramid and RPN, stride 4", 1, 256, 256, 200, 272, 2),
    Layer("pyramid and RPN, stride 8", 1, 256, 256, 100, 136, 2),
    Layer("pyramid and RPN, stride 16", 1, 256, 256, 50, 68, 2),
    Layer("pyramid and RPN, stride 32", 1, 256, 256, 25, 34, 2),
    Layer("RPN, stride 64", 1, 256, 256, 13, 17, 1),
    Layer("mask head, 30 boxes", 30, 256, 256, 14, 14, 4),
    Layer("mask head, 100 boxes", 100, 256, 256, 14, 14, 4),
)


@torch.no_grad()
def compare(layer: Layer, rounds: int) -> dict[str, Any]:
    """Return medians of both sides in milliseconds, and their errors."""
    generator = torch.Generator().manual_seed(0)
    convolution = nn.Conv2d(layer.channels, layer.written, 3, padding=1).requires_grad_(False)
    convolution.weight.normal_(std=(9 * layer.channels) ** -0.5, generator=generator)
    convolution.bias.normal_(std=0.1, generator=generator)
    shape = (layer.pictures, layer.channels, layer.height, layer.width)
    x = torch.randn(shape, generator=generator).to(memory_format=torch.channels_last)
    exact = F.conv2d(x[:4].double(), convolution.weight.double(), convolution.bias.double(), 1, 1)
    winograd = FusedConv2d(convolution, nn.ReLU())
    direct = FusedConv2d(convolution, nn.ReLU())
    is_chosen = winograd._winograd is not None and winograd._winograd.suits(x)
    winograd_side: Callable[[Tensor], Tensor] = winograd._winograd or winograd
    direct._winograd = None
    sides = {"winograd": winograd_side, "direct": direct}
    errors = {
        name: float((side(x)[:4] - exact.relu()).abs().max() / exact.max())
        for name, side in sides.items()
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            begin = time.perf_counter()
            side(x)
            times[name].append(1e3 * (time.perf_counter() - begin))
    medians = {name: statistics.median(each) for name, each in times.items()}
    places = layer.pictures * layer.height * layer.width
    gigaflop = 18e-9 * places * layer.channels * layer.written
    return {
        "layer": layer.name,
        "shape": [*shape, layer.written],
        "times": layer.times,
        "gigaflop": round(gigaflop, 2),
        **{f"{name}_ms": round(ms, 3) for name, ms in medians.items()},
        **{f"{name}_error": float(f"{error:.2g}") for name, error in errors.items()},
        "ratio": round(medians["direct"] / medians["winograd"], 2),
        "is_chosen": is_chosen,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Winograd against direct convolutions.")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    keep_memory()
    results = []
    for layer in LAYERS:
        found = compare(layer, options.rounds)
        results.append(found)
        print(
            f"{found['layer']:28} {found['gigaflop']:6.1f} GFLOP  direct "
            f"{found['direct_ms']:8.2f} ms  Winograd {found['winograd_ms']:8.2f} ms  "
            f"{found['ratio']:5.2f} times  error {found['winograd_error']:.1e} "
            f"({found['direct_error']:.1e})  {'' if found['is_chosen'] else 'direct is chosen'}"
        )
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
