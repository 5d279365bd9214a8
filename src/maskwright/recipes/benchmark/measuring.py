"""A benchmark: the same pictures to every side, in turn, each side a process of its own."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data import read_image
from maskwright.errors import ConfigError
from maskwright.recipes.benchmark.agreement import Agreement, agreement_of, worst_agreement
from maskwright.recipes.benchmark.machine import Peak, machine_facts
from maskwright.recipes.benchmark.models import BenchModel, open_bench_model
from maskwright.recipes.benchmark.pictures import bench_pictures
from maskwright.recipes.benchmark.process import SideProcess
from maskwright.recipes.benchmark.result import Bench, MeasuredSide, Ratio
from maskwright.recipes.benchmark.sides import SideSpec, our_sides, peer_side
from maskwright.recipes.recipe import Preset
from maskwright.structures import Size

__all__ = ["bench", "measure_side_by_side", "measure_sides"]

_WARM_UP = 2
"""Predictions of each picture that are not counted: weights are packed in the first."""

_MIB = 2**20
_USUAL = ("torch", "eager")

Said = dict[str, list[list[dict[str, Any]]]]
"""Side -> picture -> what it said in each round, the warm-up first."""


def bench(
    model: str | os.PathLike[str],
    pictures: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    *,
    runtimes: Sequence[str] = (),
    precisions: Sequence[str] = ("fp32",),
    also: Sequence[str | os.PathLike[str]] = (),
    against: Sequence[str] = (),
    rounds: int = 9,
    size: Size = (480, 640),
    limit: int = 10,
    detections: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    preset: Preset | None = None,
    device: str | None = "cpu",
    threads: int | None = None,
    keeps_memory: bool = True,
    peer_python: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Bench:
    """Measure a model from picture file to COCO results with run lengths, beside others.

    Every side is a process of its own, started once; all predict one picture before the next is
    taken, each picture beginning with another side, so that whatever else the machine does meets
    all alike. Two predictions of each picture are not counted.

    Args:
        model: A model file, a run folder, an exported folder, "hf://user/model" or
            "torchvision/NAME"; or, with random weights that find objects, "torchvision/NAME"
            without `weights`, or a model as `train` names it, "faster-rcnn+mask-rcnn@resnet50".
        pictures: Files, folders and patterns; none for a made-up picture.
        runtimes: Of `RUNTIMES`, or "auto". None given: the engine and the model as it was
            trained; of an exported folder what it was written for.
        precisions: Of the runtimes; each runtime runs in those that it has.
        also: More models, by the same names, each as a side: an export in int8, for one.
        against: Peers, see `peer_side`: "torchvision", "ultralytics:FILE", "module:function".
            Ratios are against the first; without any against "eager", or else the first side.
        rounds: Counted predictions of each picture.
        size: (height, width) of the made-up picture.
        limit: Of many pictures so many are taken, evenly.
        detections: Objects that the model finds in a picture at most; of random weights about
            so many are found.
        weights: Of "torchvision/NAME": a file, or "download".
        preset: Of a model named as `train` does, likewise.
        device: Where ours runs; peers run on the processor.
        threads: Of every side; None leaves each its default.
        keeps_memory: Let our processes keep memory that they have used, see `keep_memory`.
        peer_python: The interpreter of the environment that has the peers; None for this one.
        progress: Called with the predictions done and all.

    Raises:
        ConfigError: An unknown name, or options that do not go together.
        CheckpointError: A model that cannot be opened.
        DataError: No pictures.
        MaskwrightError: A side failed; says which and why.
    """
    if rounds < 1:
        raise ConfigError(f"--rounds must be 1 or more, got {rounds}")
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads must be 1 or more, got {threads}")
    with tempfile.TemporaryDirectory(prefix="maskwright-bench-") as name:
        folder = Path(name)
        paths = bench_pictures(pictures, folder, size, limit)
        options: dict[str, Any] = {
            "device": device,
            "threads": threads,
            "keeps_memory": keeps_memory,
        }
        opened = open_bench_model(
            model, folder, read_image(paths[0]), weights=weights, detections=detections,
            preset=preset,
        )  # fmt: skip
        chosen = tuple(runtimes) or (("auto",) if opened.is_exported else _USUAL)
        sides = our_sides(opened, chosen, precisions, **options)
        for number, other in enumerate(also):
            sides += _also(other, folder / f"also-{number}", read_image(paths[0]), options)
        sides += [
            peer_side(each, opened, folder, threads=threads, python=peer_python) for each in against
        ]
        return measure_side_by_side(
            opened,
            sides,
            paths,
            reference=_reference(sides, len(against)),
            rounds=rounds,
            threads=threads,
            progress=progress,
        )


def measure_side_by_side(
    model: BenchModel,
    sides: Sequence[SideSpec],
    pictures: Sequence[Path],
    *,
    reference: str,
    rounds: int,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Bench:
    """Measure the machine, count the model's arithmetic, and let the sides predict in turn.

    Args:
        model: Whose arithmetic is counted.
        sides: What predicts, each under a name of its own.
        pictures: Picture files.
        reference: Name of the side that ratios are against.
        rounds: Counted predictions of each picture.
        threads: See `bench`.
        progress: See `bench`.

    Raises:
        ConfigError: Two sides of one name.
        MaskwrightError: A side failed.
    """
    names = [side.name for side in sides]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is named twice: leave one out")
    peak = _measured_peak(threads)
    counted = _count(model, pictures, threads)
    said = measure_sides(sides, pictures, rounds=rounds, progress=progress)
    comparable = {side.name for side in sides if side.same_weights}
    measured = []
    for name in names:
        agreement = None
        if name != reference and {name, reference} <= comparable:
            agreement = _agreement(said[name], said[reference])
        total = sum(counted.values()) if name in comparable else 0.0
        measured.append(_side(name, said, reference, total, agreement))
    return Bench(
        model=model.name,
        sides=tuple(measured),
        reference=reference,
        machine=machine_facts(),
        peak=peak,
        gigaflops=counted,
        pictures=len(pictures),
        rounds=rounds,
        notes=_notes(model),
    )


def measure_sides(
    sides: Sequence[SideSpec],
    pictures: Sequence[Path],
    *,
    rounds: int,
    progress: Callable[[int, int], None] | None = None,
) -> Said:
    """Start every side, let all predict every picture in turn, and return what they said.

    The first answer of each picture holds its results.

    Raises:
        MaskwrightError: A side failed; the others are ended too.
    """
    said: Said = {side.name: [[] for _ in pictures] for side in sides}
    total, done = (_WARM_UP + rounds) * len(pictures) * len(sides), 0
    with ExitStack() as stack:
        running = [
            stack.enter_context(SideProcess(side.as_message(), side.python)) for side in sides
        ]
        for turn in range(_WARM_UP + rounds):
            for place, picture in enumerate(pictures):
                first = (turn + place) % len(running)
                for side in running[first:] + running[:first]:
                    answer = side.predict(picture, wants_results=turn == 0)
                    said[side.name][place].append(answer)
                    done += 1
                    if progress is not None:
                        progress(done, total)
    return said


def _also(
    name: str | os.PathLike[str], folder: Path, picture: np.ndarray, options: dict[str, Any]
) -> list[SideSpec]:
    folder.mkdir()
    other = open_bench_model(name, folder, picture)
    prefix = f"{Path(other.name).name}, "
    return our_sides(other, ("auto",), ("fp32",), prefix=prefix, same_weights=False, **options)


def _reference(sides: Sequence[SideSpec], num_peers: int) -> str:
    names = [side.name for side in sides]
    if num_peers:
        return names[-num_peers]
    return "eager" if "eager" in names else names[0]


def _measured_peak(threads: int | None) -> Peak:
    message = {"name": "the machine's peak", "kind": "peak", "threads": threads}
    with SideProcess(message) as process:
        (found,) = process.predict("", wants_results=True)["results"]
    return Peak(**found)


def _count(model: BenchModel, pictures: Sequence[Path], threads: int | None) -> dict[str, float]:
    """Return the mean over pictures of 10^9 operations by part; {} where they cannot be counted."""
    message = {
        "name": "counting operations",
        "kind": "operations",
        "model": os.path.abspath(model.path),
        "is_exported": model.is_exported,
        "threads": threads,
    }
    totals: dict[str, float] = {}
    with SideProcess(message) as process:
        for picture in pictures:
            for row in process.predict(picture, wants_results=True)["results"]:
                share = row["operations"] / 1e9 / len(pictures)
                totals[row["part"]] = totals.get(row["part"], 0.0) + share
    return totals


def _notes(model: BenchModel) -> tuple[str, ...]:
    notes = [
        "GFLOP: multiplications and additions of the model's convolutions and matrix products, as "
        "it was trained. The engine's 3 x 3 convolutions need a quarter of them (Winograd), so its "
        "GFLOP/s may be above the peak of direct convolution."
    ]
    if model.is_random:
        notes.append("Random weights: times are right, objects mean nothing.")
    return tuple(notes)


def _side(
    name: str, said: Said, reference: str, gigaflops: float, agreement: Agreement | None
) -> MeasuredSide:
    rounds = [answer for each in said[name] for answer in each[_WARM_UP:]]
    milliseconds = [1e3 * answer["seconds"] for answer in rounds]
    median = statistics.median(milliseconds)
    last = rounds[-1]
    loaded, peak = last["loaded_bytes"], max(each["peak_bytes"] or 0 for each in rounds)
    return MeasuredSide(
        name=name,
        milliseconds=median,
        fastest=min(milliseconds),
        slowest=max(milliseconds),
        processor_ms=1e3 * statistics.median(answer["processor_seconds"] for answer in rounds),
        pictures_per_second=1e3 * len(rounds) / sum(milliseconds),
        stages=_stages(rounds),
        ratio=_ratio(said[reference], said[name]),
        gigaflops_per_second=1e3 * gigaflops / median if gigaflops else None,
        objects=sum(each[0]["objects"] for each in said[name]),
        loaded_mib=None if loaded is None else loaded / _MIB,
        peak_mib=None if loaded is None else peak / _MIB,
        above_mib=None if loaded is None else (peak - loaded) / _MIB,
        agreement=agreement,
    )


def _stages(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    names = list(dict.fromkeys(name for each in rounds for name in each["stages"]))
    stages = {
        name: 1e3 * statistics.median(each["stages"].get(name, 0.0) for each in rounds)
        for name in names
    }
    stages["other"] = 1e3 * statistics.median(
        each["seconds"] - sum(each["stages"].values()) for each in rounds
    )
    return stages


def _ratio(reference: list[list[dict[str, Any]]], ours: list[list[dict[str, Any]]]) -> Ratio:
    """Compare what was predicted next to each other: the same picture in the same round."""
    pairs = [
        slow["seconds"] / quick["seconds"]
        for theirs, own in zip(reference, ours, strict=True)
        for slow, quick in zip(theirs[_WARM_UP:], own[_WARM_UP:], strict=True)
    ]
    low, median, high = np.quantile(pairs, (0.1, 0.5, 0.9)).tolist()
    return Ratio(median=median, low=low, high=high)


def _agreement(ours: list[list[dict[str, Any]]], theirs: list[list[dict[str, Any]]]) -> Agreement:
    return worst_agreement(
        [
            agreement_of(own[0]["results"], other[0]["results"])
            for own, other in zip(ours, theirs, strict=True)
        ]
    )
