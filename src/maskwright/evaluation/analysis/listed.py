"""The entries of the lists: one object, where it is and why it is listed.

The lists are made for people and for annotation tools, so an entry stands for itself: it names its
picture, its class and its box, and not rows of arrays (which it holds as well).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from maskwright.evaluation.analysis.pairs import FoundAndTrue

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ListedObject", "found_entry", "listed_dataframe", "true_entry"]

_COLUMNS = (
    "reason", "rank_value", "file_name", "class_name", "other_class", "score", "iou", "x", "y",
    "width", "height", "area", "image_id", "annotation_id", "prediction", "explanation",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ListedObject:
    """One object of a list; the surest or largest of its kind first.

    Args:
        reason: One word for why it is listed.
        explanation: The same in a sentence.
        rank_value: What the list is ordered by, falling.
        image_id: The truth's id of its picture.
        file_name: Of the picture; "" where the truth has none.
        picture: Index of the picture in the truth.
        class_name: Its class: of a true object the annotated one, else the found one.
        other_class: The class it was taken for, or "".
        score: Of the found object concerned; None without one.
        iou: With the other side's object concerned; 0 without one.
        box: x, y, width, height in pixels.
        area: In pixels.
        true_row: Row of the true object concerned; None without one.
        annotation_id: The truth's id of it; None without one.
        found_row: Row of the found object concerned; None without one.
        prediction: Its place among the predictions as they were given; None without one.
    """

    reason: str
    explanation: str
    rank_value: float
    image_id: int | str
    file_name: str
    picture: int
    class_name: str
    other_class: str
    score: float | None
    iou: float
    box: tuple[float, float, float, float]
    area: float
    true_row: int | None
    annotation_id: int | str | None
    found_row: int | None
    prediction: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        entry = asdict(self)
        for internal in ("picture", "true_row", "found_row", "box"):
            del entry[internal]
        x, y, width, height = self.box
        return entry | {"x": x, "y": y, "width": width, "height": height}


def listed_dataframe(entries: Sequence[ListedObject]) -> pd.DataFrame:
    """Return a row per entry, in order; with its columns also when there is none."""
    import pandas as pd

    return pd.DataFrame([one.as_dict() for one in entries], columns=list(_COLUMNS))


def found_entry(
    objects: FoundAndTrue,
    row: int,
    *,
    reason: str,
    explanation: str,
    rank_value: float,
    true_row: int | None = None,
    iou: float = 0.0,
) -> ListedObject:
    """Return the entry of a found object, and of the true one it is about, if any."""
    found, truth = objects.found, objects.truth
    names, label = truth.class_names, int(found.labels[row])
    other = None if true_row is None else int(truth.objects.labels[true_row])
    return ListedObject(
        reason=reason,
        explanation=explanation,
        rank_value=float(rank_value),
        class_name=names[label],
        other_class="" if other is None or other == label else names[other],
        score=float(found.scores[row]),
        iou=float(iou),
        box=_box(found.boxes[row]),
        area=float(objects.found_areas[row]),
        true_row=true_row,
        annotation_id=None if true_row is None else objects.annotation_ids[true_row],
        found_row=row,
        prediction=int(objects.rows[row]),
        **_picture(objects, int(found.images[row])),
    )


def true_entry(
    objects: FoundAndTrue,
    row: int,
    *,
    reason: str,
    explanation: str,
    rank_value: float,
    found_row: int | None = None,
    iou: float = 0.0,
) -> ListedObject:
    """Return the entry of a true object, and of the found one it is about, if any."""
    found, truth = objects.found, objects.truth
    names, label = truth.class_names, int(truth.objects.labels[row])
    other = None if found_row is None else int(found.labels[found_row])
    return ListedObject(
        reason=reason,
        explanation=explanation,
        rank_value=float(rank_value),
        class_name=names[label],
        other_class="" if other is None or other == label else names[other],
        score=None if found_row is None else float(found.scores[found_row]),
        iou=float(iou),
        box=_box(truth.objects.boxes[row]),
        area=float(objects.true_areas[row]),
        true_row=row,
        annotation_id=objects.annotation_ids[row],
        found_row=found_row,
        prediction=None if found_row is None else int(objects.rows[found_row]),
        **_picture(objects, int(truth.objects.images[row])),
    )


def _picture(objects: FoundAndTrue, picture: int) -> dict[str, Any]:
    return {
        "picture": picture,
        "image_id": objects.truth.image_ids[picture],
        "file_name": objects.truth.file_names[picture],
    }


def _box(box: Any) -> tuple[float, float, float, float]:
    x, y, width, height = (round(float(value), 2) for value in box)
    return x, y, width, height
