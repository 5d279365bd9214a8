"""Selective search: the class-agnostic boxes that R-CNN and Fast R-CNN classify.

Uijlings, van de Sande, Gevers and Smeulders, "Selective Search for Object Recognition",
IJCV 2013. A picture is cut into small regions, the most similar neighbours are merged until one
is left, and each region met on the way gives a box. Several colour spaces, scales and
similarities are run (section 3.2) and their boxes ranked together (section 3.3).

Deviations: the picture is first brought to a fixed size, as in R-CNN (Girshick et al.,
arXiv:1311.2524v5, section 4.2), because the scales of the segmentation are in pixels; the random
numbers of the ranking come from a seed, so equal pictures give equal boxes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from maskwright.detectors.region_grouping import Similarities, region_hierarchies
from maskwright.errors import ConfigError, DataError, ImageError, nearest_name
from maskwright.files import atomic_write
from maskwright.ops import pairwise_iou
from maskwright.structures import Size

__all__ = ["ProposalCache", "SearchMode", "proposal_recall", "selective_search"]

SearchMode = Literal["fast", "quality"]
"""fast: 8 groupings; quality: 80 groupings, about four times the boxes, five times the time."""


@dataclass(frozen=True, kw_only=True)
class _Diversity:
    """What is varied: each colour space with each scale and each set of similarities."""

    colour_spaces: tuple[str, ...]
    scales: tuple[int, ...]
    similarities: tuple[Similarities, ...]


# Colour, texture, size, fill. The modes are those of the paper, table 4.
_ALL, _NO_COLOUR, _SIZE, _FILL = (1, 1, 1, 1), (0, 1, 1, 1), (0, 0, 1, 0), (0, 0, 0, 1)
_MODES = {
    "fast": _Diversity(
        colour_spaces=("hsv", "lab"), scales=(50, 100), similarities=(_ALL, _NO_COLOUR)
    ),
    "quality": _Diversity(
        colour_spaces=("hsv", "lab", "rgi", "hue", "intensity"),
        scales=(50, 100, 150, 300),
        similarities=(_ALL, _NO_COLOUR, _FILL, _SIZE),
    ),
}
_LARGEST_ENLARGEMENT = 2.0  # beyond it there are only blurred edges to find
_CACHE_FORMAT = 1  # raise it whenever equal arguments give other boxes


def selective_search(
    image: UInt8[np.ndarray, "height width 3"],
    *,
    mode: SearchMode = "fast",
    max_proposals: int = 2000,
    seed: int = 0,
    longest_side: int = 400,
) -> Float32[np.ndarray, "n 4"]:
    """Return boxes likely to hold an object of some kind, the likelier first.

    The order is the paper's: a region's place in its hierarchy, counted from the whole picture,
    times a random number in [0, 1). Large boxes tend to come early; there is no score. The same
    arguments give the same boxes on every run.

    Args:
        image: RGB; a grey picture has three equal channels.
        mode: How many segmentations and groupings are run.
        max_proposals: At most so many boxes.
        seed: Of the random part of the order.
        longest_side: Pixels to which the longer side is brought for the search, enlarged at most
            twice. Time grows with its square; more pixels find more small objects.

    Returns:
        xyxy float32 pixels in the frame of `image`, none twice. At least one: a flat or tiny
        picture gives the box of the whole picture.

    Raises:
        ImageError: Not an RGB uint8 array with at least one pixel.
        ConfigError: An unknown mode, or a number below 1.

    >>> image = np.zeros((120, 160, 3), np.uint8)
    >>> image[40:80, 20:100] = 200
    >>> boxes = selective_search(image, longest_side=160)
    >>> [20.0, 40.0, 100.0, 80.0] in boxes.tolist()
    True
    """
    _check_image(image)
    _check_options(mode, max_proposals, longest_side)
    height, width = image.shape[:2]
    search_size = _search_size((height, width), longest_side)
    smaller = search_size[0] < height or search_size[1] < width
    resized = cv2.resize(
        image, search_size[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
    ranked = _ranked_boxes(np.asarray(resized, np.uint8), _MODES[mode], seed)
    # The highest place of a box counts: duplicates go after the ranking (section 3.3).
    _, first = np.unique(ranked, axis=0, return_index=True)
    boxes = ranked[np.sort(first)[:max_proposals]]
    frame = np.array([width, height, width, height])
    return np.asarray(boxes * frame / np.tile(search_size[::-1], 2), np.float32)


class ProposalCache:
    """A folder that remembers the boxes of every picture searched.

    One .npy file per picture and set of options, named after their hash: a picture that changes
    is searched anew, a copy under another name is not. Processes may share a folder: files
    appear whole, and two that search the same picture write the same boxes.

    Args:
        folder: Where the files are; made when the first is written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = ProposalCache(folder)
    ...     searched = cache.search(np.zeros((9, 9, 3), np.uint8))
    ...     read = cache.search(np.zeros((9, 9, 3), np.uint8))
    >>> searched.tolist() == read.tolist()
    True
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def search(
        self,
        image: UInt8[np.ndarray, "height width 3"],
        *,
        mode: SearchMode = "fast",
        max_proposals: int = 2000,
        seed: int = 0,
        longest_side: int = 400,
    ) -> Float32[np.ndarray, "n 4"]:
        """Return the boxes of `selective_search` for equal arguments, read where they are known.

        Raises:
            DataError: The picture's file in the folder is damaged.
            OSError: The folder cannot be written, or the disk is full.
        """
        _check_image(image)
        options = (_CACHE_FORMAT, mode, max_proposals, seed, longest_side)
        digest = hashlib.blake2b(repr((image.shape, *options)).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(image).data)
        path = self.folder / f"{digest.hexdigest()}.npy"
        if path.exists():
            return _read_boxes(path)
        boxes = selective_search(
            image, mode=mode, max_proposals=max_proposals, seed=seed, longest_side=longest_side
        )
        with atomic_write(path) as partial:
            np.save(partial, boxes)
        return boxes


