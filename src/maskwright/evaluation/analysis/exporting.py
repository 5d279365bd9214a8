"""The lists and tables as files: csv for people, COCO for annotation tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.evaluation.analysis.listed import ListedObject, listed_dataframe
from maskwright.evaluation.analysis.mistakes import pictures_dataframe
from maskwright.evaluation.analysis.pairs import FoundAndTrue
from maskwright.files import atomic_write, write_json

if TYPE_CHECKING:
    import pandas as pd

    from maskwright.evaluation.analysis.report import ErrorAnalysis

__all__ = ["listed_to_coco", "write_tables"]


def listed_to_coco(objects: FoundAndTrue, entries: Sequence[ListedObject]) -> dict[str, Any]:
    """Return a COCO dictionary of the listed objects alone, on the pictures that hold one.

    True objects come as they are annotated; a found object that nothing is annotated for comes as
    it was found. Ids are new, in the order of the list, since found objects have none; beside
    COCO's own, entries have `source_id` (the annotation's, or None), `reason`, `explanation`,
    `rank_value` and `score`.
    """
    truth = objects.truth
    pictures = sorted({one.picture for one in entries})
    images = []
    for picture in pictures:
        height, width = truth.sizes[picture] or (None, None)
        image: dict[str, Any] = {
            "id": truth.image_ids[picture],
            "file_name": truth.file_names[picture],
        }
        images.append(image | {"height": height, "width": width})
    annotations = [
        {
            "id": number,
            "image_id": one.image_id,
            **_drawn(objects, one),
            "bbox": list(one.box),
            "area": one.area,
            "iscrowd": 0,
            "source_id": one.annotation_id,
            "reason": one.reason,
            "explanation": one.explanation,
            "rank_value": one.rank_value,
            "score": one.score,
        }
        for number, one in enumerate(entries, start=1)
    ]
    categories = [
        {"id": category_id, "name": name}
        for category_id, name in zip(truth.category_ids, truth.class_names, strict=True)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_tables(analysis: ErrorAnalysis, folder: str | Path) -> list[Path]:
    """Write every table as csv, everything as `errors.json`, and the suspects as COCO.

    Returns:
        The files: tide.csv, confusion.csv, thresholds.csv, breakdown.csv, pictures.csv,
        mistakes.csv, missed.csv, suspects.csv, suspects.json and errors.json.
    """
    folder = Path(folder)
    tables: dict[str, pd.DataFrame] = {
        "tide": analysis.tide.to_dataframe(),
        "confusion": analysis.confusion.to_dataframe(),
        "thresholds": analysis.curves.to_dataframe(),
        "breakdown": analysis.breakdown.to_dataframe(),
        "pictures": pictures_dataframe(analysis.pictures),
        "mistakes": listed_dataframe(analysis.confident_mistakes),
        "missed": listed_dataframe(analysis.missed),
        "suspects": listed_dataframe(analysis.suspects),
    }
    written = []
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        with atomic_write(path) as partial:
            table.to_csv(partial, index=name == "confusion")
        written.append(path)
    write_json(folder / "suspects.json", listed_to_coco(analysis.objects, analysis.suspects))
    write_json(folder / "errors.json", analysis.as_dict())
    return [*written, folder / "suspects.json", folder / "errors.json"]


def _drawn(objects: FoundAndTrue, one: ListedObject) -> dict[str, Any]:
    """Class and outline of the object that the entry is of: the true one where there is one."""
    is_true = one.annotation_id is not None
    side = objects.truth.objects if is_true else objects.found
    row = one.true_row if is_true else one.found_row
    assert row is not None
    label = int(side.labels[row])
    segmentation = side.segmentations[row] if side.segmentations is not None else None
    return {
        "category_id": objects.truth.category_ids[label],
        "segmentation": segmentation or [],
    }
