"""What lenses, sensors and files do to pictures: blur, noise, JPEG.

Strengths are in pixels and grey levels of the picture that the network sees, after the resize.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Annotated

import cv2
import numpy as np
from jaxtyping import Float64, Shaped
from pydantic import Field

from maskwright.errors import ImageError
from maskwright.transforms.options import Positive, Probability, check_options

__all__ = ["JPEG", "Blur", "Noise"]

_Quality = Annotated[int, Field(ge=1, le=100)]


@dataclass(frozen=True, kw_only=True)
class Blur:
    """Gaussian blur: pictures out of focus or enlarged.

    Args:
        probability: How often.
        sigma: Range of the standard deviation in pixels; above the width of small objects they
            are gone from the picture and not from the truth.
    """

    probability: Probability = 0.0
    sigma: tuple[Positive, Positive] = (0.3, 1.5)

    def __post_init__(self) -> None:
        check_options(self, ranges=("sigma",))

    def apply(
        self, image: Shaped[np.ndarray, "h w c"], rng: np.random.Generator
    ) -> Shaped[np.ndarray, "h w c"]:
        """Return the picture blurred by one draw."""
        sigma = rng.uniform(*self.sigma)
        side = 2 * int(np.ceil(3 * sigma)) + 1  # three deviations each way hold 99.7 %
        blurred: np.ndarray = cv2.GaussianBlur(
            image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE
        )
        return blurred


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Gaussian noise, independent by pixel and channel: short exposures, high gain.

    Args:
        probability: How often.
        sigma: Range of the standard deviation in grey levels of 255; where values are not bytes,
            in 255ths of the picture's own range.
    """

    probability: Probability = 0.0
    sigma: tuple[Positive, Positive] = (1.0, 12.0)

    def __post_init__(self) -> None:
        check_options(self, ranges=("sigma",))

    def apply(
        self, image: Shaped[np.ndarray, "h w c"], rng: np.random.Generator
    ) -> Shaped[np.ndarray, "h w c"]:
        """Return the picture with noise of one draw, rounded and clipped once."""
        sigma = rng.uniform(*self.sigma)
        # A byte chooses one of the 256 quantiles: ten times quicker than normal numbers, and
        # after rounding to grey levels not to be told from them (cut at 2.9 deviations).
        chosen = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
        if image.dtype != np.uint8:
            return _with_noise(image, sigma * _quantiles()[chosen])
        levels = np.rint(sigma * _quantiles()).astype(np.int16)
        noisy: np.ndarray = cv2.add(image, cv2.LUT(chosen, levels), dtype=cv2.CV_8U)
        return noisy


@dataclass(frozen=True, kw_only=True)
class JPEG:
    """Compression to JPEG and back: blocks and ringing of pictures from the web or a camera.

    Pictures that JPEG does not hold, of other than three channels of bytes, stay as they are.

    Args:
        probability: How often.
        quality: Range of the quality, 1 to 100.
    """

    probability: Probability = 0.0
    quality: tuple[_Quality, _Quality] = (40, 95)

    def __post_init__(self) -> None:
        check_options(self, ranges=("quality",))

    def apply(
        self, image: Shaped[np.ndarray, "h w c"], rng: np.random.Generator
    ) -> Shaped[np.ndarray, "h w c"]:
        """Return the picture after one draw of compression.

        Raises:
            ImageError: The picture is larger than JPEG can hold (65,535 pixels a side).
        """
        if image.dtype != np.uint8 or image.shape[2] != 3:
            return image
        quality = int(rng.integers(self.quality[0], self.quality[1] + 1))
        is_written, data = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
        )
        if not is_written:
            raise ImageError(
                f"a picture of {image.shape[:2]} (height, width) is too large for JPEG"
            )
        read = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        assert read is not None
        return read


def _with_noise(
    image: Shaped[np.ndarray, "h w c"], noise: Float64[np.ndarray, "h w c"]
) -> Shaped[np.ndarray, "h w c"]:
    """Values of more than a byte with noise in 255ths of their range; floats are not clipped."""
    noisy = image + noise * (float(image.max()) - float(image.min())) / 255
    if image.dtype.kind == "f":
        return noisy.astype(image.dtype)
    limits = np.iinfo(image.dtype)
    limited: np.ndarray = np.rint(noisy).clip(limits.min, limits.max).astype(image.dtype)
    return limited


@cache
def _quantiles() -> Float64[np.ndarray, " 256"]:
    """The middles of 256 equally likely slices of the standard normal, scaled to deviation 1."""
    middles = [NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)]
    quantiles: np.ndarray = np.array(middles) / np.std(middles)
    return quantiles