def proposal_recall(
    proposals: Sequence[Float[np.ndarray, "_ 4"]],
    boxes: Sequence[Float[np.ndarray, "_ 4"]],
    iou: float = 0.5,
) -> float:
    """Return the share of true boxes that some proposal overlaps by at least `iou`.

    Objects are counted over all pictures together. What no proposal covers, no detector that
    classifies proposals can find: this bounds its recall.

    Args:
        proposals: Boxes found in each picture; cut them to the number that will be used.
        boxes: True boxes of the same pictures, in the same order and frame.
        iou: Smallest intersection over union, in (0, 1].

    Returns:
        In [0, 1]; NaN without true boxes.

    Raises:
        DataError: Not as many arrays of proposals as of boxes, or one that is not (n, 4).

    >>> true = np.array([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    >>> proposal_recall([np.array([[0.0, 0, 10, 8]])], [true])
    0.5
    """
    if len(proposals) != len(boxes):
        raise DataError(
            f"proposals of {len(proposals)} pictures and boxes of {len(boxes)}: "
            "give a list with one (n, 4) array per picture for both"
        )
    found = total = 0
    for candidates, true in zip(proposals, boxes, strict=True):
        overlaps = pairwise_iou(_checked_boxes(candidates), _checked_boxes(true))
        found += int((overlaps >= iou).any(dim=0).sum())
        total += len(true)
    return found / total if total else float("nan")


def _checked_boxes(boxes: Float[np.ndarray, "n 4"]) -> Float[torch.Tensor, "n 4"]:
    checked = torch.as_tensor(np.asarray(boxes), dtype=torch.float64)
    if checked.ndim != 2 or checked.shape[1] != 4:
        raise DataError(
            f"the boxes of a picture must be (n, 4) xyxy, got {tuple(checked.shape)}: "
            "give a list with one array per picture"
        )
    return checked


def _check_image(image: np.ndarray) -> None:
    shape, dtype = np.shape(image), getattr(image, "dtype", type(image).__name__)
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        hint = ": channels first?" if len(shape) == 3 and shape[0] == 3 else ""
        raise ImageError(
            f"selective search wants an RGB (height, width, 3) uint8 picture, got {shape} of "
            f"{dtype}{hint}"
        )


def _check_options(mode: str, max_proposals: int, longest_side: int) -> None:
    if mode not in _MODES:
        known = tuple(_MODES)
        raise ConfigError(
            f"mode must be one of {', '.join(known)}, got {mode!r}.{nearest_name(mode, known)}"
        )
    for name, value in (("max_proposals", max_proposals), ("longest_side", longest_side)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")


def _search_size(size: Size, longest_side: int) -> Size:
    factor = min(longest_side / max(size), _LARGEST_ENLARGEMENT)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _ranked_boxes(
    image: UInt8[np.ndarray, "height width 3"], diversity: _Diversity, seed: int
) -> np.ndarray:
    """Return the boxes of all hierarchies, best place first, duplicates included."""
    random = np.random.default_rng(seed)
    boxes, places = [], []
    for colour_space in diversity.colour_spaces:
        for hierarchy in region_hierarchies(
            image, colour_space, diversity.scales, diversity.similarities
        ):
            from_top = np.arange(len(hierarchy), 0, -1)  # the whole picture, made last, is 1
            boxes.append(hierarchy)
            places.append(random.random(len(hierarchy)) * from_top)
    order = np.argsort(np.concatenate(places), kind="stable")
    return np.asarray(np.concatenate(boxes)[order])


def _read_boxes(path: Path) -> Float32[np.ndarray, "n 4"]:
    try:
        boxes = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}): delete it to search again") from error
    if boxes.dtype != np.float32 or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(
            f"{path} holds {boxes.dtype} of shape {boxes.shape}, not (n, 4) float32 boxes: "
            "delete it to search again"
        )
    return np.asarray(boxes)
