"""Our fastest pair at 640 pixels against YOLO11n-seg in Ultralytics' fastest format for processors.

    python benchmarks/small_networks.py RUN PEER.pt DATA --peer-python PYTHON
        [--side 640] [--pictures 6] [--rounds 7] [--json benchmarks/measured/small_networks.json]

The bar: 1.3 times as fast as Ultralytics' `predict` from OpenVINO with masks at full resolution,
from picture file to COCO run lengths, by a model of ours that reaches at least the mask AP of
YOLO11n-seg after as long a training. RUN and PEER.pt are models of `benchmarks/time_to_ap.py`,
which scores both.

Pictures are mosaics of DATA's, a side of the network large, so that neither enlarges them and masks
at full resolution are of the network's size. Both give what has a score of 0.25 and more, the
peer's default. All sides predict in turn, each in a process of its own; the peer lives in an
environment of its own, which has OpenVINO too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inference import figures, machine
from maskwright.data import open_dataset
from maskwright.inference.loading import model_file
from maskwright.model import load_checkpoint, save_checkpoint
from maskwright.recipes.benchmark import bench
from maskwright.recipes.benchmark.random_models import with_options
from tiles import layout, placed_picture

BAR = 1.3
SCORE = 0.25
_EXPORT = """
import sys
from ultralytics import YOLO
YOLO(sys.argv[1]).export(format="openvino", imgsz=int(sys.argv[2]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="A small network at 640 pixels, in turn.")
    parser.add_argument("run", type=Path, help="run folder of ours")
    parser.add_argument("peer", type=Path, help="weights of Ultralytics', .pt")
    parser.add_argument("data", type=Path, help="annotated pictures")
    parser.add_argument("--images", type=Path, help="folder of the pictures")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(options, Path(temporary))
    from rich.console import Console

    Console(width=160).print(found.to_tables())
    ours = {side.name: side for side in found.sides if not side.name.startswith("ultralytics")}
    best = max(ours.values(), key=lambda side: side.ratio.median)
    measured: dict[str, Any] = {
        "machine": machine(),
        "bar": BAR,
        "side": options.side,
        "pictures": options.pictures,
        "sides": {side.name: figures(side) | {"objects": side.objects} for side in found.sides},
        "reference": found.reference,
        "best": best.name,
    }
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    print(f"{best.name}: {best.ratio.median:.2f} times as fast as {found.reference} (bar {BAR})")
    return int(best.ratio.median < BAR)


def measure(options: argparse.Namespace, folder: Path) -> Any:
    """Write pictures and models of that size, and let all predict in turn."""
    pictures = write_mosaics(options, folder)
    model = load_checkpoint(model_file(options.run), device="cpu")
    wanted = {
        "short_side": options.side,
        "long_side": options.side,
        "detector.score_threshold": SCORE,
    }
    own = folder / "model.safetensors"
    save_checkpoint(with_options(model, wanted), own)
    weights = folder / options.peer.name
    weights.write_bytes(options.peer.read_bytes())
    command = [options.peer_python, "-c", _EXPORT, str(weights), str(options.side)]
    subprocess.run(command, check=True)
    (exported,) = folder.glob("*_openvino_model")
    return bench(
        own,
        pictures,
        runtimes=("torch", "openvino", "onnx"),
        against=(f"ultralytics:{exported}", f"ultralytics:{weights}"),
        rounds=options.rounds,
        limit=len(pictures),
        peer_python=options.peer_python,
    )


def write_mosaics(options: argparse.Namespace, folder: Path) -> list[Path]:
    """Write squares laid out of the data's pictures and return their files."""
    dataset = open_dataset(options.data, images=options.images)
    paths = []
    for seed in range(options.pictures):
        square = np.zeros((options.side, options.side, 3), np.uint8)
        for place in layout(dataset, options.side, seed):
            piece = placed_picture(dataset, place)
            (left, top), (height, width) = place.corner, place.size
            square[top : top + height, left : left + width] = piece
        paths.append(folder / f"mosaic-{seed}.png")
        Image.fromarray(square).save(paths[-1])
    return paths


if __name__ == "__main__":
    sys.exit(main())
