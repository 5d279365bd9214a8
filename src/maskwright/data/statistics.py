"""What a dataset holds, counted: pictures, objects, sizes, shapes, classes and their company.

Objects are those a detector learns from: crowds and objects without a pixel are counted apart.
Areas are the source's, widths and heights those of its boxes.

Shapes: m pictures, n objects, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from maskwright.data.dataset import Dataset
from maskwright.data.normalisation import ChannelStatistics

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DatasetStatistics", "dataset_statistics", "joint_class_names"]

_QUANTILES = {"min": 0.0, "p5": 0.05, "median": 0.5, "p95": 0.95, "max": 1.0}
# COCO's limits between small, medium and large, in square pixels.
_SMALL, _LARGE = 32.0**2, 96.0**2


@dataclass(frozen=True, kw_only=True, eq=False)
class DatasetStatistics:
    """The figures of one dataset, or of one part of it.

    Args:
        name: What to call it in tables and plots.
        class_names: (k,) by label.
        pictures: A row per picture: file_name, height, width, objects, classes.
        objects: A row per object that is no crowd: file_name, class, area (square pixels), side
            (square root of the area), relative_area (of the picture), width, height, aspect
            (width over height), x and y (centre of the box, 0 to 1 of the picture).
        num_crowd: Objects that stand for crowds.
        num_empty_masks: Objects without a pixel.
        co_occurrence: (k, k) pictures that have both classes; the diagonal has those of one.
        channels: Of the pixels; None if the pictures were not read.
    """

    name: str
    class_names: tuple[str, ...]
    pictures: pd.DataFrame
    objects: pd.DataFrame
    num_crowd: int
    num_empty_masks: int
    co_occurrence: Int64[np.ndarray, "k k"]
    channels: ChannelStatistics | None

    @property
    def classes(self) -> pd.DataFrame:
        """A row per class: objects, share of all objects, pictures, median side in pixels."""
        import pandas as pd

        grouped = self.objects.groupby("class", observed=False)["side"]
        counts = grouped.size().reindex(self.class_names, fill_value=0)
        return pd.DataFrame(
            {
                "class": self.class_names,
                "objects": counts.to_numpy(),
                "share": counts.to_numpy() / max(1, len(self.objects)),
                "pictures": np.diag(self.co_occurrence),
                "median_side": grouped.median().reindex(self.class_names).to_numpy(),
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, ready for JSON; None where there are no objects."""
        objects, pictures = self.objects, self.pictures
        areas = objects["area"].to_numpy()
        classes = self.classes
        return {
            "name": self.name,
            "pictures": len(pictures),
            "pictures_without_objects": int((pictures["objects"] == 0).sum()),
            "objects": len(objects),
            "crowds": self.num_crowd,
            "objects_without_pixels": self.num_empty_masks,
            "classes": len(self.class_names),
            "classes_with_objects": int((classes["objects"] > 0).sum()),
            "objects_per_picture": _summary(pictures["objects"]),
            "height": _summary(pictures["height"]),
            "width": _summary(pictures["width"]),
            "side": _summary(objects["side"]),
            "relative_area": _summary(objects["relative_area"]),
            "aspect": _summary(objects["aspect"]),
            "small": int((areas < _SMALL).sum()),
            "medium": int(((areas >= _SMALL) & (areas < _LARGE)).sum()),
            "large": int((areas >= _LARGE).sum()),
            "objects_by_class": dict(
                zip(classes["class"], classes["objects"].tolist(), strict=True)
            ),
            "pictures_by_class": dict(
                zip(classes["class"], classes["pictures"].tolist(), strict=True)
            ),
            "channels": None if self.channels is None else self.channels.as_dict(),
        }


def dataset_statistics(
    dataset: Dataset, *, name: str = "all", channels: ChannelStatistics | None = None
) -> DatasetStatistics:
    """Count what a dataset holds; no picture and no mask is read.

    Args:
        dataset: With or without its pictures.
        name: What to call it.
        channels: What `channel_statistics` found, to stand beside the rest.
    """
    names = np.array(dataset.file_names, np.str_)
    is_object = ~dataset.is_crowd & ~dataset.is_empty
    image, labels = dataset.object_image[is_object], dataset.labels[is_object]
    has_class = np.zeros((len(dataset), len(dataset.class_names)), np.int64)
    has_class[image, labels] = 1
    return DatasetStatistics(
        name=name,
        class_names=dataset.class_names,
        pictures=_picture_table(dataset, names, image, has_class),
        objects=_object_table(dataset, names, is_object),
        num_crowd=int((dataset.is_crowd & ~dataset.is_empty).sum()),
        num_empty_masks=int(dataset.is_empty.sum()),
        co_occurrence=has_class.T @ has_class,
        channels=channels,
    )


def joint_class_names(datasets: Sequence[Dataset]) -> tuple[str, ...]:
    """Return the classes of all datasets, each once, in the order of their first appearance."""
    return tuple(dict.fromkeys(name for dataset in datasets for name in dataset.class_names))


def _picture_table(
    dataset: Dataset, names: np.ndarray, image: np.ndarray, has_class: np.ndarray
) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "file_name": names,
            "height": dataset.sizes[:, 0],
            "width": dataset.sizes[:, 1],
            "objects": np.bincount(image, minlength=len(dataset)),
            "classes": has_class.sum(axis=1),
        }
    )


def _object_table(dataset: Dataset, names: np.ndarray, is_object: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    image = dataset.object_image[is_object]
    heights, widths = dataset.sizes[image].T
    areas = dataset.areas[is_object]
    left, top, right, bottom = dataset.boxes[is_object].astype(np.float64).T
    # A box without width (a line one pixel thin, by some tools) has no aspect.
    box_widths, box_heights = right - left, bottom - top
    is_flat = (box_widths <= 0) | (box_heights <= 0)
    aspect = np.where(is_flat, np.nan, box_widths / np.where(is_flat, 1.0, box_heights))
    return pd.DataFrame(
        {
            "file_name": names[image],
            "class": pd.Categorical(
                np.array(dataset.class_names, np.str_)[dataset.labels[is_object]],
                categories=list(dataset.class_names),
            ),
            "area": areas,
            "side": np.sqrt(areas),
            "relative_area": areas / (heights * widths),
            "width": box_widths,
            "height": box_heights,
            "aspect": aspect,
            "x": (left + right) / 2 / widths,
            "y": (top + bottom) / 2 / heights,
        }
    )


def _summary(column: pd.Series) -> Mapping[str, float | None]:
    """Return mean and quantiles; None for each without values."""
    values = column.dropna()
    if not len(values):
        return dict.fromkeys(("mean", *_QUANTILES))
    quantiles = values.quantile(list(_QUANTILES.values())).tolist()
    return {"mean": float(values.mean())} | dict(zip(_QUANTILES, quantiles, strict=True))
