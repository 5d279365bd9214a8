"""Saliency by gradients: integrated gradients, computed by captum (extra `explain`)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from maskwright.errors import MissingExtraError
from maskwright.explain.attribution import Attribution
from maskwright.explain.detection_score import Target
from maskwright.explain.object_target import ObjectTarget
from maskwright.model import InstanceSegmenter
from maskwright.structures import Instances, Size

__all__ = ["gradient_attribution", "has_captum", "integrated_gradients"]


def has_captum() -> bool:
    """Return whether gradients can be taken here."""
    return find_spec("captum") is not None


def gradient_attribution(
    model: InstanceSegmenter,
    image: UInt8[np.ndarray, "h w 3"],
    filling: UInt8[np.ndarray, "h w 3"],
    found: Instances,
    *,
    target: Target = "object",
    num_steps: int = 32,
    batch_size: int = 4,
) -> Attribution:
    """Return what each pixel adds to how much of the object the network sees.

    Args:
        model: The network.
        image: The picture.
        filling: The picture without anything in it, from which the way starts.
        found: The object, alone, in the frame of the picture.
        target: What is explained.
        num_steps: Pictures on the way at which the gradient is taken.
        batch_size: Of them together in the network.

    Raises:
        MissingExtraError: captum is not installed.
        ConfigError: "mask" of a model that finds boxes alone.
    """
    batch = model.collate([image])
    start = model.collate([filling]).images
    function = ObjectTarget(model, batch, found, target)
    parameters = [each for each in model.parameters() if each.requires_grad]
    try:
        # nothing is learnt: gradients of the weights would only cost memory
        for parameter in parameters:
            parameter.requires_grad_(False)
        pixels, gap = integrated_gradients(
            function, batch.images, start, num_steps=num_steps, batch_size=batch_size
        )
        with torch.no_grad():
            value, covered = function(torch.cat((batch.images, start))).tolist()
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
    height, width = batch.image_sizes[0]
    inside = pixels[0].sum(dim=0)[:height, :width].cpu().numpy()
    return Attribution(
        density=_in_frame(inside, (image.shape[0], image.shape[1])),
        method="gradients",
        value=value,
        covered_value=covered,
        gap=gap,
    )


def integrated_gradients(
    function: Callable[[Float[Tensor, "n 3 H W"]], Float[Tensor, " n"]],
    images: Float[Tensor, "1 3 H W"],
    start: Float[Tensor, "1 3 H W"],
    *,
    num_steps: int = 32,
    batch_size: int = 4,
) -> tuple[Float[Tensor, "1 3 H W"], float]:
    """Return the integrated gradients of a picture, and by how much their sum is off.

    Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365, equation 1: the gradients on the
    straight way from `start` to the picture, integrated (Gauss-Legendre) and multiplied by the
    way. Their sum is function(images) - function(start) but for the error of the integration,
    the second value (the sum less that difference).

    Raises:
        MissingExtraError: captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise MissingExtraError("captum", "explain", "explain masks by gradients") from error
    pixels, gap = IntegratedGradients(function).attribute(
        images,
        baselines=start,
        n_steps=num_steps,
        internal_batch_size=batch_size,
        return_convergence_delta=True,
    )
    return pixels.detach(), float(gap)


def _in_frame(density: Float32[np.ndarray, "_ _"], size: Size) -> Float32[np.ndarray, "h w"]:
    """Bring a map of the network's size to that of the picture; its sum stays about the same."""
    shrinks = density.shape[0] > size[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(density, (size[1], size[0]), interpolation=method)
    factor = density.size / (size[0] * size[1])
    scaled: np.ndarray = resized.astype(np.float32) * np.float32(factor)
    return scaled
