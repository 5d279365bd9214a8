"""What LVIS says beside COCO: how frequent classes are, and which were looked for where.

In a federated dataset nobody looks for every class in every picture (Gupta et al. 2019, "LVIS",
section 3): a picture has classes that are verified not to be there ("negative") and classes of
which not every object is annotated ("not exhaustive").

Shapes: m pictures, k classes. Lists per picture are ragged, as in `index.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

__all__ = ["Federation"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Federation:
    """LVIS's fields of classes and pictures.

    Args:
        frequencies: (k,) "r", "c" or "f" by label, "" where it is not stated.
        negative_offsets: (m + 1,) negative classes of each picture.
        negative_labels: Their labels.
        partial_offsets: (m + 1,) classes of each picture that are not exhaustively annotated.
        partial_labels: Their labels.
    """

    frequencies: tuple[str, ...]
    negative_offsets: Int64[np.ndarray, " m+1"]
    negative_labels: Int64[np.ndarray, " a"]
    partial_offsets: Int64[np.ndarray, " m+1"]
    partial_labels: Int64[np.ndarray, " b"]

    @classmethod
    def of(
        cls,
        frequencies: Sequence[str],
        negative: Iterable[Sequence[int]],
        partial: Iterable[Sequence[int]],
    ) -> Federation:
        """Return it from lists of labels, one per picture."""
        negative_labels, negative_offsets = _ragged(negative)
        partial_labels, partial_offsets = _ragged(partial)
        return cls(
            frequencies=tuple(frequencies),
            negative_offsets=negative_offsets,
            negative_labels=negative_labels,
            partial_offsets=partial_offsets,
            partial_labels=partial_labels,
        )

    def relabelled(self, labels: Mapping[str, int], class_names: Sequence[str]) -> Federation:
        """Return it for classes of other labels; what it says of classes that go is left out.

        Args:
            labels: New label of every new class, by name.
            class_names: The old names by old label.
        """
        new = [labels.get(name) for name in class_names]
        frequencies = [""] * len(labels)
        for label, frequency in zip(new, self.frequencies, strict=True):
            if label is not None:
                frequencies[label] = frequency

        def moved(old_labels: list[int]) -> list[int]:
            return [label for old in old_labels if (label := new[old]) is not None]

        pictures = range(len(self.negative_offsets) - 1)
        return Federation.of(
            frequencies,
            [moved(self.negative(i)) for i in pictures],
            [moved(self.partial(i)) for i in pictures],
        )

    def negative(self, image: int) -> list[int]:
        """Labels that the picture at this position is verified not to show."""
        start, stop = self.negative_offsets[image : image + 2]
        labels: list[int] = self.negative_labels[start:stop].tolist()
        return labels

    def partial(self, image: int) -> list[int]:
        """Labels of which it may show more than is annotated."""
        start, stop = self.partial_offsets[image : image + 2]
        labels: list[int] = self.partial_labels[start:stop].tolist()
        return labels


def _ragged(lists: Iterable[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    rows = [np.asarray(one, np.int64) for one in lists]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return np.concatenate([np.zeros(0, np.int64), *rows]), offsets
