"""The detections of many tiles in one place, in the frame of the picture.

Runs of all masks lie in one array that grows where it stands: a list of an array per tile would be
copied as a whole in the end, and a large picture has hundreds of megabytes of unsure detections.

Shapes: n detections, r runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64

from maskwright.inference.tiling import Box
from maskwright.masks import Masks
from maskwright.masks.runs import offsets_of, run_boxes
from maskwright.structures import Instances, Size

__all__ = ["Collection", "Detections"]


@dataclass(frozen=True, kw_only=True)
class Detections:
    """The detections of all tiles, tile by tile, sorted by x1 within a tile.

    Args:
        tile: Which tile saw each.
        boxes: As detected, xyxy.
        labels: Classes.
        scores: From 0 to 1.
        covered: Box around each mask, xyxy; around the detected box where there is no pixel.
        runs: Of the masks, or of the boxes where there are no masks.
        offsets: Detection i has runs[offsets[i]:offsets[i + 1]].
    """

    tile: Int64[np.ndarray, " n"]
    boxes: Float32[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]
    scores: Float32[np.ndarray, " n"]
    covered: Int32[np.ndarray, "n 4"]
    runs: Int32[np.ndarray, "r 3"]
    offsets: Int64[np.ndarray, " n+1"]

    def __len__(self) -> int:
        return len(self.scores)


class Collection:
    """Detections as they come, tile after tile.

    Args:
        image_size: (height, width) of the whole picture.
    """

    def __init__(self, image_size: Size) -> None:
        self._image_size = image_size
        self._runs = np.empty((0, 3), np.int32)
        self._num_runs = 0
        self._columns: list[tuple[np.ndarray, ...]] = []

    def add(self, found: Instances, window: Box) -> None:
        """Take the detections of the next tile, whose window in the picture is `window`."""
        x, y = window[:2]
        assert found.scores is not None
        boxes = found.boxes.numpy() + np.array([x, y, x, y], np.float32)
        masks = found.masks
        if masks is None:
            masks = Masks.from_boxes(found.boxes.numpy(), found.image_size)
        tight = run_boxes(masks.runs, masks.offsets) + np.array([x, y, x, y], np.int32)
        has_pixels = np.diff(masks.offsets) > 0
        covered = np.where(has_pixels[:, None], tight, _around(boxes, self._image_size))
        order = np.argsort(covered[:, 0], kind="stable")
        self._append(masks[order].runs, (x, y))
        self._columns.append(
            (
                boxes[order],
                found.labels.numpy()[order],
                found.scores.numpy()[order],
                covered[order].astype(np.int32),
                np.diff(masks.offsets)[order],
            )
        )

    def detections(self) -> Detections:
        """Return all of them; the runs are shared, not copied."""
        counts = [len(columns[0]) for columns in self._columns]
        boxes, labels, scores, covered, lengths = (
            np.concatenate(column) for column in zip(*self._columns, strict=True)
        )
        return Detections(
            tile=np.repeat(np.arange(len(counts)), counts),
            boxes=boxes,
            labels=labels,
            scores=scores,
            covered=covered,
            runs=self._runs[: self._num_runs],
            offsets=offsets_of(lengths),
        )

    def _append(self, runs: Int32[np.ndarray, "r 3"], corner: Sequence[int]) -> None:
        x, y = corner
        end = self._num_runs + len(runs)
        if end > len(self._runs):
            # Large arrays grow in place, page by page; a quarter at a time keeps the rest small.
            self._runs.resize((max(end, len(self._runs) * 5 // 4), 3), refcheck=False)
        np.add(runs, np.array([x, y, y], np.int32), out=self._runs[self._num_runs : end])
        self._num_runs = end


def _around(boxes: Float32[np.ndarray, "n 4"], image_size: Size) -> np.ndarray:
    """Integer boxes around detected ones, cut to the picture."""
    height, width = image_size
    outward = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1)
    cut: np.ndarray = np.clip(outward, 0, [width, height, width, height])
    return cut
