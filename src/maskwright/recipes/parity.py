"""The gate behind an export: scores of a model on real pictures before and after."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from maskwright.data import Dataset
from maskwright.errors import EvaluationError
from maskwright.evaluation import Kind, evaluate, evaluate_semantic
from maskwright.inference import Predictor
from maskwright.inference.export.agreement import picture_agreement
from maskwright.inference.export.opening import open_exported
from maskwright.inference.export.sameness import Selection, count_differing
from maskwright.inference.export.sessions import Precision
from maskwright.recipes.same_objects import selection_of
from maskwright.recipes.scoring import match_classes, predict_dataset
from maskwright.structures import Instances

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "Parity",
    "Reference",
    "ShowProgress",
    "allowed_drop",
    "measure_folder",
    "measure_parity",
    "measure_reference",
    "require_parity",
]

ShowProgress: TypeAlias = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Called with what begins; lends what is called with the pictures done and all."""

_AP_NAMES = {"bbox": "box AP", "segm": "mask AP", "boundary": "boundary AP"}
_NUM_WORST = 5

_MAX_DROP: dict[Precision, float] = {"fp32": 1e-4, "int8": 0.005}
"""By how much a score, in [0, 1], may fall; rounding alone moves AP by less."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the model itself finds and scores.

    Args:
        dataset: The pictures, with the model's labels.
        results: Of each picture: `Instances`, or a class map.
        numbers: Name -> score, in [0, 1].
        selection: See `selection_of`.
    """

    dataset: Dataset
    results: tuple[Instances | np.ndarray, ...]
    numbers: dict[str, float]
    selection: Selection | None = None


@dataclass(frozen=True, kw_only=True)
class Parity:
    """A model's scores before and after export on the same pictures.

    Args:
        before: Name -> score of the model, in [0, 1]; AP is -1 without true objects.
        after: Of the exported one.
        agreement: Mean over pictures of how alike the two results are, 0 to 1: mean IoU of the
            objects with their counterparts; of class maps the share of equal pixels.
        worst: Pictures that agree least, and how far, the worst first.
        pictures: How many were scored.
        objects: How many the model finds in them.
        differing: Pictures and how many objects of either result the other lacks (see
            `count_differing`), the worst first; those without are left out.
    """

    before: dict[str, float]
    after: dict[str, float]
    agreement: float
    worst: tuple[tuple[str, float], ...]
    pictures: int
    objects: int = 0
    differing: tuple[tuple[str, int], ...] = ()

    @property
    def drop(self) -> float:
        """By how much the score that suffers most is lower."""
        return max(0.0, *(self.before[name] - self.after[name] for name in self.before))

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        return {
            "before": self.before,
            "after": self.after,
            "drop": self.drop,
            "agreement": self.agreement,
            "worst": [list(each) for each in self.worst],
            "pictures": self.pictures,
            "objects": self.objects,
            "differing_objects": sum(count for _, count in self.differing),
        }

    def to_table(self) -> Table:
        """Return the scores as a rich table, ready to be printed."""
        from rich.table import Table

        table = Table("score, %", "before", "after", "change", title="Parity")
        for name, before in self.before.items():
            after = self.after[name]
            table.add_row(
                name, f"{100 * before:.2f}", f"{100 * after:.2f}", f"{100 * (after - before):+.3f}"
            )
        table.caption = (
            f"{self.pictures} pictures; their results agree to {100 * self.agreement:.3f} %"
        )
        if self.objects:
            count = sum(each for _, each in self.differing)
            table.caption += f"; of {self.objects} objects {count} differ"
        return table


def measure_reference(
    predictor: Predictor, dataset: Dataset, progress: ShowProgress | None = None
) -> Reference:
    """Return what the model finds on every picture, and its scores.

    Raises:
        ImageError: A picture cannot be read.
        EvaluationError: Objects of classes that the model does not know, or none at all.
    """
    dataset = match_classes(predictor.class_names, dataset)
    if not len(dataset.labels):
        raise EvaluationError(
            f"the {len(dataset)} pictures to compare on have no objects, so no score could fall: "
            "take annotated ones"
        )
    results = _results(predictor, dataset, progress, "Before")
    return Reference(
        dataset=dataset,
        results=results,
        numbers=_numbers(predictor, results, dataset),
        selection=selection_of(predictor),
    )


def measure_parity(
    reference: Reference, exported: Predictor, progress: ShowProgress | None = None
) -> Parity:
    """Return how the exported model scores beside the model it was made of.

    Args:
        reference: Of the model.
        exported: Of its folder.
        progress: See `ShowProgress`.
    """
    dataset = reference.dataset
    results = _results(exported, dataset, progress, "After")
    agreements = [
        _agreement(found, wanted) for found, wanted in zip(results, reference.results, strict=True)
    ]
    order = np.argsort(agreements, kind="stable")[:_NUM_WORST]
    return Parity(
        before=reference.numbers,
        after=_numbers(exported, results, dataset),
        agreement=float(np.mean(agreements)),
        worst=tuple((dataset.file_names[i], float(agreements[i])) for i in order.tolist()),
        pictures=len(dataset),
        objects=sum(len(each) for each in reference.results if isinstance(each, Instances)),
        differing=_differing(results, reference),
    )


