"""All corruptions by name, and the one function that applies them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

from maskwright.errors import ConfigError, ImageError, nearest_name
from maskwright.transforms.corruptions.blur import (
    defocus_blur,
    gaussian_blur,
    motion_blur,
    zoom_blur,
)
from maskwright.transforms.corruptions.compression import jpeg, pixelate
from maskwright.transforms.corruptions.corruption import REFERENCE_SIDE, STRENGTHS, Corruption
from maskwright.transforms.corruptions.light import contrast, lightness
from maskwright.transforms.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from maskwright.transforms.corruptions.occlusion import OCCLUSIONS
from maskwright.transforms.corruptions.weather import fog, frost, rain, snow

__all__ = [
    "CORRUPTIONS",
    "corrupt",
    "corruption_names",
    "generator_for",
    "require_corruptions",
    "require_strengths",
]

# Levels are ImageNet-C's unless said otherwise.
_ALL = (
    Corruption(
        name="gaussian-noise",
        family="noise",
        levels=(0.08, 0.12, 0.18, 0.26, 0.38),
        apply=gaussian_noise,
    ),
    Corruption(name="shot-noise", family="noise", levels=(60, 25, 12, 5, 3), apply=shot_noise),
    Corruption(
        name="impulse-noise",
        family="noise",
        levels=(0.03, 0.06, 0.09, 0.17, 0.27),
        apply=impulse_noise,
    ),
    Corruption(name="gaussian-blur", family="blur", levels=(1, 2, 3, 4, 6), apply=gaussian_blur),
    Corruption(name="defocus-blur", family="blur", levels=(3, 4, 6, 8, 10), apply=defocus_blur),
    Corruption(
        name="motion-blur",
        family="blur",
        levels=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        apply=motion_blur,
    ),
    Corruption(
        name="zoom-blur",
        family="blur",
        levels=((1.10, 0.01), (1.15, 0.01), (1.20, 0.02), (1.24, 0.02), (1.30, 0.03)),
        apply=zoom_blur,
    ),
    Corruption(
        name="snow",
        family="weather",
        levels=(
            (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        apply=snow,
    ),
    # Made up; see `frost`. The shares are ImageNet-C's.
    Corruption(
        name="frost",
        family="weather",
        levels=((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        apply=frost,
    ),
    Corruption(
        name="fog",
        family="weather",
        levels=((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
        apply=fog,
    ),
    # Ours; chosen by eye, so that strength 5 is a cloudburst.
    Corruption(
        name="rain",
        family="weather",
        levels=((0.002, 0.95), (0.004, 0.9), (0.008, 0.82), (0.014, 0.74), (0.022, 0.66)),
        apply=rain,
    ),
    Corruption(
        name="brightness", family="light", levels=(0.1, 0.2, 0.3, 0.4, 0.5), apply=lightness
    ),
    # Ours: brightness the other way.
    Corruption(
        name="darkness", family="light", levels=(-0.1, -0.2, -0.3, -0.4, -0.5), apply=lightness
    ),
    Corruption(name="contrast", family="light", levels=(0.4, 0.3, 0.2, 0.1, 0.05), apply=contrast),
    Corruption(
        name="jpeg", family="compression", levels=(25, 18, 15, 10, 7), apply=jpeg, is_for_bytes=True
    ),
    Corruption(
        name="pixelate", family="compression", levels=(0.6, 0.5, 0.4, 0.3, 0.25), apply=pixelate
    ),
)

CORRUPTIONS: dict[str, Corruption] = {one.name: one for one in _ALL}
"""Name -> corruption that leaves objects where they are; `OCCLUSIONS` has those that hide them."""


def corrupt(
    image: Shaped[np.ndarray, "h w 3"],
    name: str,
    strength: int,
    *,
    picture: str = "",
    seed: int = 0,
    reference_side: int | None = REFERENCE_SIDE,
) -> Shaped[np.ndarray, "h w 3"]:
    """Return a damaged copy of a picture, of the same type.

    Args:
        image: RGB, uint8 or uint16.
        name: One of `CORRUPTIONS`.
        strength: From 1 to 5.
        picture: The picture's name: with `seed` and `name` it decides the noise, whatever other
            pictures there are. All strengths of a corruption draw alike.
        seed: Another one gives other noise.
        reference_side: Lengths, such as that of a blur, are those of a picture whose shorter side
            has so many pixels, and grow and shrink with the picture: seen at one size, pictures
            of any size are damaged alike. None takes lengths as pixels of this picture, as
            Michaelis et al. 2019 do with COCO. Noise goes by pixels and JPEG by squares of
            eight whatever the size.

    Raises:
        ConfigError: No such corruption or strength.
        ImageError: A picture of another shape or type, or 16 bits where JPEG is asked for.

    >>> corrupt(np.full((2, 2, 3), 100, np.uint8), "brightness", 2)[0, 0].tolist()
    [151, 151, 151]
    """
    require_corruptions([name], list(CORRUPTIONS))
    require_strengths([strength])
    chosen = CORRUPTIONS[name]
    if image.dtype not in (np.uint8, np.uint16) or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError(
            f"a picture to corrupt must be (h, w, 3) uint8 or uint16, got {image.shape} "
            f"{image.dtype}"
        )
    if chosen.is_for_bytes and image.dtype != np.uint8:
        raise ImageError(f"{name} is for pictures of 8 bits a colour, got {image.dtype}")
    scale = 1.0 if reference_side is None else min(image.shape[:2]) / reference_side
    white = np.iinfo(image.dtype).max
    pixels = image.astype(np.float32) / np.float32(white)
    rng = generator_for(seed, name, picture)
    damaged = chosen.apply(pixels, chosen.levels[strength - 1], scale, rng)
    levels: np.ndarray = np.rint(np.clip(damaged, 0, 1) * np.float32(white)).astype(image.dtype)
    return levels


def generator_for(seed: int, name: str, picture: str) -> np.random.Generator:
    """Return the generator of one corruption of one picture, alike on every machine."""
    digest = hashlib.sha256(f"{seed}/{name}/{picture}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def corruption_names() -> list[str]:
    """Return all names, those of occlusions last."""
    return [*CORRUPTIONS, *OCCLUSIONS]


def require_corruptions(names: Sequence[str], known: Sequence[str]) -> None:
    """Check names.

    Raises:
        ConfigError: One is not known; the message lists those that are.
    """
    for name in names:
        if name not in known:
            raise ConfigError(
                f"unknown corruption {name!r}.{nearest_name(name, list(known))} There are: "
                f"{', '.join(known)}"
            )


def require_strengths(strengths: Sequence[int]) -> None:
    """Check strengths.

    Raises:
        ConfigError: One is not from 1 to 5.
    """
    for strength in strengths:
        if strength not in STRENGTHS:
            raise ConfigError(f"strength must be a whole number from 1 to 5, got {strength!r}")
