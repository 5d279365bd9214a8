"""What training pictures go through: ranges, one draw from them, one resampling.

The order: every picture that is seen goes through one map and one change of colours; several make
a mosaic; objects are pasted, rectangles painted, another picture blended in; at the end comes
what light, a camera or a file does to the whole: exposure, veil, blur, noise, JPEG.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float64
from pydantic import Field

from maskwright.structures import Sample, Size
from maskwright.transforms.chances import Chances
from maskwright.transforms.cut_out import CutOut
from maskwright.transforms.degradations import JPEG, Blur, Noise
from maskwright.transforms.geometry import (
    FILL,
    flip_horizontal,
    flip_vertical,
    move_corners,
    rotate,
    scale,
    translate,
    warp_image,
    warp_instances,
)
from maskwright.transforms.lighting import Exposure, Veil
from maskwright.transforms.mixing import CopyPaste, MixUp, Mosaic, Partner, See
from maskwright.transforms.options import (
    Positive,
    PositiveCount,
    Probability,
    Share,
    check_options,
)
from maskwright.transforms.photometric import shift_colours
from maskwright.transforms.resize import resized_size

__all__ = ["Augmentation"]

_Turn = Annotated[float, Field(ge=0.0, le=180.0)]
_Corner = Annotated[float, Field(ge=0.0, lt=0.25)]
"""Below a quarter, four corners that move on their own still make a convex shape."""
_Hue = Annotated[float, Field(ge=0.0, le=0.5)]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Ranges of random changes; the defaults only mirror left and right.

    All geometric changes and the resize are one map, so a picture is resampled once.

    Args:
        horizontal_flip: Probability of swapping left and right.
        vertical_flip: Probability of swapping top and bottom.
        quarter_turn: Probability of a turn by 90 degrees; with both flips, all eight ways to lay a
            picture down. Height and width change places.
        rotation: Largest turn either way, degrees, about the centre; corners are cut.
        rotation_probability: How often a picture is turned.
        scale: Range of a factor on top of the resize. (0.1, 2.0), drawn uniformly, is the
            large-scale jitter of Ghiasi et al. 2021 (section 3).
        scale_draw: "log" draws the factor uniformly in its logarithm, so that half the pictures
            shrink; "uniform" draws it as it is.
        scale_probability: How often it is scaled.
        translation: Largest shift either way, as a fraction of the frame's sides.
        translation_probability: How often it is shifted.
        perspective: Largest move of each corner either way, as a fraction of the sides.
        perspective_probability: How often corners move.
        crop: Largest (height, width) of the result, cut at a random place; None means the size
            of the plain resize, so that a scale above 1 needs no more memory.
        brightness: Largest relative change either way, 0 to 1.
        contrast: Likewise.
        saturation: Likewise.
        hue: Largest change either way, in turns, 0 to 0.5.
        colour_probability: How often colours change.
        fill: What comes in from outside the picture, a value per channel; its mean as a rule.
        mosaic: Four pictures in one.
        copy_paste: Objects of other pictures pasted over.
        cut_out: Rectangles painted over.
        mix_up: Another picture blended in.
        exposure: All values bent and shifted alike.
        veil: Fog or stray light over the picture.
        blur: Gaussian blur.
        noise: Gaussian noise.
        jpeg: Compression.
        ignore_below: Objects of which less than this share is left, in the frame or under what
            covers them, become crowds: nobody could say what they are, so nothing about them
            counts as right or wrong. 0 keeps the smallest sliver an object.
        close_mixing: Last share of a run without mosaic, copy-paste and mixup, so that it ends on
            pictures like those it will meet (Ge et al. 2021, YOLOX).

    Raises:
        ConfigError: A value outside its range.
    """

    horizontal_flip: Probability = 0.5
    vertical_flip: Probability = 0.0
    quarter_turn: Probability = 0.0
    rotation: _Turn = 0.0
    rotation_probability: Probability = 1.0
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    scale_draw: Literal["log", "uniform"] = "log"
    scale_probability: Probability = 1.0
    translation: Share = 0.0
    translation_probability: Probability = 1.0
    perspective: _Corner = 0.0
    perspective_probability: Probability = 1.0
    crop: tuple[PositiveCount, PositiveCount] | None = None
    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    hue: _Hue = 0.0
    colour_probability: Probability = 1.0
    fill: tuple[float, ...] = FILL
    mosaic: Mosaic = field(default_factory=Mosaic)
    copy_paste: CopyPaste = field(default_factory=CopyPaste)
    cut_out: CutOut = field(default_factory=CutOut)
    mix_up: MixUp = field(default_factory=MixUp)
    exposure: Exposure = field(default_factory=Exposure)
    veil: Veil = field(default_factory=Veil)
    blur: Blur = field(default_factory=Blur)
    noise: Noise = field(default_factory=Noise)
    jpeg: JPEG = field(default_factory=JPEG)
    ignore_below: Share = 0.0
    close_mixing: Share = 0.1

    def __post_init__(self) -> None:
        check_options(self, ranges=("scale",))

    @property
    def mixes(self) -> bool:
        """Whether other pictures are needed: mosaic, copy-paste or mixup may happen."""
        parts = (self.mosaic, self.copy_paste, self.mix_up)
        return any(part.probability > 0 for part in parts)

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
        chances = Chances(rng)
        if self._turns(chances):
            resized = resized[::-1]
        return self._map(image_size, resized, chances, window=self.crop or resized)

    def apply(
        self,
        sample: Sample,
        rng: np.random.Generator,
        *,
        short_side: int,
        long_side: int,
        fixed_size: Size | None = None,
        partner: Partner | None = None,
    ) -> Sample:
        """Return the sample changed by one draw and resized.

        Args:
            sample: A picture with its true objects.
            rng: Where randomness comes from.
            short_side: See `resized_size`.
            long_side: See `resized_size`.
            fixed_size: See `resized_size`.
            partner: Draws another picture for mosaic, copy-paste and mixup; None leaves these
                three out and everything else as it is.
        """
        chances = Chances(rng)

        def resize(image_size: Size, chances: Chances) -> Size:
            return resized_size(
                image_size[::-1] if self._turns(chances) else image_size,
                short_side=short_side,
                long_side=long_side,
                fixed_size=fixed_size,
            )

        frame = resize(sample.targets.image_size, chances)

        def see(
            sample: Sample, rng: np.random.Generator, *, window: Size, factor: float | None = None
        ) -> Sample:
            chances = Chances(rng)
            resized = resize(sample.targets.image_size, chances)
            return self._seen(sample, resized, chances, window=window, factor=factor)

        mixed = self._mixed(sample, frame, chances, see=see, partner=partner)
        return self._degraded(mixed, chances)

    def _mixed(
        self, sample: Sample, frame: Size, chances: Chances, *, see: See, partner: Partner | None
    ) -> Sample:
        """The picture as the network would see it, with what other pictures bring to it."""
        window = frame if self.crop is None else self.crop
        if partner is not None and chances.happens("mosaic", self.mosaic.probability):
            rng = chances.generator("mosaic")
            mixed = self.mosaic.apply(
                sample, rng, frame=window, see=see, partner=partner, fill=self.fill
            )
        else:
            mixed = self._seen(sample, frame, chances, window=window)
        if partner is not None and chances.happens("copy_paste", self.copy_paste.probability):
            rng = chances.generator("copy_paste")
            mixed = self.copy_paste.apply(
                mixed, rng, see=see, partner=partner, ignore_below=self.ignore_below
            )
        if chances.happens("cut_out", self.cut_out.probability):
            rng = chances.generator("cut_out")
            mixed = self.cut_out.apply(mixed, rng, fill=self.fill, ignore_below=self.ignore_below)
        if partner is not None and chances.happens("mix_up", self.mix_up.probability):
            rng = chances.generator("mix_up")
            mixed = self.mix_up.apply(mixed, rng, see=see, partner=partner)
        return mixed

    def _seen(
        self,
        sample: Sample,
        resized: Size,
        chances: Chances,
        *,
        window: Size,
        factor: float | None = None,
    ) -> Sample:
        """One picture through its map and its change of colours."""
        matrix, size = self._map(
            sample.targets.image_size, resized, chances, window=window, factor=factor
        )
        image = warp_image(sample.image, matrix, size, fill=self.fill)
        changes = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        if changes.any() and chances.happens("colour", self.colour_probability):
            brightness, contrast, saturation, hue = changes * chances.colours
            image = shift_colours(
                image,
                brightness=1 + brightness,
                contrast=1 + contrast,
                saturation=1 + saturation,
                hue=hue,
            )
        targets = warp_instances(sample.targets, matrix, size, ignore_below=self.ignore_below)
        return replace(sample, image=image, targets=targets)

    def _degraded(self, sample: Sample, chances: Chances) -> Sample:
        """The sample with what light, a camera and a file do to it."""
        image = sample.image
        changes: tuple[tuple[str, Exposure | Veil | Blur | Noise | JPEG], ...] = (
            ("exposure", self.exposure),
            ("veil", self.veil),
            ("blur", self.blur),
            ("noise", self.noise),
            ("jpeg", self.jpeg),
        )
        for name, change in changes:
            if chances.happens(name, change.probability):
                image = change.apply(image, chances.generator(name))
        return sample if image is sample.image else replace(sample, image=image)

    def _turns(self, chances: Chances) -> bool:
        return chances.happens("quarter_turn", self.quarter_turn)

    def _map(
        self,
        image_size: Size,
        resized: Size,
        chances: Chances,
        *,
        window: Size,
        factor: float | None = None,
    ) -> tuple[Float64[np.ndarray, "3 3"], Size]:
        """The map of a draw and the size of its result, at most `window`.

        `factor` takes the place of the draw from `scale`.
        """
        flip_x, flip_y, turn, zoom, shift_x, shift_y, place_x, place_y = chances.geometry
        upright = np.eye(3)
        if self._turns(chances):
            upright = translate(0, image_size[1]) @ rotate(90, (0, 0))
            upright = np.rint(upright)  # exact, where cosines are not
            image_size = image_size[::-1]
        height, width = image_size
        if factor is None:
            is_scaled = chances.happens("scale", self.scale_probability)
            factor = self._scale_at(zoom) if is_scaled else 1.0
        scaled = np.maximum(1, np.rint(np.array(resized) * factor)).astype(int)
        matrix = scale(scaled[1] / width, scaled[0] / height)
        if flip_x < self.horizontal_flip:
            matrix = matrix @ flip_horizontal(width)
        if flip_y < self.vertical_flip:
            matrix = matrix @ flip_vertical(height)
        if self.perspective and chances.happens("perspective", self.perspective_probability):
            moves = chances.generator("perspective").uniform(-1, 1, (4, 2)) * scaled[::-1]
            matrix = move_corners((scaled[0], scaled[1]), self.perspective * moves) @ matrix
        if self.rotation and chances.happens("rotation", self.rotation_probability):
            angle = self.rotation * (2 * turn - 1)
            matrix = rotate(angle, (scaled[1] / 2, scaled[0] / 2)) @ matrix
        if self.translation and chances.happens("translation", self.translation_probability):
            shift = self.translation * (2 * np.array([shift_x, shift_y]) - 1) * scaled[::-1]
            matrix = translate(*np.rint(shift)) @ matrix
        size = np.minimum(scaled, window)
        corner = np.floor((scaled - size + 1) * np.array([place_y, place_x]))
        window_map = translate(-corner[1], -corner[0])
        return window_map @ matrix @ upright, (int(size[0]), int(size[1]))

    def _scale_at(self, share: float) -> float:
        """The factor of which this share of all draws are smaller."""
        if self.scale_draw == "uniform":
            return self.scale[0] + (self.scale[1] - self.scale[0]) * share
        low, high = np.log(self.scale)
        return float(np.exp(low + (high - low) * share))
