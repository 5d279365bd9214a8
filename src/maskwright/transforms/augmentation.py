"""What training pictures go through: ranges, one draw from them, one resampling."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from maskwright.errors import ConfigError
from maskwright.structures import Sample, Size
from maskwright.transforms.geometry import (
    FILL,
    flip_horizontal,
    flip_vertical,
    rotate,
    scale,
    translate,
    warp_image,
    warp_instances,
)
from maskwright.transforms.photometric import shift_colours
from maskwright.transforms.resize import resized_size

__all__ = ["Augmentation", "resize_sample"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Ranges of random changes; the defaults only mirror left and right.

    All geometric changes and the resize are one affine map, so a picture is resampled once.

    Args:
        horizontal_flip: Probability of swapping left and right.
        vertical_flip: Probability of swapping top and bottom.
        rotation: Largest turn either way, degrees, about the centre; corners are cut.
        scale: Range of a factor on top of the resize, drawn uniformly in its logarithm.
            (0.1, 2.0) is the large-scale jitter of Ghiasi et al. 2021 (section 3).
        translation: Largest shift either way, as a fraction of the frame's sides.
        crop: Largest (height, width) of the result, cut at a random place; None means the size
            of the plain resize, so that a scale above 1 needs no more memory.
        brightness: Largest relative change either way, 0 to 1.
        contrast: Likewise.
        saturation: Likewise.
        hue: Largest change either way, in turns, 0 to 0.5.
        fill: What comes in from outside the picture, a value per channel; its mean as a rule.

    Raises:
        ConfigError: A value outside its range.
    """

    horizontal_flip: float = 0.5
    vertical_flip: float = 0.0
    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    translation: float = 0.0
    crop: tuple[int, int] | None = None
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    fill: tuple[float, ...] = FILL

    def __post_init__(self) -> None:
        tops = {
            "horizontal_flip": 1.0,
            "vertical_flip": 1.0,
            "rotation": 180.0,
            "translation": 1.0,
            "brightness": 1.0,
            "contrast": 1.0,
            "saturation": 1.0,
            "hue": 0.5,
        }
        for name, top in tops.items():
            if not 0 <= getattr(self, name) <= top:
                raise ConfigError(f"{name} must be from 0 to {top}, got {getattr(self, name)}")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ConfigError(f"scale must be (low, high) with 0 < low <= high, got {self.scale}")
        if self.crop is not None and min(self.crop) < 1:
            raise ConfigError(f"crop must be (height, width) of at least 1, got {self.crop}")

    def draw_map(
        self, image_size: Size, resized: Size, rng: np.random.Generator
    ) -> tuple[Float64[np.ndarray, "3 3"], Size]:
        """Draw the map from a picture to the network, and the size of the result.

        The same numbers are drawn whatever the ranges are, so widening one range leaves the
        draws of the others as they were.

        Args:
            image_size: (height, width) of the picture.
            resized: Its size after the plain resize.
            rng: Where randomness comes from.
        """
        flip_x, flip_y, turn, factor, shift_x, shift_y, place_x, place_y = rng.random(8)
        height, width = image_size
        low, high = np.log(self.scale)
        factor = np.exp(low + (high - low) * factor)
        scaled = np.maximum(1, np.rint(np.array(resized) * factor)).astype(int)
        matrix = scale(scaled[1] / width, scaled[0] / height)
        if flip_x < self.horizontal_flip:
            matrix = matrix @ flip_horizontal(width)
        if flip_y < self.vertical_flip:
            matrix = matrix @ flip_vertical(height)
        if self.rotation:
            angle = self.rotation * (2 * turn - 1)
            matrix = rotate(angle, (scaled[1] / 2, scaled[0] / 2)) @ matrix
        if self.translation:
            shift = self.translation * (2 * np.array([shift_x, shift_y]) - 1) * scaled[::-1]
            matrix = translate(*np.rint(shift)) @ matrix
        size = np.minimum(scaled, resized if self.crop is None else self.crop)
        window = np.floor((scaled - size + 1) * np.array([place_y, place_x]))
        return translate(-window[1], -window[0]) @ matrix, (int(size[0]), int(size[1]))

    def apply(
        self,
        sample: Sample,
        rng: np.random.Generator,
        *,
        short_side: int,
        long_side: int,
        fixed_size: Size | None = None,
    ) -> Sample:
        """Return the sample changed by one draw and resized.

        Args:
            sample: A picture with its true objects.
            rng: Where randomness comes from.
            short_side: See `resized_size`.
            long_side: See `resized_size`.
            fixed_size: See `resized_size`.
        """
        image_size = sample.targets.image_size
        resized = resized_size(
            image_size, short_side=short_side, long_side=long_side, fixed_size=fixed_size
        )
        matrix, size = self.draw_map(image_size, resized, rng)
        image = warp_image(sample.image, matrix, size, fill=self.fill)
        brightness, contrast, saturation, hue = 2 * rng.random(4) - 1
        if self.brightness or self.contrast or self.saturation or self.hue:
            image = shift_colours(
                image,
                brightness=1 + self.brightness * brightness,
                contrast=1 + self.contrast * contrast,
                saturation=1 + self.saturation * saturation,
                hue=self.hue * hue,
            )
        return replace(sample, image=image, targets=warp_instances(sample.targets, matrix, size))


def resize_sample(
    sample: Sample, *, short_side: int, long_side: int, fixed_size: Size | None = None
) -> Sample:
    """Return the sample resized by the rule of `resized_size`, unchanged otherwise."""
    height, width = sample.targets.image_size
    size = resized_size(
        (height, width), short_side=short_side, long_side=long_side, fixed_size=fixed_size
    )
    if size == (height, width):
        return sample
    matrix = scale(size[1] / width, size[0] / height)
    return replace(
        sample,
        image=warp_image(sample.image, matrix, size),
        targets=warp_instances(sample.targets, matrix, size),
    )
