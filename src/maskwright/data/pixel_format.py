"""What pixels a model takes: channels, type of values, and the statistics that scale them.

Networks that know nothing of it take RGB of 8 bits, as `read_image` makes it of (nearly) every
picture. With a `PixelFormat` pictures are read as they are stored and scaled by the mean and the
standard deviation of each channel over the training pictures; it is part of a model's config, so
that a model file brings it along.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar, get_args

import numpy as np
from jaxtyping import Shaped

from maskwright.data.images import read_image
from maskwright.data.stored_pictures import (
    StoredPicture,
    Values,
    as_stored_values,
    look_at_picture,
    read_stored,
)
from maskwright.errors import ConfigError, DataError, ImageError, nearest_name
from maskwright.ops import Positive, PositiveCount
from maskwright.structures import Size

__all__ = [
    "PictureRule",
    "PixelFormat",
    "as_pixels",
    "check_pixels",
    "measure_pixel_format",
    "read_picture",
]

PictureRule = Literal["auto", "rgb", "stored"]
"""auto: RGB of 8 bits where that loses nothing but alpha, else as stored without alpha;
rgb: RGB of 8 bits by the rule of `read_image`; stored: as stored, alpha too."""

_Item = TypeVar("_Item")

_MOST_LOOKED_AT = 2000
"""Headers that are read to find the format; one that differs later is an error when it is read."""

_MOST_MEASURED = 500
"""Pictures whose values are looked at; more, evenly spaced, would change the third digit."""


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """Channels, type and statistics of the pictures that a model takes.

    Args:
        channels: Values per pixel.
        values: Their type, as stored.
        mean: Of each channel over the training pictures, in stored units.
        std: Standard deviation of each channel, likewise.

    Raises:
        ConfigError: Statistics for another number of channels.
    """

    channels: PositiveCount
    values: Values
    mean: tuple[float, ...]
    std: tuple[Positive, ...]

    def __post_init__(self) -> None:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ConfigError(
                f"pixels: {self.channels} channels with {len(self.mean)} means and "
                f"{len(self.std)} standard deviations: give one of each per channel"
            )

    @classmethod
    def unscaled(cls, stored: StoredPicture) -> Self:
        """Return the format of a stored picture, alpha included, with nothing to scale it by."""
        return cls(
            channels=stored.channels,
            values=stored.values,
            mean=(0.0,) * stored.channels,
            std=(1.0,) * stored.channels,
        )

    def describe(self) -> str:
        """Return the format and its statistics in words, for people."""
        plural = "s" * (self.channels != 1)
        means = ", ".join(f"{value:.4g}" for value in self.mean)
        stds = ", ".join(f"{value:.4g}" for value in self.std)
        return (
            f"pictures of {self.channels} channel{plural} of {self.values}, "
            f"scaled by mean {means} and standard deviation {stds}"
        )


def read_picture(
    path: str | Path, pixels: PixelFormat | None, *, expected_size: Size | None = None
) -> Shaped[np.ndarray, "h w c"]:
    """Read a picture as a model takes it.

    Args:
        path: The picture file, or a page of one ("x.tif[2]").
        pixels: What the model takes; None is RGB of 8 bits.
        expected_size: As for `read_image`.

    Raises:
        ImageError: As `read_image` or `read_stored`; or the picture is of another format.
    """
    if pixels is None:
        return read_image(path, expected_size=expected_size)
    stored = look_at_picture(path)
    image = read_stored(path, expected_size=expected_size)
    if stored.has_alpha and stored.pages == 1 and stored.channels == pixels.channels + 1:
        image = np.ascontiguousarray(image[:, :, :-1])
    check_pixels(image, pixels, str(path))
    return image


def check_pixels(image: np.ndarray, pixels: PixelFormat | None, where: str) -> None:
    """Check shape and type of a picture against what a model takes.

    Raises:
        ImageError: They differ, or the picture has no pixels.
    """
    channels, values = (3, "uint8") if pixels is None else (pixels.channels, pixels.values)
    is_shaped = image.ndim == 3 and image.shape[2] == channels and image.size > 0
    if is_shaped and image.dtype == values:
        return
    if pixels is None:
        raise ImageError(
            f"{where} must be (h, w, 3) uint8 RGB, got {image.shape} {image.dtype}: "
            "read it with maskwright.data.read_image"
        )
    plural = "s" * (channels != 1)
    raise ImageError(
        f"{where} is {image.shape} {image.dtype}; the model was trained on pictures of {channels} "
        f"channel{plural} of {values}, (h, w, {channels}): give it such pictures, or train it on "
        "these"
    )


def measure_pixel_format(
    paths: Sequence[Path],
    rule: PictureRule = "auto",
    *,
    sizes: Sequence[Size] | None = None,
    others: Sequence[Path] = (),
) -> PixelFormat | None:
    """Choose the format for training pictures and compute its statistics.

    Mean and standard deviation are over all pixels of up to 500 pictures, evenly spaced. A channel
    that never changes gets a standard deviation of 1.

    Args:
        paths: The training pictures.
        rule: See `PictureRule`.
        sizes: Expected (height, width) of each, as for `read_image`.
        others: Pictures that must be of the same format; their values do not count.

    Returns:
        None for RGB of 8 bits.

    Raises:
        ImageError: A picture cannot be read.
        DataError: Pictures of different formats.
        ConfigError: An unknown rule.
    """
    if rule not in get_args(PictureRule):
        raise ConfigError(
            f"unknown rule for pictures {rule!r}.{nearest_name(rule, get_args(PictureRule))} "
            f"There are: {', '.join(get_args(PictureRule))}"
        )
    if rule == "rgb" or not len(paths):
        return None
    everything = _evenly([*paths, *others], _MOST_LOOKED_AT)
    looked_at = [look_at_picture(path) for path in everything]
    if rule == "auto" and all(stored.is_8_bit_colour for stored in looked_at):
        return None
    channels, values = _common_format(everything, looked_at, keeps_alpha=rule == "stored")
    blank = PixelFormat(
        channels=channels, values=values, mean=(0.0,) * channels, std=(1.0,) * channels
    )
    sums = np.zeros((3, channels))
    for i in _evenly(range(len(paths)), _MOST_MEASURED):
        image = read_picture(paths[i], blank, expected_size=None if sizes is None else sizes[i])
        flat = image.reshape(-1, channels)
        for channel, column in enumerate(flat.T.astype(np.float64)):
            sums[:, channel] += _moments(column)
    return _with_statistics(blank, sums)


def _evenly(items: Sequence[_Item], most: int) -> list[_Item]:
    """Return at most so many of the items, evenly spaced, in their order."""
    places = np.unique(np.linspace(0, len(items) - 1, most).astype(int)).tolist()
    return [items[place] for place in places]


def _moments(column: np.ndarray) -> tuple[float, float, float]:
    """Count, mean weighted by it, and sum of squares: of one picture's channel."""
    return float(len(column)), float(column.sum()), float(np.square(column).sum())


