"""Augmentations for kinds of pictures, each with its reasons.

Those that cut and cover much ignore objects of which less than a tenth is left (YOLOv5 and its
successors drop them, and then punish a network that finds them).
"""

from __future__ import annotations

from maskwright.errors import ConfigError, nearest_name
from maskwright.transforms.augmentation import Augmentation
from maskwright.transforms.cut_out import CutOut
from maskwright.transforms.degradations import JPEG, Blur, Noise
from maskwright.transforms.lighting import Exposure, Veil
from maskwright.transforms.mixing import CopyPaste, MixUp, Mosaic

__all__ = ["AUGMENTATIONS", "augmentation_named"]

AUGMENTATIONS: dict[str, Augmentation] = {
    # Only the resize: to measure what augmentation brings.
    "none": Augmentation(horizontal_flip=0.0),
    # Streets have an up and a down, and mirror. Distance is scale, so it varies most; cameras
    # pitch and roll by a few degrees. Sun, shade and night change light far more than hue, which
    # tells signs and lamps apart. Things hide each other (copy-paste); distant ones are small
    # (mosaic); lenses and exposures blur and make noise.
    "driving": Augmentation(
        horizontal_flip=0.5,
        rotation=3.0,
        scale=(0.5, 2.0),
        translation=0.1,
        perspective=0.05,
        perspective_probability=0.5,
        brightness=0.4,
        contrast=0.3,
        saturation=0.3,
        hue=0.02,
        ignore_below=0.1,
        mosaic=Mosaic(probability=0.25),
        copy_paste=CopyPaste(probability=0.25),
        blur=Blur(probability=0.15),
        noise=Noise(probability=0.15),
        jpeg=JPEG(probability=0.1),
    ),
    # A slide has no up: all eight ways to lay it down, which cost no corners, and some turns in
    # between. Magnification is known and size tells cells apart, so scale varies little. Stain
    # and exposure vary by batch, focus by depth, noise by exposure. Nothing is pasted or mixed:
    # how cells lie side by side is part of what they are. Files are lossless: no JPEG.
    "medical": Augmentation(
        horizontal_flip=0.5,
        vertical_flip=0.5,
        quarter_turn=0.5,
        rotation=45.0,
        rotation_probability=0.3,
        scale=(0.8, 1.25),
        translation=0.05,
        brightness=0.2,
        contrast=0.3,
        saturation=0.2,
        hue=0.03,
        blur=Blur(probability=0.2, sigma=(0.3, 1.2)),
        noise=Noise(probability=0.2, sigma=(1.0, 8.0)),
    ),
    # Camera, distance and light are fixed: small changes around them, for tolerances of the
    # fixture and lamps that age. Colour and place are measurements and stay. Faults are rare, so
    # they are pasted onto other parts.
    "industrial": Augmentation(
        horizontal_flip=0.5,
        vertical_flip=0.5,
        rotation=5.0,
        scale=(0.9, 1.1),
        translation=0.05,
        brightness=0.15,
        contrast=0.15,
        copy_paste=CopyPaste(probability=0.3, objects=(1, 3)),
        blur=Blur(probability=0.1, sigma=(0.3, 1.0)),
        noise=Noise(probability=0.2, sigma=(1.0, 6.0)),
    ),
    # From above there is no up either. Ground resolution differs by flight, sun and haze by day;
    # shadows turn with the clock. Objects are small and many (mosaic), some classes rare
    # (copy-paste), tiles come as JPEG.
    "aerial": Augmentation(
        horizontal_flip=0.5,
        vertical_flip=0.5,
        quarter_turn=0.5,
        rotation=45.0,
        rotation_probability=0.3,
        scale=(0.6, 1.6),
        translation=0.1,
        brightness=0.25,
        contrast=0.25,
        saturation=0.2,
        hue=0.02,
        ignore_below=0.1,
        mosaic=Mosaic(probability=0.25),
        copy_paste=CopyPaste(probability=0.25),
        blur=Blur(probability=0.1, sigma=(0.3, 1.0)),
        jpeg=JPEG(probability=0.15, quality=(50, 95)),
    ),
    # For pictures worse than those at hand: bad light, focus, sensors and files, things in the
    # way. Geometry is that of the default recipe. Each damage is strong and seldom: a third of the
    # pictures stay whole, for what is learnt under damage is learnt more slowly, and clean pictures
    # are to be found as before.
    "robust": Augmentation(
        horizontal_flip=0.5,
        scale=(0.7, 1.4),
        translation=0.1,
        brightness=0.3,
        contrast=0.3,
        saturation=0.3,
        hue=0.02,
        cut_out=CutOut(probability=0.15),
        # dark objects vanish in a picture made darker, so that more light is added than taken
        exposure=Exposure(probability=0.25, offset=(-0.25, 0.45), gamma=(0.6, 1.6)),
        veil=Veil(probability=0.2, strength=(0.1, 0.8), light=(0.1, 1.0)),
        blur=Blur(probability=0.2, sigma=(0.5, 4.0)),
        noise=Noise(probability=0.25, sigma=(2.0, 60.0)),
        jpeg=JPEG(probability=0.15, quality=(10, 80)),
    ),
    # For few pictures and long runs: large-scale jitter and copy-paste as Ghiasi et al. 2021,
    # which gain most where data is scarce, mosaic and some mixup as the YOLO line has them.
    "strong": Augmentation(
        horizontal_flip=0.5,
        rotation=10.0,
        rotation_probability=0.5,
        scale=(0.1, 2.0),
        scale_draw="uniform",
        translation=0.1,
        perspective=0.05,
        perspective_probability=0.3,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.03,
        ignore_below=0.1,
        mosaic=Mosaic(probability=0.4, scale=(0.4, 1.0)),
        copy_paste=CopyPaste(probability=0.5),
        cut_out=CutOut(probability=0.15),
        mix_up=MixUp(probability=0.1),
        blur=Blur(probability=0.1),
        noise=Noise(probability=0.1),
        jpeg=JPEG(probability=0.1),
    ),
}
"""Name -> augmentation; `--augment NAME` of the command line."""


def augmentation_named(name: str) -> Augmentation:
    """Return the preset of this name.

    Raises:
        ConfigError: There is none; the message lists those there are.

    >>> augmentation_named("medical").quarter_turn
    0.5
    """
    if name not in AUGMENTATIONS:
        known = list(AUGMENTATIONS)
        raise ConfigError(
            f"unknown augmentation {name!r}.{nearest_name(name, known)} There are: "
            f"{', '.join(known)}"
        )
    return AUGMENTATIONS[name]
