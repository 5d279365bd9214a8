"""The order in which a loader takes pictures: one stream of all epochs, cut into batches.

Every epoch has the same number of places and an order that only (seed, epoch) decides, so the
batch of any step is found without the steps before it.

Shapes: m pictures, p places of an epoch, k classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import final

import numpy as np
from jaxtyping import Float64, Int64

from maskwright.data.dataset import Dataset
from maskwright.data.sample_reader import Place

__all__ = ["Stream", "repeat_factors", "repeated"]

SHUFFLE = 1
"""Last word of the seeds of orders, so that no two kinds of generator share one.

See `maskwright.data.sample_reader`. It is not 0, for NumPy takes missing words for zeros.
"""

# Pictures that change places to share a batch with others of their shape: enough of them for
# batches of one shape, few enough that a picture meets other companions in the next epoch.
_BATCHES_SORTED_TOGETHER = 64


@final
class Stream:
    """Yields the places of each batch from `start_step` on.

    Args:
        num_images: Pictures.
        batch_size: Places of a batch.
        seed: Decides the orders.
        shuffle: Whether each epoch has an order of its own.
        epochs: After which the stream ends; the last batch may be smaller. None for no end.
        start_step: Batches to leave out.
        factors: (m,) mean number of places of each picture in an epoch, 1 or more; None for 1.
        aspects: (m,) width over height: pictures of like shape come together. None for any.
        is_mixing: Whether other pictures may be mixed into those of a step, asked when the batch
            is; None for never.
    """

    def __init__(
        self,
        num_images: int,
        batch_size: int,
        seed: int,
        shuffle: bool,
        epochs: int | None,
        start_step: int,
        *,
        factors: Float64[np.ndarray, " m"] | None = None,
        aspects: Float64[np.ndarray, " m"] | None = None,
        is_mixing: Callable[[int], bool] | None = None,
    ) -> None:
        self.batch_size = batch_size
        self.start_step = start_step
        self._factors = factors
        self._aspects = None if aspects is None or np.ptp(aspects) == 0 else aspects
        self._num_images = num_images
        self.places_per_epoch = num_images if factors is None else round(float(factors.sum()))
        self._end = None if epochs is None else epochs * self.places_per_epoch
        self.num_batches = None if self._end is None else math.ceil(self._end / batch_size)
        self._seed = seed
        self._shuffle = shuffle
        self._is_mixing = is_mixing

    def __iter__(self) -> Iterator[list[Place]]:
        start = self.start_step * self.batch_size
        known, images, copies = -1, np.empty(0, np.int64), np.empty(0, np.int64)
        while self._end is None or start < self._end:
            stop = start + self.batch_size
            batch = []
            mixes = self._is_mixing is not None and self._is_mixing(start // self.batch_size)
            for position in range(start, stop if self._end is None else min(stop, self._end)):
                epoch, place = divmod(position, self.places_per_epoch)
                if epoch != known:
                    known, (images, copies) = epoch, self._order(epoch)
                batch.append(Place(epoch, int(images[place]), mixes, int(copies[place])))
            yield batch
            start = stop

    def _order(self, epoch: int) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
        """Return the picture and the number of the copy at each place of an epoch."""
        images, copies = np.arange(self._num_images), np.zeros(self._num_images, np.int64)
        if not self._shuffle:
            return images, copies
        rng = np.random.default_rng((self._seed, epoch, SHUFFLE))
        if self._factors is not None:
            images, copies = repeated(self._factors, self.places_per_epoch, rng)
        order = rng.permutation(len(images))
        if self._aspects is not None:
            # The first places fill up the last batch of the epoch before.
            head = -epoch * self.places_per_epoch % self.batch_size
            shapes = np.log(self._aspects[images[order]])
            order = order[_by_shape(shapes, head, self.batch_size, rng)]
        return images[order], copies[order]


def repeat_factors(dataset: Dataset, threshold: float) -> Float64[np.ndarray, " m"]:
    """Return how often each picture should come in an epoch, 1 or more.

    Gupta et al. 2019, "LVIS", section 3 and appendix: a class on the fraction f of the pictures
    asks for max(1, sqrt(threshold / f)), and a picture gets what the rarest of its classes asks
    for. Crowds and objects without pixels do not count.

    Args:
        dataset: Pictures with their objects.
        threshold: Classes on a smaller fraction of the pictures are repeated; LVIS uses 0.001.
    """
    counted = ~(dataset.is_crowd | dataset.is_empty)
    images, labels = dataset.object_image[counted], dataset.labels[counted]
    pairs = np.unique(np.stack([images, labels], axis=1), axis=0)
    num_with = np.bincount(pairs[:, 1], minlength=len(dataset.class_names))
    wanted = np.sqrt(threshold * len(dataset) / np.maximum(num_with, 1))
    factors = np.ones(len(dataset))
    np.maximum.at(factors, pairs[:, 0], wanted[pairs[:, 1]])
    return factors


def repeated(
    factors: Float64[np.ndarray, " m"], num_places: int, rng: np.random.Generator
) -> tuple[Int64[np.ndarray, " p"], Int64[np.ndarray, " p"]]:
    """Draw how often each picture comes; returns the picture and the copy of each place.

    Systematic sampling: a picture comes floor or ceil of its factor times, its factor in the
    mean, and the places are always `num_places`, the rounded sum of the factors. Pictures keep
    their order.
    """
    scaled = np.cumsum(factors * (num_places / factors.sum()))
    scaled[-1] = num_places
    ends = np.floor(scaled + rng.random()).astype(np.int64)
    counts = ends - np.concatenate([[0], ends[:-1]])
    starts = np.cumsum(counts) - counts
    images = np.repeat(np.arange(len(factors)), counts)
    return images, np.arange(num_places) - starts[images]


def _by_shape(
    shapes: Float64[np.ndarray, " p"], head: int, batch_size: int, rng: np.random.Generator
) -> Int64[np.ndarray, " p"]:
    """Return an order in which the places of a batch have like shapes, and batches any order."""
    parts = [np.arange(min(head, len(shapes)))]
    pool = batch_size * _BATCHES_SORTED_TOGETHER
    for start in range(head, len(shapes), pool):
        positions = np.arange(start, min(start + pool, len(shapes)))
        positions = positions[np.argsort(shapes[positions], kind="stable")]
        num_full = len(positions) // batch_size
        # The rest, which the next epoch fills up, is taken from anywhere among the shapes.
        cut = batch_size * int(rng.integers(num_full + 1))
        rest = slice(cut, cut + len(positions) % batch_size)
        batches = np.delete(positions, rest).reshape(num_full, batch_size)
        parts += [rng.permutation(batches).ravel(), positions[rest]]
    return np.concatenate(parts)
