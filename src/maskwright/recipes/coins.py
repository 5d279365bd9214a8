"""The demo's pictures: real coins cut from one photograph, laid on real textures.

scikit-image ships a photograph of 24 Greek coins in four rows of six, and photographs of
gravel, grass and brick. Coins of three rows are cut out with exact masks, turned, scaled,
lit and laid on those textures to make training pictures; coins of the remaining row make the
held-out pictures and are never trained on.

Shapes: all pictures are (h, w, 3) uint8 RGB; grey photographs are repeated three times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from maskwright.errors import DataError
from maskwright.masks import Masks
from maskwright.structures import Instances, Sample

__all__ = [
    "HELD_OUT_ROW",
    "NUM_COINS",
    "Coin",
    "coin_photograph",
    "coin_samples",
    "compose",
    "cut_coins",
]

NUM_COINS = 24
HELD_OUT_ROW = 2
"""The row (0 at the top) whose coins are kept from training."""

_COINS_PER_ROW = 6
_DARK, _BRIGHT = 30, 150
"""Grey levels that are surely background and surely coin in the photograph."""
_SMALLEST_COIN = 300
"""Pixels; specks of dust in the photograph are below 50, the smallest coin above 1,000."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Coin:
    """One coin cut from the photograph.

    Args:
        pixels: (h, w) grey levels of its tight box.
        bitmap: (h, w) True where the coin is.
        row: Its row in the photograph, 0 at the top.
    """

    pixels: UInt8[np.ndarray, "h w"]
    bitmap: Bool[np.ndarray, "h w"]
    row: int


def coin_photograph() -> tuple[UInt8[np.ndarray, "303 384 3"], Masks]:
    """Return the photograph and the masks of its 24 coins, row by row from the top left.

    The masks come from a watershed on the gradient, grown from what is surely coin and surely
    background, and were checked by eye; a count other than 24 is an error, never a guess.
    """
    from skimage import data

    grey = data.coins()
    bitmaps = [
        (part.image_filled.astype(np.uint8), (part.bbox[1], part.bbox[0]))
        for part in _regions(grey)
    ]
    return np.repeat(grey[:, :, None], 3, axis=2), Masks.from_bitmaps(bitmaps, grey.shape)


def cut_coins() -> list[Coin]:
    """Return the 24 coins of the photograph, row by row from the top left."""
    from skimage import data

    grey = data.coins()
    return [
        Coin(
            pixels=grey[part.slice],
            bitmap=part.image_filled,
            row=index // _COINS_PER_ROW,
        )
        for index, part in enumerate(_regions(grey))
    ]


def _regions(grey: UInt8[np.ndarray, "h w"]) -> list:
    from skimage import filters, measure, morphology, segmentation

    markers = np.zeros(grey.shape, dtype=np.uint8)
    markers[grey < _DARK] = 1
    markers[grey > _BRIGHT] = 2
    coin = segmentation.watershed(filters.sobel(grey), markers) == 2
    coin = morphology.opening(coin, morphology.disk(2))
    parts = [p for p in measure.regionprops(measure.label(coin)) if p.area > _SMALLEST_COIN]
    if len(parts) != NUM_COINS:
        raise DataError(
            f"found {len(parts)} coins in scikit-image's photograph, wanted {NUM_COINS}: "
            "another version of the picture? Install the scikit-image of constraints.txt"
        )
    by_height = sorted(parts, key=lambda part: part.bbox[2])
    rows = [by_height[i : i + _COINS_PER_ROW] for i in range(0, NUM_COINS, _COINS_PER_ROW)]
    return [part for row in rows for part in sorted(row, key=lambda part: part.bbox[1])]


