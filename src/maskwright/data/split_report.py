"""How a split came out: pictures and objects of each class in each part, and how far from wanted.

Shapes: p parts, k classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.data.dataset import Dataset

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["SplitReport", "report_split"]

_MAX_NAMED = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitReport:
    """The account of one split; prints as a table with rich, as lines with `str`.

    Args:
        part_names: (p,) such as "train", "val", "test".
        shares: (p,) of the pictures and of each class that were wanted.
        class_names: (k,) names by label.
        num_images: (p,) pictures.
        num_empty: (p,) pictures without objects.
        objects: (p, k) objects, crowds included.
        num_groups: Groups of pictures that were kept together; None if there were none.
        largest_group: Pictures of the largest.
        seed: What the split was made with.
    """

    part_names: tuple[str, ...]
    shares: tuple[float, ...]
    class_names: tuple[str, ...]
    num_images: Int64[np.ndarray, " p"]
    num_empty: Int64[np.ndarray, " p"]
    objects: Int64[np.ndarray, "p k"]
    num_groups: int | None
    largest_group: int
    seed: int

    @property
    def share_off(self) -> Float64[np.ndarray, "p k+3"]:
        """What each part has more than wanted, as a fraction of all there are.

        Columns: pictures, pictures without objects, objects, then objects of each class. Zero
        where there are none.
        """
        counts = self._rows()
        totals = np.maximum(counts.sum(axis=0), 1)
        wanted = np.array(self.shares)[:, None] * (counts.sum(axis=0) > 0)
        off: np.ndarray = counts / totals - wanted
        return off

    @property
    def missing(self) -> dict[str, tuple[str, ...]]:
        """The classes without an object in a part, by part, of those that have objects at all."""
        found = {}
        for name, objects in zip(self.part_names, self.objects, strict=True):
            absent = (objects == 0) & (self.objects.sum(axis=0) > 0)
            found[name] = tuple(self.class_names[k] for k in np.flatnonzero(absent).tolist())
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        off = self.share_off
        parts = {}
        for i, name in enumerate(self.part_names):
            parts[name] = {
                "share": self.shares[i],
                "images": int(self.num_images[i]),
                "images_without_objects": int(self.num_empty[i]),
                "objects": int(self.objects[i].sum()),
                "objects_by_class": dict(
                    zip(self.class_names, self.objects[i].tolist(), strict=True)
                ),
                "off": {
                    "images": float(off[i, 0]),
                    "objects": float(off[i, 2]),
                    "objects_by_class": dict(
                        zip(self.class_names, off[i, 3:].tolist(), strict=True)
                    ),
                },
                "classes_without_objects": list(self.missing[name]),
            }
        return {
            "seed": self.seed,
            "groups": self.num_groups,
            "largest_group": self.largest_group,
            "parts": parts,
        }

    def __str__(self) -> str:
        parts = ", ".join(
            f"{name} {images} pictures with {objects} objects"
            for name, images, objects in zip(
                self.part_names, self.num_images, self.objects.sum(axis=1), strict=True
            )
        )
        return "\n".join([parts, *self._remarks()])

    def __rich__(self) -> Table:
        """Return counts by part; the last column is the largest difference from what is wanted."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(caption="\n".join(map(escape, self._remarks())), caption_justify="left")
        table.add_column("")
        for name, share in zip(self.part_names, self.shares, strict=True):
            table.add_column(f"{name}\n{100 * share:.3g} %", justify="right")
        table.add_column("furthest from\nwanted", justify="right")
        rows, off = self._rows(), self.share_off
        titles = ["pictures", "without objects", "objects", *self.class_names]
        for k, title in enumerate(titles):
            if k >= 3 and not rows[:, k].any():
                continue
            worst = int(np.abs(off[:, k]).argmax())
            furthest = f"{100 * off[worst, k]:+.1f} % {self.part_names[worst]}"
            table.add_row(
                escape(title), *map(str, rows[:, k].tolist()), furthest, end_section=k == 2
            )
        return table

    def _rows(self) -> Int64[np.ndarray, "p k+3"]:
        return np.column_stack(
            [self.num_images, self.num_empty, self.objects.sum(axis=1), self.objects]
        )

    def _remarks(self) -> list[str]:
        remarks = []
        if self.num_groups is not None:
            remarks.append(
                f"{self.num_groups} groups kept together, the largest of {self.largest_group} "
                "pictures"
            )
        for name, classes in self.missing.items():
            if classes:
                named = ", ".join(classes[:_MAX_NAMED])
                more = f" and {len(classes) - _MAX_NAMED} more" * (len(classes) > _MAX_NAMED)
                remarks.append(f"{name} has no object of {named}{more}")
        return remarks


def report_split(
    parts: Sequence[tuple[str, float, Dataset]],
    *,
    seed: int,
    groups: Int64[np.ndarray, " m"] | None = None,
) -> SplitReport:
    """Count what is in each part.

    Args:
        parts: One or more: name, wanted share and pictures of each.
        seed: What the split was made with.
        groups: Numbers of the groups of all pictures, if any were kept together.
    """
    datasets = [dataset for _, _, dataset in parts]
    class_names = datasets[0].class_names
    sizes = np.array([0]) if groups is None or not len(groups) else np.unique_counts(groups).counts
    return SplitReport(
        part_names=tuple(name for name, _, _ in parts),
        shares=tuple(float(share) for _, share, _ in parts),
        class_names=class_names,
        num_images=np.array([len(dataset) for dataset in datasets]),
        num_empty=np.array([len(d) - len(np.unique(d.object_image)) for d in datasets]),
        objects=np.array([np.bincount(d.labels, minlength=len(class_names)) for d in datasets]),
        num_groups=None if groups is None else len(sizes) if len(groups) else 0,
        largest_group=int(sizes.max()),
        seed=seed,
    )
