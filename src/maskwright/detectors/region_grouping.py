"""Hierarchical grouping: small regions of a picture merged, most similar neighbours first.

Uijlings, van de Sande, Gevers and Smeulders, "Selective Search for Object Recognition",
IJCV 2013, sections 3.1 and 3.2. The first regions are those of Felzenszwalb and Huttenlocher,
"Efficient Graph-Based Image Segmentation", IJCV 2004, as scikit-image computes them.

Shapes: (h, w) size of the picture, c channels of a colour space, d histogram bins, r first
regions, e pairs of neighbours. Boxes are xyxy whole pixels, x2 and y2 exclusive.

Texture responses are binned up to the strongest one an edge can give, the same for every picture:
ten bins are then about ten grey levels wide. The paper does not say how it lays its bins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Float32, Int64, Shaped, UInt8

from maskwright.masks.kernels import kernel

__all__ = ["COLOUR_SPACES", "Similarities", "region_hierarchies"]

Similarities: TypeAlias = tuple[float, float, float, float]
"""Weights of colour, texture, size and fill in the similarity of two regions."""

_COLOUR_BINS = 25  # per channel: section 3.2
_TEXTURE_BINS = 10  # per orientation and channel: section 3.2
_ORIENTATIONS = 8  # directed, so four axes: section 3.2
_SMOOTHING = 0.8  # sigma in pixels before the segmentation: the authors' demo.m
_STRONGEST_EDGE = 255 / math.sqrt(2 * math.pi)  # of a Gaussian derivative, sigma 1, on a step


def region_hierarchies(
    image: UInt8[np.ndarray, "h w 3"],
    colour_space: str,
    scales: tuple[int, ...],
    similarities: tuple[Similarities, ...],
) -> Iterator[Int64[np.ndarray, "m 4"]]:
    """Yield the boxes of one hierarchy per scale and similarity, scale by scale.

    Each holds the r first regions, then the r - 1 merged ones in the order they were made: the
    last is the whole picture. A flat picture gives that box alone.

    Args:
        image: RGB, at least one pixel.
        colour_space: A key of `COLOUR_SPACES`; segmentation and similarities both see it.
        scales: Felzenszwalb's k, which is also the smallest first region in pixels.
        similarities: What each grouping of the same first regions goes by.

    >>> image = np.zeros((40, 60, 3), np.uint8)
    >>> image[:, 20:] = 200
    >>> next(region_hierarchies(image, "intensity", (100,), ((1, 1, 1, 1),))).tolist()
    [[0, 0, 20, 40], [20, 0, 60, 40], [0, 0, 60, 40]]
    """
    from skimage.segmentation import felzenszwalb

    planes = COLOUR_SPACES[colour_space](image)  # (h, w, c)
    num_colour = planes.shape[2] * _COLOUR_BINS
    bins = _histogram_bins(planes)
    for scale in scales:
        regions = felzenszwalb(planes, scale=scale, sigma=_SMOOTHING, min_size=scale)
        sizes, boxes, histograms = _measure(regions, bins, int(regions.max()) + 1)
        histograms[:, :num_colour] /= histograms[:, :num_colour].sum(axis=1, keepdims=True)
        histograms[:, num_colour:] /= histograms[:, num_colour:].sum(axis=1, keepdims=True)
        pairs = _neighbours(regions)
        for weights in similarities:
            yield _group(sizes, boxes, histograms, pairs, np.array(weights, np.float32), num_colour)


def _to_lab(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.uint8)


def _to_hsv(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL), np.uint8)


def _to_hue(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 1"]:
    return _to_hsv(image)[:, :, :1]


def _to_intensity(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 1"]:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)[:, :, None]


def _to_rgi(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the shares of red and green in a pixel, and its intensity."""
    total = np.maximum(image.sum(axis=2, keepdims=True, dtype=np.int32), 1)
    shares = (255 * image[:, :, :2].astype(np.int32) // total).astype(np.uint8)
    return np.concatenate([shares, _to_intensity(image)], axis=2)


COLOUR_SPACES: dict[str, Callable[[UInt8[np.ndarray, "h w 3"]], Shaped[np.ndarray, "h w c"]]] = {
    "hsv": _to_hsv,
    "hue": _to_hue,
    "intensity": _to_intensity,
    "lab": _to_lab,
    "rgi": _to_rgi,
}
"""Name -> conversion from RGB to planes of 0..255 (section 3.2)."""


def _histogram_bins(planes: UInt8[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "h w f"]:
    """Return the bins into which each pixel counts: one per channel, one per channel and way.

    The bins of all colour channels come first; every feature has bins of its own.
    """
    channels = planes.shape[2]
    colour = (planes.astype(np.uint16) * _COLOUR_BINS) >> 8
    texture = _texture_bins(*_gaussian_derivatives(planes))
    first_texture = channels * _COLOUR_BINS
    colour += np.arange(channels, dtype=np.uint16) * _COLOUR_BINS
    texture += np.arange(texture.shape[2], dtype=np.uint16) * _TEXTURE_BINS + first_texture
    return np.concatenate([colour, texture], axis=2)


def _gaussian_derivatives(
    planes: UInt8[np.ndarray, "h w c"],
) -> tuple[Float32[np.ndarray, "h w c"], Float32[np.ndarray, "h w c"]]:
    """Return the derivatives along x and y of a Gaussian of sigma 1 (section 3.2)."""
    taps = np.arange(-4, 5)
    bell = np.exp(-(taps**2) / 2)
    bell /= bell.sum()
    along_x = cv2.sepFilter2D(planes, cv2.CV_32F, taps * bell, bell)
    along_y = cv2.sepFilter2D(planes, cv2.CV_32F, bell, taps * bell)
    return along_x.reshape(planes.shape), along_y.reshape(planes.shape)


def _neighbours(regions: Int64[np.ndarray, "h w"]) -> Int64[np.ndarray, "e 2"]:
    """Return the pairs of regions that share the side of a pixel, lower label first, sorted."""
    num_regions = int(regions.max()) + 1
    keys = []
    for one, other in ((regions[:, :-1], regions[:, 1:]), (regions[:-1], regions[1:])):
        differ = one != other
        low, high = np.minimum(one, other)[differ], np.maximum(one, other)[differ]
        keys.append(low * num_regions + high)
    return np.stack(np.divmod(np.unique(np.concatenate(keys)), num_regions), axis=1)


@kernel
def _texture_bins(along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
    """Bin the strength of the derivatives along each orientation: (h, w, c * orientations)."""
    height, width, channels = along_x.shape
    axes = _ORIENTATIONS // 2  # a response is positive along one orientation, or its opposite
    to_bin = _TEXTURE_BINS / _STRONGEST_EDGE
    bins = np.zeros((height, width, channels * _ORIENTATIONS), np.uint16)
    for axis in range(axes):
        cosine = np.float32(math.cos(math.pi * axis / axes) * to_bin)
        sine = np.float32(math.sin(math.pi * axis / axes) * to_bin)
        for i in range(height):
            for j in range(width):
                for k in range(channels):
                    response = cosine * along_x[i, j, k] + sine * along_y[i, j, k]
                    orientation = axis if response > 0 else axis + axes
                    strength = min(int(abs(response)), _TEXTURE_BINS - 1)
                    bins[i, j, k * _ORIENTATIONS + orientation] = strength
    return bins


@kernel
def _measure(
    regions: np.ndarray, bins: np.ndarray, num_regions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (r,), boxes (r, 4) and histogram counts (r, d) of the first regions."""
    height, width, features = bins.shape
    sizes = np.zeros(num_regions, np.int64)
    boxes = np.zeros((num_regions, 4), np.int64)
    boxes[:, 0] = width
    boxes[:, 1] = height
    counts = np.zeros((num_regions, int(bins.max()) + 1), np.float32)
    for i in range(height):
        for j in range(width):
            region = regions[i, j]
            sizes[region] += 1
            boxes[region, 0] = min(boxes[region, 0], j)
            boxes[region, 1] = min(boxes[region, 1], i)
            boxes[region, 2] = max(boxes[region, 2], j + 1)
            boxes[region, 3] = max(boxes[region, 3], i + 1)
            for k in range(features):
                counts[region, bins[i, j, k]] += 1
    return sizes, boxes, counts


@kernel
def _group(
    first_sizes: np.ndarray,
    first_boxes: np.ndarray,
    first_histograms: np.ndarray,
    first_pairs: np.ndarray,
    weights: np.ndarray,
    num_colour: int,
) -> np.ndarray:
    """Merge the most similar neighbours until one region is left (paper, algorithm 1)."""
    num_first = len(first_sizes)
    num_all = 2 * num_first - 1
    sizes = np.zeros(num_all, np.int64)
    boxes = np.zeros((num_all, 4), np.int64)
    histograms = np.zeros((num_all, first_histograms.shape[1]), np.float32)
    sizes[:num_first] = first_sizes
    boxes[:num_first] = first_boxes
    histograms[:num_first] = first_histograms

    # A pair is looked at once per merge, first to find the best and then to rewire. For the
    # usual 100 to 1500 regions that takes a few milliseconds; a heap would save none of them.
    num_pixels = first_sizes.sum()
    num_pairs = len(first_pairs)
    pairs = first_pairs.copy()
    similarity = np.zeros(num_pairs, np.float32)
    for i in range(num_pairs):
        similarity[i] = _compare(
            pairs[i, 0], pairs[i, 1], sizes, boxes, histograms, weights, num_colour, num_pixels
        )
    bordering = np.full(num_all, -1, np.int64)  # the newest region each is already paired with
    for new in range(num_first, num_all):
        a, b = pairs[np.argmax(similarity[:num_pairs])]
        _merge(a, b, new, sizes, boxes, histograms)
        kept = 0
        for i in range(num_pairs):
            one, other = pairs[i]
            one_merged = one in (a, b)
            other_merged = other in (a, b)
            if one_merged and other_merged:
                continue
            pairs[kept] = pairs[i]
            similarity[kept] = similarity[i]
            if one_merged or other_merged:
                neighbour = other if one_merged else one
                if bordering[neighbour] == new:  # was a neighbour of both
                    continue
                bordering[neighbour] = new
                pairs[kept, 0] = neighbour
                pairs[kept, 1] = new
                similarity[kept] = _compare(
                    neighbour, new, sizes, boxes, histograms, weights, num_colour, num_pixels
                )
            kept += 1
        num_pairs = kept
    return boxes


@kernel
def _compare(
    a: int,
    b: int,
    sizes: np.ndarray,
    boxes: np.ndarray,
    histograms: np.ndarray,
    weights: np.ndarray,
    num_colour: int,
    num_pixels: int,
) -> float:
    """Return the weighted sum of the four similarities of a and b (paper, equations 1 to 6)."""
    colour = np.float32(0)
    if weights[0]:
        for k in range(num_colour):
            colour += min(histograms[a, k], histograms[b, k])
    texture = np.float32(0)
    if weights[1]:
        for k in range(num_colour, histograms.shape[1]):
            texture += min(histograms[a, k], histograms[b, k])
    joint = sizes[a] + sizes[b]
    width = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0])
    height = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1])
    size = 1 - joint / num_pixels
    fill = 1 - (width * height - joint) / num_pixels
    similarity: float = (
        weights[0] * colour + weights[1] * texture + weights[2] * size + weights[3] * fill
    )
    return similarity


@kernel
def _merge(
    a: int, b: int, new: int, sizes: np.ndarray, boxes: np.ndarray, histograms: np.ndarray
) -> None:
    """Write the union of regions a and b as region `new`."""
    sizes[new] = sizes[a] + sizes[b]
    boxes[new, :2] = np.minimum(boxes[a, :2], boxes[b, :2])
    boxes[new, 2:] = np.maximum(boxes[a, 2:], boxes[b, 2:])
    share = np.float32(sizes[a] / sizes[new])
    for k in range(histograms.shape[1]):
        histograms[new, k] = share * histograms[a, k] + (1 - share) * histograms[b, k]