def compose(
    coins: list[Coin], rng: np.random.Generator, *, size: tuple[int, int] = (256, 320)
) -> tuple[UInt8[np.ndarray, "h w 3"], Masks]:
    """Lay up to 24 coins side by side on a texture, some of them cut by the border.

    Args:
        coins: What to choose from, with repetition; [] gives a bare texture.
        rng: All randomness comes from here.
        size: (height, width) of the picture.

    Returns:
        The picture and the exact masks of what is seen of each coin.
    """
    picture = _ground(rng, size)
    taken = np.zeros(size, dtype=bool)
    bitmaps = []
    for _ in range(int(rng.integers(6, 25)) if coins else 0):
        pixels, cover = _turned(coins[int(rng.integers(len(coins)))], rng)
        y, x = (
            int(rng.integers(-s // 4, whole - 3 * s // 4))
            for s, whole in zip(pixels.shape, size, strict=True)
        )
        top, left = max(y, 0), max(x, 0)
        seen = (slice(top - y, size[0] - y), slice(left - x, size[1] - x))
        pixels, cover = pixels[seen], cover[seen]
        place = (slice(top, top + pixels.shape[0]), slice(left, left + pixels.shape[1]))
        solid = cover > 0.5
        if (taken[place] & (cover > 0)).any():
            continue
        shade = 1 - 0.4 * cv2.GaussianBlur(cover, (0, 0), 2.5)
        picture[place] = picture[place] * shade * (1 - cover) + pixels * cover
        taken[place] |= cover > 0
        bitmaps.append((solid.astype(np.uint8), (left, top)))
    soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.2, 0.6)))
    noisy = soft + rng.normal(0, rng.uniform(0, 4), size)
    grey = np.clip(noisy, 0, 255).round().astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2), Masks.from_bitmaps(bitmaps, size)


def coin_samples(
    coins: list[Coin],
    count: int,
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (256, 320),
    bare_every: int | None = None,
) -> Iterator[Sample]:
    """Yield composed pictures with their truth, named 0001.png and so on.

    Args:
        coins: What to choose from.
        count: Pictures.
        rng: All randomness comes from here.
        size: (height, width) of the pictures.
        bare_every: Every so many-th picture has no coins; None for none of them.
    """
    for image_id in range(1, count + 1):
        is_bare = bare_every is not None and image_id % bare_every == 0
        image, masks = compose([] if is_bare else coins, rng, size=size)
        targets = Instances(
            image_size=size,
            boxes=torch.from_numpy(masks.boxes),
            labels=torch.zeros(len(masks), dtype=torch.int64),
            masks=masks,
            class_names=("coin",),
            category_ids=(1,),
        )
        yield Sample(image=image, targets=targets, image_id=image_id, name=f"{image_id:04}.png")


def _ground(rng: np.random.Generator, size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Return a window of a texture or of the photograph's bare ground, lit unevenly."""
    from skimage import data

    sources = (data.gravel, data.grass, data.brick, _bare_ground, _bare_ground)
    whole = sources[int(rng.integers(len(sources)))]()
    zoom = rng.uniform(1.0, 2.0) * max(
        1.0, *(s / w for s, w in zip(size, whole.shape, strict=True))
    )
    texture = cv2.resize(whole, None, fx=zoom, fy=zoom).astype(np.float32)
    y, x = (int(rng.integers(0, w - s + 1)) for s, w in zip(size, texture.shape, strict=True))
    window = texture[y : y + size[0], x : x + size[1]]
    contrast = rng.uniform(0.15, 0.9)
    corners = rng.uniform(20, 130, (2, 2)).astype(np.float32)
    light = cv2.resize(corners, size[::-1])
    lit: np.ndarray = (window - window.mean()) * contrast + light
    return lit


@cache
def _bare_ground() -> UInt8[np.ndarray, "303 384"]:
    """Return the photograph with its coins painted over from around them."""
    picture, masks = coin_photograph()
    coins = masks.union().to_dense()[0].astype(np.uint8)
    wide = cv2.dilate(coins, np.ones((9, 9), np.uint8))
    return np.asarray(cv2.inpaint(picture[:, :, 0], wide, 3, cv2.INPAINT_TELEA))


def _turned(
    coin: Coin, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "s s"], Float[np.ndarray, "s s"]]:
    """Return a coin turned, scaled and lit anew: its grey levels and its cover in [0, 1]."""
    height, width = coin.pixels.shape
    zoom = rng.uniform(0.7, 1.4)
    side = int(np.ceil(np.hypot(height, width) * zoom)) + 2
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(0, 360), zoom)
    shift = (side - 1) / 2 - np.array([width - 1, height - 1]) / 2
    matrix = np.asarray(matrix) + np.pad(shift[:, None], ((0, 0), (2, 0)))
    pixels = cv2.warpAffine(
        coin.pixels.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REPLICATE
    )
    cover = cv2.warpAffine(coin.bitmap.astype(np.float32), matrix, (side, side))
    contrast, brightness = rng.uniform(0.7, 1.2), rng.uniform(-35, 25)
    mean = float(coin.pixels[coin.bitmap].mean())
    return (pixels - mean) * contrast + mean + brightness, cover
