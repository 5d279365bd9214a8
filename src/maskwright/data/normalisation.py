"""Mean and standard deviation per channel over all pixels of pictures, one picture at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, Shaped

from maskwright.errors import DataError

if TYPE_CHECKING:
    from maskwright.data.dataset import Dataset

__all__ = ["ChannelStatistics", "ChannelSums", "channel_statistics"]

_ROWS_AT_ONCE = 1 << 20  # pixels made float64 at once: 24 MB with three channels


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelStatistics:
    """What the pixels of a dataset are like, in the pictures' own units (0 to 255 for 8 bits).

    Args:
        mean: (c,) per channel.
        std: (c,) population standard deviation per channel, over pixels and not over pictures.
        low: (c,) least value.
        high: (c,) greatest value.
        num_pixels: Pixels that were counted, per channel; NaN and infinite ones are not.
        dtypes: Types of the pictures, sorted.
    """

    mean: Float64[np.ndarray, " c"]
    std: Float64[np.ndarray, " c"]
    low: Float64[np.ndarray, " c"]
    high: Float64[np.ndarray, " c"]
    num_pixels: int
    dtypes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return them as plain values, ready for JSON."""
        return {
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "min": self.low.tolist(),
            "max": self.high.tolist(),
            "pixels": self.num_pixels,
            "dtypes": list(self.dtypes),
        }


class ChannelSums:
    """Collects pictures of any size and type, in float64 and without keeping them.

    Means and sums of squares about them are merged by Chan, Golub and LeVeque 1979, "Updating
    Formulae and a Pairwise Algorithm for Computing Sample Variances": unlike sums of squares
    about zero they lose no digits where the mean is large.

    >>> sums = ChannelSums()
    >>> sums.add(np.full((2, 2, 3), 10, np.uint8))
    >>> sums.add(np.full((2, 2, 3), 20, np.uint8))
    >>> sums.result().mean.tolist(), sums.result().std.tolist()
    ([15.0, 15.0, 15.0], [5.0, 5.0, 5.0])
    """

    def __init__(self) -> None:
        self._count = np.zeros(0)
        self._mean = np.zeros(0)
        self._squares = np.zeros(0)
        self._low = np.zeros(0)
        self._high = np.zeros(0)
        self._dtypes: set[str] = set()

    def add(self, image: Shaped[np.ndarray, "h w *c"], *, name: str = "a picture") -> None:
        """Count the pixels of a picture.

        Args:
            image: (h, w) or (h, w, c) numbers; pixels that are not finite are left out.
            name: What to call it in a message.

        Raises:
            DataError: It has another number of channels than those before.
        """
        pixels = image.reshape(-1, 1 if image.ndim == 2 else image.shape[2])
        if not self._dtypes:
            self._begin(pixels.shape[1])
        if pixels.shape[1] != len(self._mean):
            raise DataError(
                f"{name} has {pixels.shape[1]} channels, the pictures before have "
                f"{len(self._mean)}: one normalisation cannot serve both"
            )
        self._dtypes.add(str(image.dtype))
        for start in range(0, len(pixels), _ROWS_AT_ONCE):
            self._add_pixels(pixels[start : start + _ROWS_AT_ONCE].astype(np.float64))

    def result(self) -> ChannelStatistics:
        """Return the statistics of the pictures so far; NaN without any pixel."""
        with np.errstate(invalid="ignore", divide="ignore"):
            is_seen = np.where(self._count > 0, 1.0, np.nan)
            return ChannelStatistics(
                mean=self._mean * is_seen,
                std=np.sqrt(self._squares / self._count),
                low=self._low * is_seen,
                high=self._high * is_seen,
                num_pixels=int(self._count.max(initial=0)),
                dtypes=tuple(sorted(self._dtypes)),
            )

    def _begin(self, channels: int) -> None:
        self._count, self._mean, self._squares = np.zeros((3, channels))
        self._low, self._high = np.full(channels, np.inf), np.full(channels, -np.inf)

    def _add_pixels(self, pixels: Float64[np.ndarray, "n c"]) -> None:
        is_finite = np.isfinite(pixels)
        if is_finite.all():
            count = np.full(pixels.shape[1], float(len(pixels)))
        else:
            count = is_finite.sum(axis=0).astype(np.float64)
        mean = pixels.sum(axis=0, where=is_finite) / np.maximum(count, 1)
        squares = ((pixels - mean) ** 2).sum(axis=0, where=is_finite)
        self._low = np.minimum(self._low, pixels.min(axis=0, where=is_finite, initial=np.inf))
        self._high = np.maximum(self._high, pixels.max(axis=0, where=is_finite, initial=-np.inf))
        total = np.maximum(self._count + count, 1)
        delta = mean - self._mean
        self._squares += squares + delta**2 * self._count * count / total
        self._mean += delta * count / total
        self._count += count


def channel_statistics(
    dataset: Dataset, *, progress: Callable[[int, int], None] | None = None
) -> ChannelStatistics:
    """Return mean and deviation of all pixels of a dataset, every pixel weighing the same.

    Args:
        dataset: With its pictures.
        progress: Called after each picture with the pictures done and all.

    Raises:
        ImageError: A picture cannot be read.
        DataError: Pictures differ in their number of channels.
    """
    sums = ChannelSums()
    for i, name in enumerate(dataset.file_names):
        sums.add(dataset.image(i), name=name)
        if progress is not None:
            progress(i + 1, len(dataset))
    return sums.result()
