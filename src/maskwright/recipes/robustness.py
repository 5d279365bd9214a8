"""How well a model holds out: AP under every corruption and strength, written as it is measured.

Following Michaelis et al., Benchmarking Robustness in Object Detection, 2019
(https://arxiv.org/abs/1907.07484): mPC, the mean performance under corruption, is the AP averaged
over strengths and then over corruptions; rPC, the relative one, is mPC over the clean AP.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from maskwright import __version__
from maskwright.data import Dataset
from maskwright.errors import ConfigError, DataError, EvaluationError
from maskwright.evaluation import Metrics, evaluate
from maskwright.files import write_json
from maskwright.inference import Predictor
from maskwright.inference.loading import model_file
from maskwright.inference.pictures import Picture
from maskwright.recipes.corrupted import corrupted_sample, truth_of
from maskwright.recipes.robustness_result import Cell, Robustness
from maskwright.recipes.scoring import match_classes
from maskwright.structures import Instances, Sample
from maskwright.transforms.corruptions import (
    OCCLUSIONS,
    REFERENCE_SIDE,
    STRENGTHS,
    corruption_names,
    require_corruptions,
    require_strengths,
)

__all__ = ["RobustnessOptions", "fingerprint_of_model", "measure_robustness"]

_FILE = "robustness.json"


@dataclass(frozen=True, kw_only=True)
class RobustnessOptions:
    """What is measured.

    Args:
        corruptions: Names, see `maskwright.transforms.corruptions`; () takes all.
        strengths: From 1 to 5.
        limit: Take so many pictures, drawn by `seed`; None takes all.
        seed: Of that draw and of every corruption.
        reference_side: How lengths follow the size of pictures, see `corrupt`.
        num_replicates: Of the interval of the clean AP; 0 for none.

    Raises:
        ConfigError: An unknown corruption or strength, or a limit below 1.
    """

    corruptions: tuple[str, ...] = ()
    strengths: tuple[int, ...] = STRENGTHS
    limit: int | None = None
    seed: int = 0
    reference_side: int | None = REFERENCE_SIDE
    num_replicates: int = 1000

    def __post_init__(self) -> None:
        require_corruptions(self.corruptions, corruption_names())
        require_strengths(self.strengths)
        if not self.strengths:
            raise ConfigError("strengths is empty: give one or more from 1 to 5")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be 1 picture or more, got {self.limit}")
        if self.reference_side is not None and self.reference_side < 1:
            raise ConfigError(
                f"reference_side must be 1 pixel or more, or None, got {self.reference_side}"
            )

    @property
    def cells(self) -> list[tuple[str, int]]:
        """Each (corruption, strength) once, in the order in which they are measured."""
        wanted = self.corruptions or tuple(corruption_names())
        names = [name for name in corruption_names() if name in wanted]
        return [(name, strength) for name in names for strength in sorted(set(self.strengths))]


def measure_robustness(
    predictor: Predictor,
    dataset: Dataset,
    out: str | os.PathLike[str],
    *,
    options: RobustnessOptions | None = None,
    model: str = "",
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Robustness:
    """Score a model on clean and on corrupted pictures.

    `OUT/robustness.json` is written anew after every corruption and strength, whole or not at all.
    A second call with the same folder takes what is there and goes on, so that an interruption
    loses one measurement at most; options that would change what is there are refused.

    Args:
        predictor: The model.
        dataset: With its pictures and masks.
        out: The folder of the results.
        options: What is measured; None measures everything.
        model: Says which model it is: a result of another one is not gone on with.
        batch_size: Pictures that go through the network together.
        progress: Called after each picture with the pictures done and all, over all that is left
            to measure.

    Raises:
        ConfigError: The folder holds results of another model, other data or other options, or
            the model finds no objects.
        DataError: The results in the folder cannot be read.
        EvaluationError: The dataset has no pictures, or objects of classes that the model does
            not know.
        ImageError: A picture cannot be read.
    """
    options = RobustnessOptions() if options is None else options
    if not predictor.finds_objects:
        raise ConfigError("this is a semantic model: robustness is measured on found objects")
    dataset = _limited(match_classes(predictor.class_names, dataset), options)
    path = Path(out) / _FILE
    settings = _settings(predictor, dataset, options, model)
    clean, measured = _read(path, settings)
    missing = [cell for cell in options.cells if cell not in measured]
    done = count(1)
    total = len(dataset) * (len(missing) + (clean is None))

    def on_picture() -> None:
        if progress is not None:
            progress(next(done), total)

    if clean is None:
        clean = _score_clean(predictor, dataset, options, batch_size, on_picture)
        _write(path, settings, clean, measured, options)
    for name, strength in missing:
        numbers = _score_cell(
            predictor, dataset, (name, strength), options, clean, batch_size, on_picture
        )
        measured[name, strength] = Cell(corruption=name, strength=strength, numbers=numbers)
        _write(path, settings, clean, measured, options)
    _write(path, settings, clean, measured, options)
    return _result(settings, clean, measured, options)


def fingerprint_of_model(name_or_path: str | os.PathLike[str]) -> str:
    """Return a text that differs where models differ: a digest of the file, else the name.

    Raises:
        CheckpointError: A folder without a model.
    """
    path = model_file(name_or_path)
    if not path.is_file():
        return os.fspath(name_or_path)
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def _score_clean(
    predictor: Predictor,
    dataset: Dataset,
    options: RobustnessOptions,
    batch_size: int,
    on_picture: Callable[[], None],
) -> dict[str, Any]:
    """Return numbers, intervals and the limit on detections of the pictures as they are."""
    samples = (dataset.sample(i) for i in range(len(dataset)))
    found, _ = _predict(predictor, samples, batch_size, on_picture)
    metrics = evaluate(found, dataset, num_replicates=options.num_replicates, seed=options.seed)
    return {
        "numbers": _numbers(metrics),
        "AP_intervals": {kind: list(ends["AP"]) for kind, ends in metrics.intervals.items()},
        "max_detections": metrics.max_detections,
    }


def _score_cell(
    predictor: Predictor,
    dataset: Dataset,
    cell: tuple[str, int],
    options: RobustnessOptions,
    clean: dict[str, Any],
    batch_size: int,
    on_picture: Callable[[], None],
) -> dict[str, dict[str, float]]:
    name, strength = cell
    samples = (
        corrupted_sample(
            dataset, i, name, strength, seed=options.seed, reference_side=options.reference_side
        )
        for i in range(len(dataset))
    )
    found, truth = _predict(predictor, samples, batch_size, on_picture)
    # Of what leaves objects in place the truth is the dataset itself, with its own areas.
    metrics = evaluate(
        found,
        truth_of(dataset, truth) if name in OCCLUSIONS else dataset,
        kinds=tuple(clean["numbers"]),
        max_detections=clean["max_detections"],
    )
    return _numbers(metrics)


def _predict(
    predictor: Predictor,
    samples: Iterator[Sample],
    batch_size: int,
    on_picture: Callable[[], None],
) -> tuple[list[tuple[int, Instances]], list[tuple[int, Instances]]]:
    """Return what is found and what is true, by image id; pictures are not kept."""
    truth: list[tuple[int, Instances]] = []

    def pictures() -> Iterator[Picture]:
        for sample in samples:
            truth.append((sample.image_id, sample.targets))
            # A name in place of pixels: results of many pictures would hold them all otherwise.
            yield Picture(image=sample.image, path=Path(sample.name))

    found = []
    for index, one in enumerate(predictor.run(pictures(), batch_size=batch_size)):
        found.append((truth[index][0], one))
        on_picture()
    return found, truth


def _numbers(metrics: Metrics) -> dict[str, dict[str, float]]:
    wanted = ("AP", "AP50", "AP75", "AR100")
    return {
        kind: {name: numbers[name] for name in wanted}
        for kind, numbers in metrics.as_dict().items()
    }


def _limited(dataset: Dataset, options: RobustnessOptions) -> Dataset:
    if not len(dataset):
        raise EvaluationError("the data holds no pictures to corrupt")
    if options.limit is None or options.limit >= len(dataset):
        return dataset
    rng = np.random.default_rng(options.seed)
    return dataset.subset(np.sort(rng.permutation(len(dataset))[: options.limit]))


def _settings(
    predictor: Predictor, dataset: Dataset, options: RobustnessOptions, model: str
) -> dict[str, Any]:
    """What every number in the file depends on, apart from the corruption and the strength."""
    return {
        "model": model,
        "classes": list(predictor.class_names),
        "pictures": len(dataset),
        "data": _fingerprint(dataset),
        "seed": options.seed,
        "reference_side": options.reference_side,
        "replicates": options.num_replicates,
    }


def _fingerprint(dataset: Dataset) -> str:
    """A short text that differs where pictures or objects differ; pixels are not read."""
    digest = hashlib.sha256("\n".join(map(str, dataset.file_names)).encode())
    for column in (dataset.image_ids, dataset.object_image, dataset.labels, dataset.boxes):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]


def _read(
    path: Path, settings: dict[str, Any]
) -> tuple[dict[str, Any] | None, dict[tuple[str, int], Cell]]:
    """Return what an earlier call measured with the same settings."""
    if not path.is_file():
        return None, {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        earlier, clean = document["settings"], document["clean"]
        cells = [Cell.from_dict(one) for one in document["results"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: is not a result of maskwright robustness ({error!r}); name another folder"
        ) from error
    for name, value in settings.items():
        if earlier.get(name) != value:
            raise ConfigError(
                f"{path} was measured with {name} {earlier.get(name)!r} and now it is {value!r}: "
                "name another folder, or delete the file to begin anew"
            )
    return clean, {(cell.corruption, cell.strength): cell for cell in cells}


def _write(
    path: Path,
    settings: dict[str, Any],
    clean: dict[str, Any],
    measured: dict[tuple[str, int], Cell],
    options: RobustnessOptions,
) -> None:
    """Write the file; cells that were measured before and are not asked for now stay in it."""
    order = {name: place for place, name in enumerate(corruption_names())}
    cells = sorted(measured.values(), key=lambda cell: (order[cell.corruption], cell.strength))
    document = {
        "settings": settings,
        "maskwright": __version__,
        "clean": clean,
        "summary": _result(settings, clean, measured, options).summary(),
        "results": [cell.as_dict() for cell in cells],
    }
    write_json(path, document)


def _result(
    settings: dict[str, Any],
    clean: dict[str, Any],
    measured: dict[tuple[str, int], Cell],
    options: RobustnessOptions,
) -> Robustness:
    """What was asked for, as far as it is measured."""
    return Robustness(
        clean=clean["numbers"],
        clean_intervals={kind: (ends[0], ends[1]) for kind, ends in clean["AP_intervals"].items()},
        cells=tuple(measured[cell] for cell in options.cells if cell in measured),
        num_images=settings["pictures"],
        max_detections=clean["max_detections"],
    )
