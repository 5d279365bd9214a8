"""The demo: make pictures, train on them, score, and measure a real photograph.

OUT/pictures/       training, validation and held-out pictures with their annotations
OUT/run/            the run folder, with the model in best.safetensors
OUT/coins.png       the photograph with the coins that were found
OUT/coins.csv       each found coin, measured
OUT/held_out.png    held-out pictures, truth beside prediction
OUT/metrics.json    coins found, scores, seconds
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.data import open_dataset, save_image, write_coco_dataset
from maskwright.draw import contact_sheet, overlay
from maskwright.errors import TrainingError
from maskwright.evaluation import Metrics, evaluate
from maskwright.files import write_json
from maskwright.inference import Predictor, measure
from maskwright.masks import Masks
from maskwright.recipes.coins import HELD_OUT_ROW, coin_photograph, coin_samples, cut_coins
from maskwright.recipes.scoring import predict_dataset
from maskwright.recipes.training_runs import train
from maskwright.structures import Instances

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Demo", "run_demo"]

_NUM_PICTURES = {"train": 160, "validation": 16, "held_out": 24}
_MINUTES = 3.0
"""On two cores; the whole demo then stays under five minutes."""

_SHOWN_SCORE = 0.5
_MATCHED_IOU = 0.5


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demo found.

    Args:
        path: Where everything was written.
        coins_found: Coins of the photograph that a mask was found for (IoU 0.5 and more).
        false_alarms: Objects found that are none of its coins.
        held_out: Scores on pictures of coins that were never trained on.
        table: A row per coin of the photograph, with whether it was seen in training.
        seconds: Wall clock of all of it.
    """

    path: Path
    coins_found: int
    false_alarms: int
    held_out: Metrics
    table: pd.DataFrame
    seconds: float


def run_demo(
    out: str | Path = "demo",
    *,
    minutes: float = _MINUTES,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
    quiet: bool = False,
) -> Demo:
    """Train on pictures made from real coins and find the coins of a real photograph.

    Args:
        out: Folder to make; an earlier demo in it is replaced, other files are not touched.
        minutes: Training time.
        seed: Of pictures and training.
        say: Told what happens next, a line each.
        quiet: Hide the progress bar of the training.

    Raises:
        TrainingError: `out` holds something that is not a demo.
    """
    started = time.monotonic()
    folder = _clear(Path(out))
    say("1/4  making pictures: coins from three rows of the photograph on real textures")
    for name, file in _write_pictures(folder / "pictures", seed).items():
        say(f"     {name}: {_NUM_PICTURES[name]} pictures in {file.parent}")
    say(f"2/4  training Mask R-CNN from scratch for {minutes:g} minutes")
    run = train(
        folder / "pictures" / "train" / "annotations.json",
        validation=folder / "pictures" / "validation" / "annotations.json",
        out=folder / "run",
        preset="tiny",
        weights="none",
        minutes=minutes,
        seed=seed,
        overrides=_OVERRIDES,
        quiet=quiet,
    )
    predictor = Predictor(run.model)
    say("3/4  scoring on pictures of the row that was never trained on")
    held_out = _score_held_out(folder, predictor)
    say("4/4  finding and measuring the coins of the photograph")
    table, coins_found, false_alarms = _find_coins(folder, predictor)
    demo = Demo(
        path=folder,
        coins_found=coins_found,
        false_alarms=false_alarms,
        held_out=held_out,
        table=table,
        seconds=time.monotonic() - started,
    )
    write_json(
        folder / "metrics.json",
        {
            "coins_found": coins_found,
            "false_alarms": false_alarms,
            "held_out": held_out.as_dict(),
            "training_steps": run.steps,
            "seconds": round(demo.seconds, 1),
        },
    )
    return demo


_OVERRIDES: dict[str, Any] = {
    # Coins have no upright side.
    "augmentation.vertical_flip": 0.5,
    "augmentation.rotation": 180.0,
    "model.short_side": 256,
    "model.long_side": 352,
    "evaluations": 3,
}


def _clear(folder: Path) -> Path:
    """Remove an earlier demo; refuse a folder that holds something else."""
    ours = ("pictures", "run", "coins.png", "coins.csv", "held_out.png", "metrics.json")
    if folder.exists():
        others = [entry.name for entry in folder.iterdir() if entry.name not in ours]
        if others:
            raise TrainingError(
                f"{folder} holds {others[0]!r}, which is not of a demo: choose another --out"
            )
        for name in ours:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_pictures(folder: Path, seed: int) -> dict[str, Path]:
    coins = cut_coins()
    known = [coin for coin in coins if coin.row != HELD_OUT_ROW]
    unknown = [coin for coin in coins if coin.row == HELD_OUT_ROW]
    written = {}
    for place, (name, count) in enumerate(_NUM_PICTURES.items()):
        rng = np.random.default_rng((seed, place))
        chosen = unknown if name == "held_out" else known
        # One bare texture in ten, to learn what no coin is.
        samples = coin_samples(chosen, count, rng, bare_every=10)
        written[name] = write_coco_dataset(folder / name, samples)
    return written


def _score_held_out(folder: Path, predictor: Predictor) -> Metrics:
    dataset = open_dataset(folder / "pictures" / "held_out")
    found = list(predict_dataset(predictor, dataset))
    rows = []
    for i in range(3):
        shown = found[i][1]
        assert shown.scores is not None
        image, sure = dataset.image(i), shown[shown.scores >= _SHOWN_SCORE]
        rows.append([overlay(image, dataset.targets(i)), overlay(image, sure)])
    save_image(folder / "held_out.png", contact_sheet(rows, headings=("truth", "found")))
    return evaluate(found, dataset)


def _find_coins(folder: Path, predictor: Predictor) -> tuple[pd.DataFrame, int, int]:
    """Predict on the photograph; write overlay and measurements; match with the true coins."""
    image, truth = coin_photograph()
    found = predictor.predict(image, score_threshold=_SHOWN_SCORE, remove_overlaps=True)
    assert isinstance(found, Instances)
    found.save_overlay(folder / "coins.png")
    measured = measure(found)
    measured.to_csv(folder / "coins.csv", index=False)
    return _match(found, truth)


def _match(found: Instances, truth: Masks) -> tuple[pd.DataFrame, int, int]:
    """Return a row per true coin, the number of coins found, and that of false alarms."""
    import pandas as pd

    assert found.masks is not None
    assert found.scores is not None
    iou = truth.iou(found.masks) if len(found) else np.zeros((len(truth), 1))
    best, own = iou.max(axis=1), iou.argmax(axis=1)
    rows = []
    for coin, (overlap, index) in enumerate(zip(best.tolist(), own.tolist(), strict=True)):
        is_found = overlap >= _MATCHED_IOU
        rows.append(
            {
                "coin": coin + 1,
                "row": coin // 6 + 1,
                "seen in training": coin // 6 != HELD_OUT_ROW,
                "found": is_found,
                "score": float(found.scores[index]) if is_found else None,
                "mask IoU": overlap if is_found else None,
                "area (pixels)": int(found.masks.area[index]) if is_found else None,
            }
        )
    matched = {index for overlap, index in zip(best, own, strict=True) if overlap >= _MATCHED_IOU}
    coins_found = int((best >= _MATCHED_IOU).sum())
    return pd.DataFrame(rows), coins_found, len(found) - len(matched)
