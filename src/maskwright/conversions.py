"""What `Instances` turn into for other tools: COCO entries, maps, tables, supervision.

Pure functions of one picture's objects; `Instances` offers each as a method. Pixels that two
objects share are kept wherever the target can hold them; a label map cannot and says which wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Int32

from maskwright.errors import MaskError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

    from maskwright.masks import Masks
    from maskwright.structures import Instances

__all__ = [
    "OverlapRule",
    "class_map_names",
    "masks_of",
    "to_class_map",
    "to_coco",
    "to_dataframe",
    "to_label_map",
    "to_supervision",
]

OverlapRule = Literal["score", "first", "last", "error"]
"""Whose a shared pixel becomes: the higher score's, the first or last object's, or an error."""


def masks_of(instances: Instances, purpose: str) -> Masks:
    """Return the masks of `instances`; an error that names `purpose` where there are none."""
    if instances.masks is None:
        raise MaskError(
            f"{purpose} needs masks, and these {len(instances)} objects have boxes only: "
            "run a mask head on them first"
        )
    return instances.masks


def to_coco(instances: Instances, image_id: int = 0) -> list[dict[str, Any]]:
    """Return COCO entries, one per object, ready for `json.dumps`.

    Found objects become results with a `score`; true ones (no scores) become annotations with
    `area` and `iscrowd`, which still want an `id` that is unique in their file. Numbers are
    plain Python ones at full precision; `segmentation` is a compressed RLE with text counts and
    is left out where there are no masks. No objects give an empty list.

    Args:
        instances: The objects of one picture.
        image_id: The picture's id in the dataset that the entries belong to.
    """
    corners = instances.boxes.detach().cpu().double().numpy()
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
    labels = instances.labels.tolist()
    ids = instances.category_ids
    entries: list[dict[str, Any]] = [
        {
            "image_id": image_id,
            "category_id": int(ids[label]) if ids else label + 1,
            "bbox": box,
        }
        for label, box in zip(labels, xywh, strict=True)
    ]
    if instances.class_names:  # a label as text is no name to match classes by
        for entry, name in zip(entries, instances.names, strict=True):
            entry["category_name"] = name
    if instances.masks is not None:
        for entry, rle in zip(entries, instances.masks.to_coco(), strict=True):
            entry["segmentation"] = rle
    if instances.scores is not None:
        for entry, score in zip(entries, instances.scores.tolist(), strict=True):
            entry["score"] = score
        return entries
    areas = _areas(instances).tolist()
    crowd = [False] * len(entries) if instances.is_crowd is None else instances.is_crowd.tolist()
    for entry, area, is_crowd in zip(entries, areas, crowd, strict=True):
        entry |= {"area": area, "iscrowd": int(is_crowd)}
    return entries


def to_label_map(
    instances: Instances, *, overlap: OverlapRule | None = None
) -> Int32[np.ndarray, "h w"]:
    """Return one picture of numbers: 0 is background, i + 1 is object i.

    Args:
        instances: The objects of one picture, with masks.
        overlap: Whose a pixel of several objects becomes. None means "score" for found objects
            (of equal scores the first) and "error" for true ones, which have no scores.

    Raises:
        MaskError: Objects overlap and the rule is "error"; or there are no masks; or the rule is
            "score" and there are no scores.
    """
    masks = masks_of(instances, "a label map")
    rule = overlap or ("error" if instances.scores is None else "score")
    values = np.arange(1, len(instances) + 1)
    if rule != "score":
        return masks.to_label_map(overlap=rule, values=values)
    if instances.scores is None:
        raise MaskError('overlap="score" needs scores and true objects have none: use "first"')
    order = np.argsort(-instances.scores.detach().cpu().numpy(), kind="stable")
    return masks[order].to_label_map(overlap="first", values=values[order])


def to_class_map(instances: Instances) -> Int32[np.ndarray, "h w"]:
    """Return the class of every pixel: 0 is background, label + 1 a class, -1 is not known.

    Where objects overlap, the smaller one has the pixel (of equal areas the later one), since a
    large object that is painted over a small one would hide it. What only crowds cover is not
    known: objects and gaps there are not told apart.

    Args:
        instances: The objects of one picture, with masks.

    Raises:
        MaskError: There are no masks.
    """
    masks = masks_of(instances, "a class map")
    is_crowd = np.zeros(len(instances), bool)
    if instances.is_crowd is not None:
        is_crowd = instances.is_crowd.cpu().numpy()
    values = np.where(is_crowd, -1, instances.labels.cpu().numpy() + 1)
    # crowds first, then objects from large to small: later ones are painted over earlier ones
    order = np.lexsort((-masks.area, ~is_crowd))
    return masks[order].to_label_map(overlap="last", values=values[order])


def class_map_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return what each value of a class map is called, "background" first, no two alike.

    >>> class_map_names(["car", "background"])
    ('background', 'car', 'background-2')
    """
    seen: Counter[str] = Counter()
    names = []
    for name in ("background", *class_names):
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return tuple(names)


def to_dataframe(instances: Instances) -> pd.DataFrame:
    """Return a table with one row per object; no objects give no rows and the same columns.

    Columns: `object` (from 1, the numbers of the label map), `class`, `score` (found objects
    only), `x1`, `y1`, `x2`, `y2` in pixels, `area` in pixels (where there are masks) and
    `is_crowd` (where it is known). `maskwright.inference.measure` adds shape measurements.
    """
    import pandas as pd

    boxes = instances.boxes.detach().cpu().numpy()
    columns: dict[str, Any] = {
        "object": np.arange(1, len(instances) + 1),
        "class": pd.Series(instances.names, dtype="str"),
    }
    if instances.scores is not None:
        columns["score"] = instances.scores.detach().cpu().numpy()
    columns |= {name: boxes[:, i] for i, name in enumerate(("x1", "y1", "x2", "y2"))}
    if instances.masks is not None:
        columns["area"] = instances.masks.area
    if instances.is_crowd is not None:
        columns["is_crowd"] = instances.is_crowd.cpu().numpy()
    return pd.DataFrame(columns)


def to_supervision(instances: Instances, *, compact: bool = False) -> Any:
    """Return the objects as `supervision.Detections`, class names in `data["class_name"]`.

    Args:
        instances: The objects of one picture.
        compact: Masks as supervision's run-length `CompactMask` (its version 0.28 and later).
            False gives the usual dense array, n x height x width bytes: mind large pictures.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    try:
        import supervision as sv
    except ImportError as error:
        raise MissingExtraError("supervision", "supervision", "make Detections") from error
    masks: Any = None
    if instances.masks is not None and compact:
        corners = instances.masks.boxes.copy()
        corners[:, 2:] = np.maximum(corners[:, 2:] - 1, corners[:, :2])  # its ends are inclusive
        masks = sv.CompactMask.from_coco_rle(
            instances.masks.to_coco(), corners, instances.image_size
        )
    elif instances.masks is not None:
        masks = instances.masks.to_dense()
    scores = instances.scores
    return sv.Detections(
        xyxy=instances.boxes.detach().cpu().numpy(),
        mask=masks,
        confidence=None if scores is None else scores.detach().cpu().numpy(),
        class_id=instances.labels.cpu().numpy(),
        data={"class_name": np.array(instances.names, dtype=str)},
    )


def _areas(instances: Instances) -> np.ndarray:
    """Area in pixels: the mask's where there is one, else the box's."""
    if instances.masks is not None:
        return instances.masks.area
    boxes = instances.boxes.detach().cpu().double().numpy()
    areas: np.ndarray = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return areas
