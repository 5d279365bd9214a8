"""Crops of probabilities pasted into their boxes, straight to runs.

The same masks, bit for bit, as torchvision's `paste_masks_in_image` (He et al., Mask R-CNN, 2017,
section 3.1, "resized to the RoI size, and binarized") followed by `> threshold`, without a
picture-sized array. A crop is padded by one pixel of zeros, its box is grown in proportion and cut
to integers, and the crop is resized bilinearly (`align_corners=False`) to the box.

The last bit follows torch's own float32 arithmetic, measured on torch 2.14 against all three of
its x86 code paths: AVX2 and AVX512 fuse multiply and add (`fma`), the default path does not; and
pictures of at most 128 pixels of height plus width go through a kernel that weighs the four
corners at once, larger ones interpolate across, then down.

Shapes: n crops of (s, s).
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
from jaxtyping import Float32

from maskwright.masks.paste_kernels import paste_crops
from maskwright.masks.runs import Runs, join_runs
from maskwright.masks.threads import in_parts

__all__ = ["grown_boxes", "paste_runs", "torch_fuses"]

# 64 objects take 0.6 ms, and for about that long after a network has run torch's own threads are
# still spinning on the other processors.
_FEWEST_PER_THREAD = 64


def paste_runs(
    crops: Float32[np.ndarray, "n s s"],
    boxes: Float32[np.ndarray, "n 4"],
    image_size: tuple[int, int],
    threshold: float,
) -> Runs:
    """Runs of the pixels where the pasted crop is greater than `threshold` (0 to 1)."""
    corners = grown_boxes(boxes, crops.shape[1])
    limit, fused = np.float32(threshold), torch_fuses()

    def paste(first: int, last: int) -> Runs:
        chosen = slice(first, last)
        pasted: Runs = paste_crops(crops[chosen], corners[chosen], *image_size, limit, fused)
        return pasted

    return join_runs(in_parts(len(crops), paste, fewest=_FEWEST_PER_THREAD))


def grown_boxes(boxes: Float32[np.ndarray, "n 4"], size: int) -> np.ndarray:
    """Integer boxes (n, 4), both corners inclusive, that hold the padded crops of this size."""
    scale = np.float32((size + 2) / size)
    half = (boxes[:, 2:] - boxes[:, :2]) * np.float32(0.5) * scale
    centre = (boxes[:, 2:] + boxes[:, :2]) * np.float32(0.5)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.int64)


def torch_fuses() -> bool:
    """Whether torch's kernels fuse multiply and add on this processor.

    torch takes its AVX2 or AVX512 kernels where the processor has them, unless the environment
    variable ATEN_CPU_CAPABILITY says `default`. On 64-bit ARM the compiler fuses as well.
    """
    if not _is_x86():
        return True
    return os.environ.get("ATEN_CPU_CAPABILITY", "").lower() != "default" and _has_fma()


@cache
def _is_x86() -> bool:
    from llvmlite.binding import get_process_triple

    return bool(get_process_triple().startswith(("x86", "i686", "amd64")))


@cache
def _has_fma() -> bool:
    from llvmlite.binding import get_host_cpu_features

    features = get_host_cpu_features()
    return bool(features.get("avx2") and features.get("fma"))
