"""Why a model finds an object: its saliency map, by gradients or by covering, with its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32, UInt8

from maskwright.errors import ConfigError
from maskwright.explain.attribution import Attribution, Method, Shares, heat_of, shares_of
from maskwright.explain.detection_score import DetectionScore, Target
from maskwright.explain.faithfulness import Faithfulness, measure_faithfulness
from maskwright.explain.fills import Fill, filling_of
from maskwright.explain.gradients import gradient_attribution, has_captum
from maskwright.explain.occlusion import divide_picture, occlusion_attribution
from maskwright.explain.windows import window_around
from maskwright.inference import Predictor
from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter
from maskwright.structures import Instances

__all__ = ["ObjectSaliency", "SaliencyOptions", "WantedMethod", "explain_object", "method_for"]

WantedMethod: TypeAlias = Method | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class SaliencyOptions:
    """How objects are explained.

    Args:
        method: "gradients" needs a network in PyTorch and captum; "occlusion" works for any
            model; "auto" takes gradients where they can be had.
        target: What is explained: the whole "object", its "class", or its "mask".
        fill: What stands where something is taken away.
        num_steps: Of the integrated gradients.
        patches: Per side of the window about the object, of occlusion.
        faithfulness: Whether to measure deletion and insertion: some 50 predictions an object.
        batch_size: Copies of the picture that go through the network together.
        seed: Of the order by chance.

    Raises:
        ConfigError: A number below 1.
    """

    method: WantedMethod = "auto"
    target: Target = "object"
    fill: Fill = "mean"
    num_steps: int = 32
    patches: int = 12
    faithfulness: bool = True
    batch_size: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_steps", "patches", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectSaliency:
    """The explanation of one object.

    Args:
        attribution: What each pixel adds.
        heat: (h, w) float32, 0..1: what speaks for the object, smoothed, to draw.
        shares: Where that lies.
        faithfulness: Deletion and insertion; None where they were not wanted, or the object is
            not found again.
    """

    attribution: Attribution
    heat: Float32[np.ndarray, "h w"]
    shares: Shares
    faithfulness: Faithfulness | None


def explain_object(
    predictor: Predictor,
    image: UInt8[np.ndarray, "h w 3"],
    found: Instances,
    options: SaliencyOptions | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ObjectSaliency:
    """Return why the model finds an object.

    Args:
        predictor: The model.
        image: The picture, RGB.
        found: The object, alone, as the model found it.
        options: How; None for the defaults.
        progress: Called with the patches done and all, of occlusion.

    Raises:
        ConfigError: A method or a target that this model does not have.
        MissingExtraError: Gradients were asked for and captum is not installed.
    """
    options = options or SaliencyOptions()
    score = DetectionScore(predictor, found, options.target, batch_size=options.batch_size)
    filling = filling_of(image, options.fill)
    mask = _mask_of(found)
    x1, y1, x2, y2 = mask.boxes[0].tolist()
    if method_for(predictor, options.method) == "gradients":
        assert isinstance(predictor.model, InstanceSegmenter)
        attribution = gradient_attribution(
            predictor.model,
            image,
            filling,
            found,
            target=options.target,
            num_steps=options.num_steps,
            batch_size=options.batch_size,
        )
    else:
        patches = divide_picture(found.image_size, (x1, y1, x2, y2), fine=options.patches)
        attribution = occlusion_attribution(score, image, filling, patches, progress=progress)
    heat = heat_of(attribution.density, float(mask.area[0]))
    faithfulness = None
    if options.faithfulness:
        window = window_around((x1, y1, x2, y2), found.image_size)
        faithfulness = measure_faithfulness(score, image, filling, heat, window, seed=options.seed)
    shares = shares_of(attribution.density, mask)
    return ObjectSaliency(
        attribution=attribution, heat=heat, shares=shares, faithfulness=faithfulness
    )


def method_for(predictor: Predictor, wanted: WantedMethod) -> Method:
    """Return the method that is taken.

    Raises:
        ConfigError: Gradients of a model that is not a network in PyTorch.
    """
    has_gradients = isinstance(predictor.model, InstanceSegmenter)
    if wanted == "gradients" and not has_gradients:
        raise ConfigError(
            f"gradients do not reach into {type(predictor.model).__name__}: take method occlusion"
        )
    if wanted == "auto":
        return "gradients" if has_gradients and has_captum() else "occlusion"
    return wanted


def _mask_of(found: Instances) -> Masks:
    """Return the object's mask; its box where there is none, or nothing in it."""
    if found.masks is not None and found.masks.area[0]:
        return found.masks
    height, width = found.image_size
    x1, y1, x2, y2 = found.boxes[0].tolist()
    left, top = min(max(int(x1), 0), width - 1), min(max(int(y1), 0), height - 1)
    right, bottom = min(max(round(x2), left + 1), width), min(max(round(y2), top + 1), height)
    return Masks.from_boxes([[left, top, right, bottom]], found.image_size)
