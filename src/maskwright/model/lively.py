"""Random weights that behave as trained ones: a model that finds objects without any training.

A model as it is built gives all boxes one score and finds nothing, or everything, and its norms do
nothing. Where only the time matters, or whether two ways of computing agree, that hides what a
trained model would show.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from maskwright.model.kinds import Model
from maskwright.model.segmenter import InstanceSegmenter

__all__ = ["make_lively"]

_LAST_OF_MASK_HEADS = (
    "mask_head.logits",
    "mask_head.coefficients.3",
    "mask_head.coarse.logits",
    "mask_head.correction.1",
)

_SPREAD = {
    "objectness": 3.0,
    "classifier": 2.0,
    "classifiers": 2.0,
    "deltas": 0.5,
    "regressor": 0.5,
}
"""Standard deviation that the last layers of detectors get on a picture: with less of it scores are
equal but for rounding, and which of them survives is not defined."""


def make_lively(model: Model, picture: np.ndarray, seed: int = 0) -> None:
    """Give a random model norms that are not 0 and 1, scores that differ and masks with holes.

    Args:
        model: Changed in place.
        picture: (h, w, c), on which the spread of scores is measured.
        seed: Of the numbers drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
                _draw_norm(module, generator)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                if name.startswith("backbone.") and module.bias is not None:
                    # as trained ones: else padding is all zeros, and VGG's SSD level, which is
                    # divided by its length, makes something of any rounding there
                    module.bias.normal_(std=0.1, generator=generator)
                elif name in _LAST_OF_MASK_HEADS:
                    module.weight.normal_(std=0.5, generator=generator)
    if isinstance(model, InstanceSegmenter):
        _spread_predictions(model, picture)


def _draw_norm(norm: nn.BatchNorm2d | FrozenBatchNorm2d, generator: torch.Generator) -> None:
    tensors = norm.state_dict()  # not copies
    tensors["weight"].uniform_(0.5, 1.0, generator=generator)
    tensors["bias"].normal_(std=0.1, generator=generator)
    tensors["running_mean"].normal_(std=0.1, generator=generator)
    tensors["running_var"].uniform_(0.7, 1.4, generator=generator)


def _spread_predictions(model: InstanceSegmenter, picture: np.ndarray) -> None:
    """Scale the last layers of the detector by what they give for a picture."""
    inputs: dict[nn.Module, Tensor] = {}
    names: dict[nn.Module, str] = {}
    scaled: set[nn.Module] = set()

    def remember(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs[module] = arguments[0]

    def scale(module: nn.Module, _: object, result: Tensor) -> Tensor:
        if module in scaled or result.numel() < 2:
            return result
        assert isinstance(module, nn.Conv2d | nn.Linear)
        scaled.add(module)
        centre = result.mean(dim=0, keepdim=True) if result.ndim == 2 else result.mean()
        # random features of boxes differ little: a larger factor would enlarge rounding too
        spread = 0.25 if result.ndim == 2 else _SPREAD[names[module]]
        module.weight.mul_(spread / (result - centre).std())
        if result.ndim == 2 and module.bias is not None:  # else one class, or none, has all boxes
            module.bias.sub_(module.forward(inputs[module]).mean(dim=0))
        return module.forward(inputs[module])

    hooks = []
    for name, module in model.named_modules():
        parts = [part for part in name.split(".") if part in _SPREAD]
        if name.startswith("detector.") and parts and isinstance(module, nn.Conv2d | nn.Linear):
            names[module] = parts[0]
            hooks += [
                module.register_forward_pre_hook(remember),
                module.register_forward_hook(scale),
            ]
    with torch.no_grad():
        model.predict(model.collate([picture]))
    for hook in hooks:
        hook.remove()
