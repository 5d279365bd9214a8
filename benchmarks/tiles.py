"""How large pictures are found in tiles: joining, and a mosaic of real pictures with known truth.

    python benchmarks/tiles.py joining [--objects 33000]
    python benchmarks/tiles.py mosaic MODEL DATA [--side 20000] [--truth-only] [--keep FOLDER]
    python benchmarks/tiles.py slicer MODEL DATA [--side 2000]

`joining` cuts generated objects into tiles as a perfect detector would find them, and times
how long they take to become the same objects again.

`mosaic` lays squares of the pictures of a data set side by side, mirrored at random, writes them as
a tiled TIFF and predicts on it in a fresh process. The truth is known. What the model finds is
counted where tiles overlap and elsewhere: a joining that lost objects or left duplicates would
show as a difference, and the model's own errors do not. Beside it stands what the model finds in
each square by itself. A perfect detector, which reads the truth inside each tile, is put in the
model's place as well.

`slicer` runs supervision's InferenceSlicer, which makes dense masks of the whole picture, and
SAHI's sliced prediction with the same model, tiles and overlap on a mosaic that all can manage,
after ours. `--peer-python` names the Python of an environment that has SAHI and maskwright.

Each writes its part of benchmarks/measured/tiles.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.data import Dataset, open_dataset
from maskwright.inference import Predictor, join_tiles, load, plan_tiles
from maskwright.inference.peak_memory import own_peak
from maskwright.inference.tiling import TilePlan, Tiles
from maskwright.masks import Masks
from maskwright.masks.pairs import common_areas, meeting_pairs
from maskwright.masks.runs import run_boxes
from maskwright.structures import Instances
from tile_ways import SHOWN_SCORE, WAYS
from training import MEASURED, machine

REPORT = MEASURED / "tiles.json"
SHELF = 256  # rows of a shelf of the mosaic: the height of most nuclei pictures; a tile of its file


def main() -> None:
    """Run one part and write what it measured."""
    arguments = parse()
    if arguments.part == "child":
        print(json.dumps(child(arguments)))
        return
    measured = {"joining": joining, "mosaic": mosaic, "slicer": slicer}[arguments.part](arguments)
    report = json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.is_file() else {}
    is_perfect = arguments.part == "mosaic" and arguments.truth_only
    name = "perfect mosaic" if is_perfect else arguments.part
    report |= {name: measured | {"machine": machine()}}
    REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    join = parts.add_parser("joining", help="time the joining of generated objects")
    join.add_argument("--objects", type=int, default=33_000)
    for name, side in (("mosaic", 20_000), ("slicer", 1_000), ("child", 0)):
        part = parts.add_parser(name)
        part.add_argument("model")
        part.add_argument("data", type=Path)
        part.add_argument("--side", type=int, default=side, help="of the mosaic, in pixels")
        part.add_argument("--images", type=Path, help="folder of the pictures")
        part.add_argument("--batch-size", type=int, default=1)
        part.add_argument("--keep", type=Path, help="folder for the mosaic; by default temporary")
        part.add_argument("--tiles", default="auto", help="side of a tile in pixels, or auto")
        part.add_argument("--overlap", type=int, help="of tiles in pixels; by default the model's")
        part.add_argument("--truth-only", action="store_true", help="the perfect detector only")
        part.add_argument("--way", default="", help=argparse.SUPPRESS)
        part.add_argument("--against", nargs="*", default=["supervision"], choices=list(WAYS)[1:])
        part.add_argument("--peer-python", default=sys.executable)
        part.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def tiles_of(arguments: argparse.Namespace) -> Tiles:
    return "auto" if arguments.tiles == "auto" else int(arguments.tiles)


# --- joining -------------------------------------------------------------------------------------


def joining(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds to join discs of 10 to 34 pixels, half of which lie in some overlap."""
    truth = generated(arguments.objects)
    plan = plan_tiles(truth.image_size, tiles=256, overlap=48)
    found = perfect_tiles(truth, plan)
    join_tiles(plan, found[:0] + found)  # loads compiled code
    start = time.perf_counter()
    joined = join_tiles(plan, found)
    seconds = time.perf_counter() - start
    return {
        "objects": len(truth),
        "tiles": len(plan),
        "detections": sum(map(len, found)),
        "joined": len(joined),
        "is_exact": is_same(joined, truth),
        "seconds": round(seconds, 3),
    }