def _with_statistics(blank: PixelFormat, sums: np.ndarray) -> PixelFormat:
    count, total, squares = sums
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    # below what doubles can tell from rounding, a channel is constant
    std[std <= 1e-6 * np.abs(mean)] = 1.0
    std[std == 0] = 1.0
    return PixelFormat(
        channels=blank.channels,
        values=blank.values,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
    )


def _common_format(
    paths: Sequence[Path], looked_at: Sequence[StoredPicture], *, keeps_alpha: bool
) -> tuple[int, Values]:
    formats: list[tuple[int, Values]] = []
    for stored in looked_at:
        is_cut = stored.has_alpha and stored.pages == 1 and not keeps_alpha
        formats.append((stored.channels - is_cut, stored.values))
    counts = Counter(formats)
    if len(counts) == 1:
        return formats[0]
    kinds = "; ".join(
        f"{count} of {channels} x {values} ({paths[formats.index((channels, values))].name}, ...)"
        for (channels, values), count in counts.most_common()
    )
    raise DataError(
        f"pictures of different formats cannot be trained on together: {kinds}. Convert them to "
        "one, or say pictures='rgb' (--pictures rgb), which brings all to RGB of 8 bits"
    )


def as_pixels(image: np.ndarray, pixels: PixelFormat, where: str) -> np.ndarray:
    """Return an array handed over in memory as the model takes it.

    (h, w) is one channel; types are those of `as_stored_values`.

    Raises:
        ImageError: It is of another format.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    values = as_stored_values(image, where)
    check_pixels(values, pixels, where)
    return np.require(values, requirements=["C", "W"])