def measure_folder(
    reference: Reference, folder: Path, progress: ShowProgress | None = None
) -> Parity:
    """Return how the exported model of a folder scores beside the model it was made of."""
    exported = open_exported(folder)
    predictor = Predictor(exported, exported.header.calibration_outside)
    return measure_parity(reference, predictor, progress)


def require_parity(
    parity: Parity, max_drop: float | None, out: Path, precision: Precision, hint: str = ""
) -> None:
    """Raise where a score fell by more than is allowed.

    Args:
        parity: What was measured.
        max_drop: In [0, 1]; None means 0.0001 in fp32 and 0.005 in int8.
        out: The folder that is not kept, for the message.
        precision: Of the graphs.
        hint: To end the message.

    Raises:
        EvaluationError: Names the scores and the pictures that differ most.
    """
    allowed = allowed_drop(max_drop, precision)
    if parity.drop <= allowed:
        return
    scores = ", ".join(
        f"{name} {before:.4f} -> {parity.after[name]:.4f}"
        for name, before in parity.before.items()
        if before > parity.after[name]
    )
    worst = ", ".join(f"{name} (agreement {value:.3f})" for name, value in parity.worst)
    raise EvaluationError(
        f"{out} was not kept, for the exported model is worse than allowed (--max-ap-drop "
        f"{allowed:g}): {scores}; the pictures that differ most: {worst}{hint}"
    )


def allowed_drop(max_drop: float | None, precision: Precision) -> float:
    """Return by how much a score may fall: what was asked for, or the default."""
    return _MAX_DROP[precision] if max_drop is None else max_drop


def _results(
    predictor: Predictor, dataset: Dataset, progress: ShowProgress | None, title: str
) -> tuple[Instances | np.ndarray, ...]:
    with nullcontext(_say_nothing) if progress is None else progress(title) as step:
        if predictor.finds_objects:
            return tuple(found for _, found in predict_dataset(predictor, dataset, progress=step))
        results = []
        for i in range(len(dataset)):
            results.append(predictor.class_map(dataset.image(i)))
            step(i + 1, len(dataset))
        return tuple(results)


def _say_nothing(done: int, total: int) -> None:
    del done, total


def _numbers(
    predictor: Predictor, results: tuple[Instances | np.ndarray, ...], dataset: Dataset
) -> dict[str, float]:
    ids = dataset.image_ids.tolist()
    if not predictor.finds_objects:
        maps = [each for each in results if isinstance(each, np.ndarray)]
        semantic = evaluate_semantic(
            zip(ids, maps, strict=True), dataset, class_names=predictor.class_names
        )
        return {"mean IoU": semantic.miou, "pixel accuracy": semantic.pixel_accuracy}
    found = [each for each in results if isinstance(each, Instances)]
    has_masks = all(each.masks is not None for each in found)
    kinds: tuple[Kind, ...] = ("bbox", "segm", "boundary") if has_masks else ("bbox",)
    metrics = evaluate(list(zip(ids, found, strict=True)), dataset, kinds=kinds)
    numbers = {_AP_NAMES[kind]: float(metrics[kind]["AP"]) for kind in kinds}
    if has_masks:
        numbers["mask IoU"] = _mask_iou(found, dataset)
    return numbers


def _mask_iou(results: list[Instances], dataset: Dataset) -> float:
    """Return the mean over true objects of the IoU with the nearest one found of their class."""
    best: list[float] = []
    for i, found in enumerate(results):
        truth = dataset.targets(i)
        if truth.is_crowd is not None:
            truth = truth[~truth.is_crowd]
        if not len(truth):
            continue
        assert found.masks is not None
        assert truth.masks is not None
        iou = np.zeros((len(found) + 1, len(truth)))  # a row of nothing, where nothing is found
        same = (found.labels[:, None] == truth.labels[None, :]).numpy()
        iou[: len(found)] = np.where(same, found.masks.iou(truth.masks), 0.0)
        best += iou.max(axis=0).tolist()
    return float(np.mean(best)) if best else -1.0


def _differing(
    results: tuple[Instances | np.ndarray, ...], reference: Reference
) -> tuple[tuple[str, int], ...]:
    selection = reference.selection
    if selection is None:
        return ()
    counts = [
        (name, count_differing(found, wanted, selection))
        for name, found, wanted in zip(
            reference.dataset.file_names, results, reference.results, strict=True
        )
        if isinstance(found, Instances) and isinstance(wanted, Instances)
    ]
    return tuple(sorted((each for each in counts if each[1]), key=lambda each: -each[1]))


def _agreement(found: Instances | np.ndarray, wanted: Instances | np.ndarray) -> float:
    if isinstance(found, Instances) and isinstance(wanted, Instances):
        return picture_agreement(found, wanted)
    return float(np.mean(np.asarray(found) == np.asarray(wanted)))