def generated(num_objects: int) -> Instances:
    """Disjoint discs with a hole, on a jittered grid of 40 pixels."""
    rng = np.random.default_rng(0)
    columns = int(np.ceil(np.sqrt(num_objects)))
    y, x = np.mgrid[:34, :34] + 0.5 - 17
    radius = np.hypot(x, y)
    bitmaps = []
    for i in range(num_objects):
        size = rng.uniform(5, 17)
        jitter = rng.integers(0, 6, 2)
        corner = (i % columns * 40 + int(jitter[0]), i // columns * 40 + int(jitter[1]))
        bitmaps.append(((radius < size) & (radius > size / 4), corner))
    side = (columns + 1) * 40
    return as_found(Masks.from_bitmaps(bitmaps, (side, side)), rng.uniform(0.1, 1, num_objects))


def as_found(masks: Masks, scores: np.ndarray) -> Instances:
    return Instances(
        image_size=masks.image_size,
        boxes=torch.from_numpy(masks.boxes.copy()),
        labels=torch.zeros(len(masks), dtype=torch.int64),
        scores=torch.from_numpy(scores.astype(np.float32)),
        masks=masks,
        class_names=("object",),
    )


def perfect_tiles(truth: Instances, plan: TilePlan) -> list[Instances]:
    """What a perfect detector finds in each tile: the truth, cut."""
    assert truth.masks is not None
    assert truth.scores is not None
    boxes, scores, tiles = truth.masks.boxes, truth.scores.numpy(), []
    for window in plan:
        x1, y1, x2, y2 = window
        met = (boxes[:, 0] < x2) & (boxes[:, 2] > x1) & (boxes[:, 1] < y2) & (boxes[:, 3] > y1)
        indices = np.flatnonzero(met)
        seen = truth.masks[indices].crop(window)
        has_pixels = np.flatnonzero(seen.area > 0)
        tiles.append(as_found(seen[has_pixels], scores[indices[has_pixels]]))
    return tiles


def is_same(one: Instances, other: Instances) -> bool:
    """Whether both have the same masks, in any order."""

    def keys(masks: Masks | None) -> list[bytes]:
        assert masks is not None
        ends = zip(masks.offsets, masks.offsets[1:], strict=False)
        return sorted(masks.runs[begin:end].tobytes() for begin, end in ends)

    return keys(one.masks) == keys(other.masks)


# --- mosaic --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """One picture in the mosaic: which, mirrored how, and the window it fills."""

    picture: int
    across: bool
    down: bool
    corner: tuple[int, int]
    size: tuple[int, int]


def layout(dataset: Dataset, side: int, seed: int) -> list[Place]:
    """Shelves of pictures in random order, each cut to a square as large as a shelf."""
    rng = np.random.default_rng(seed)
    places = []
    for y in range(0, side, SHELF):
        x = 0
        while x < side:
            picture = int(rng.integers(len(dataset)))
            height, width = (int(each) for each in dataset.sizes[picture])
            size = (min(height, SHELF, side - y), min(width, SHELF, side - x))
            across, down = (bool(flip) for flip in rng.integers(0, 2, 2))
            places.append(Place(picture, across, down, (x, y), size))
            x += size[1]
    return places


def placed_picture(dataset: Dataset, place: Place) -> np.ndarray:
    image = dataset.image(place.picture)
    image = image[:, ::-1] if place.across else image
    image = image[::-1] if place.down else image
    return np.ascontiguousarray(image[: place.size[0], : place.size[1]])


def placed_masks(targets: Masks, place: Place) -> Masks:
    masks = targets.flip_horizontal() if place.across else targets
    masks = masks.flip_vertical() if place.down else masks
    masks = masks.crop((0, 0, place.size[1], place.size[0]))
    return masks[masks.area > 0]


def write_mosaic(path: Path, dataset: Dataset, places: Sequence[Place], side: int) -> None:
    """Write the mosaic shelf by shelf, as tiles of 256 pixels with Deflate."""
    import tifffile

    def tiles() -> Iterator[np.ndarray]:
        for y in range(0, side, SHELF):
            band = np.zeros((SHELF, -(-side // SHELF) * SHELF, 3), np.uint8)
            for place in (each for each in places if each.corner[1] == y):
                x = place.corner[0]
                band[: place.size[0], x : x + place.size[1]] = placed_picture(dataset, place)
            for x in range(0, band.shape[1], SHELF):
                yield band[:, x : x + SHELF]

    tifffile.imwrite(
        path,
        tiles(),
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(SHELF, SHELF),
        photometric="rgb",
        compression="zlib",
        metadata=None,
    )


def mosaic_truth(dataset: Dataset, places: Sequence[Place], side: int) -> Instances:
    targets = [dataset.targets(i).masks for i in range(len(dataset))]
    parts = []
    for place in places:
        masks = targets[place.picture]
        assert masks is not None
        parts.append(placed_masks(masks, place).place(place.corner, (side, side)))
    masks = Masks.concatenate(parts)
    return as_found(masks, np.ones(len(masks)))


def mosaic(arguments: argparse.Namespace) -> dict[str, Any]:
    """Count error, peak memory and seconds on a mosaic, of a model and of a perfect detector."""
    dataset = open_dataset(arguments.data, images=arguments.images)
    places = layout(dataset, arguments.side, arguments.seed)
    truth = mosaic_truth(dataset, places, arguments.side)
    report: dict[str, Any] = {
        "side": arguments.side,
        "pictures": len(places),
        "objects": len(truth),
        "perfect_detector": perfect(truth, load(arguments.model), arguments),
    }
    if arguments.truth_only:
        return report
    single = single_pictures(load(arguments.model), dataset, places, arguments.side)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "mosaic.tif"
        write_mosaic(path, dataset, places, arguments.side)
        report["megabytes_of_file"] = round(path.stat().st_size / 1e6)
        measured = in_fresh_process(arguments, path, folder, "tiles")
        with np.load(folder / "found.npz") as file:
            masks = Masks((arguments.side, arguments.side), file["runs"], file["offsets"])
            found = as_found(masks, file["scores"])
    report |= measured | {"counts": counts(truth, found, single)}
    plan = plan_of(arguments, load(arguments.model))
    return report | {"seams": seams(truth, above(found, SHOWN_SCORE), plan)}


def plan_of(arguments: argparse.Namespace, predictor: Predictor) -> TilePlan:
    return plan_tiles(
        (arguments.side, arguments.side),
        tiles=tiles_of(arguments),
        overlap=arguments.overlap,
        picture_side=predictor.model.picture_side,
        object_side=predictor.model.object_side,
    )


def seams(truth: Instances, found: Instances, plan: TilePlan) -> dict[str, Any]:
    """Objects and pairs that cover each other, where one tile sees them and where several do."""
    first_of_pair = found[covering_pairs(found)[:, 0]]
    table: dict[str, Any] = {}
    for name, is_seam in (("in_overlaps", True), ("elsewhere", False)):
        table[name] = {
            key: int((is_in_overlap(each, plan) == is_seam).sum())
            for key, each in (("truth", truth), ("found", found), ("pairs", first_of_pair))
        }
    inside, outside = (table[name] for name in ("in_overlaps", "elsewhere"))
    if inside["truth"] and outside["found"]:
        ratio = (inside["found"] / inside["truth"]) / (outside["found"] / outside["truth"])
        table["count_error_of_overlaps"] = round(ratio - 1, 4)
    return table


def is_in_overlap(instances: Instances, plan: TilePlan) -> np.ndarray:
    """Whether more than one tile holds the centre of each object's box."""
    boxes = instances.boxes.numpy()
    covered = np.ones(len(boxes), int)
    for axis, starts in ((0, plan.columns), (1, plan.rows)):
        centre = (boxes[:, axis] + boxes[:, axis + 2]) / 2
        begun = np.searchsorted(starts, centre, "right")
        ended = np.searchsorted(np.add(starts, plan.tile_size[1 - axis]), centre, "right")
        covered *= begun - ended
    return covered > 1


def perfect(
    truth: Instances, predictor: Predictor, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Join the truth, cut by the model's own plan."""
    plan = plan_of(arguments, predictor)
    tiles = perfect_tiles(truth, plan)
    start = time.perf_counter()
    joined = join_tiles(plan, tiles)
    return {
        "tiles": len(plan),
        "detections": sum(map(len, tiles)),
        "joined": len(joined),
        "count_error": abs(len(joined) - len(truth)) / max(len(truth), 1),
        "is_exact": is_same(joined, truth),
        "seconds_to_join": round(time.perf_counter() - start, 3),
    }


def single_pictures(
    predictor: Predictor, dataset: Dataset, places: Sequence[Place], side: int
) -> Instances:
    """What the model finds in each picture of the mosaic by itself, put where it lies."""
    ways: dict[tuple[Any, ...], Instances] = {}
    parts, scores = [], []
    for place in places:
        way = (place.picture, place.across, place.down, place.size)
        if way not in ways:
            ways[way] = replace(predictor.predict(placed_picture(dataset, place)), source=None)
        found = ways[way]
        assert found.masks is not None
        assert found.scores is not None
        parts.append(found.masks.place(place.corner, (side, side)))
        scores.append(found.scores.numpy())
    return as_found(Masks.concatenate(parts), np.concatenate(scores))


def counts(truth: Instances, found: Instances, single: Instances) -> dict[str, Any]:
    """Counts at a score of 0.5, and at the score from which single pictures count right.

    Beside them the pairs of which one object is half covered by the other, duplicates among them,
    and the true objects that were found with an IoU above 0.5.
    """
    assert single.scores is not None
    best = single.scores.sort(descending=True).values
    balanced = float(best[min(len(truth), len(best)) - 1])
    table: dict[str, Any] = {
        "truth": len(truth),
        "covering_pairs_in_truth": num_covering_pairs(truth),
    }
    for name, score in (("at 0.5", SHOWN_SCORE), ("balanced", balanced)):
        mosaic, alone = above(found, score), above(single, score)
        table[name] = {
            "score": round(score, 3),
            "mosaic": len(mosaic),
            "single_pictures": len(alone),
            "error_to_truth": round(len(mosaic) / len(truth) - 1, 4),
            "error_to_single_pictures": round(len(mosaic) / max(len(alone), 1) - 1, 4),
            "covering_pairs": num_covering_pairs(mosaic),
            "covering_pairs_in_single_pictures": num_covering_pairs(alone),
            "recall": round(recall(mosaic, truth), 4),
            "recall_in_single_pictures": round(recall(alone, truth), 4),
        }
    return table


def above(found: Instances, score: float) -> Instances:
    assert found.scores is not None
    return found[(found.scores >= score).numpy()]


def recall(found: Instances, truth: Instances) -> float:
    """Share of true objects that some found one meets with an IoU above 0.5."""
    assert found.masks is not None
    assert truth.masks is not None
    both = Masks.concatenate([found.masks, truth.masks])
    pairs = meeting_pairs(run_boxes(both.runs, both.offsets))
    pairs = pairs[(pairs[:, 0] < len(found)) & (pairs[:, 1] >= len(found))]
    common = common_areas(both.runs, both.offsets, pairs)
    ratio = common / (both.area[pairs].sum(axis=1) - common)
    return len(np.unique(pairs[ratio > 0.5, 1])) / max(len(truth), 1)


def num_covering_pairs(instances: Instances) -> int:
    return len(covering_pairs(instances))


def covering_pairs(instances: Instances) -> np.ndarray:
    """Pairs of objects, (p, 2), that share more than half of the smaller one."""
    masks = instances.masks
    assert masks is not None
    pairs = meeting_pairs(run_boxes(masks.runs, masks.offsets))
    common = common_areas(masks.runs, masks.offsets, pairs)
    smaller = masks.area[pairs].min(axis=1) if len(pairs) else np.zeros(0)
    return pairs[common > 0.5 * smaller]


# --- in a process of its own ---------------------------------------------------------------------


def in_fresh_process(
    arguments: argparse.Namespace, path: Path, folder: Path, way: str
) -> dict[str, Any]:
    options = ["--batch-size", str(arguments.batch_size), "--keep", str(folder), "--way", way]
    options += ["--tiles", arguments.tiles]
    options += [] if arguments.overlap is None else ["--overlap", str(arguments.overlap)]
    python = sys.executable if way == "tiles" else arguments.peer_python
    command = [python, __file__, "child", arguments.model, str(path), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the process that predicts failed:\n{done.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def child(arguments: argparse.Namespace) -> dict[str, Any]:
    """Predict on the picture and keep runs and scores; say seconds and peak memory."""
    predictor = load(arguments.model)
    libraries = own_peak()
    start = time.perf_counter()
    masks, scores, extra = WAYS[arguments.way](
        predictor, arguments.data, tiles_of(arguments), arguments.overlap, arguments.batch_size
    )
    seconds = time.perf_counter() - start
    peak = own_peak()
    np.savez(arguments.keep / "found.npz", runs=masks.runs, offsets=masks.offsets, scores=scores)
    return extra | {
        "seconds": round(seconds, 1),
        "peak_mib": round(peak / 2**20),
        "peak_mib_before": round(libraries / 2**20),
    }


# --- against other slicers ------------------------------------------------------------------------


def slicer(arguments: argparse.Namespace) -> dict[str, Any]:
    """All on one mosaic, each in a fresh process."""
    dataset = open_dataset(arguments.data, images=arguments.images)
    places = layout(dataset, arguments.side, arguments.seed)
    truth = mosaic_truth(dataset, places, arguments.side)
    report: dict[str, Any] = {
        "side": arguments.side,
        "objects": len(truth),
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_mosaic(folder / "mosaic.tif", dataset, places, arguments.side)
        for way in ("tiles", *arguments.against):
            measured = in_fresh_process(arguments, folder / "mosaic.tif", folder, way)
            with np.load(folder / "found.npz") as file:
                masks = Masks((arguments.side, arguments.side), file["runs"], file["offsets"])
                found = above(as_found(masks, file["scores"]), SHOWN_SCORE)
            report[way] = measured | {
                "found": len(found),
                "covering_pairs": num_covering_pairs(found),
                "recall": round(recall(found, truth), 4),
            }
    return report


if __name__ == "__main__":
    main()
