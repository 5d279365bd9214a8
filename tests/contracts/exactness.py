"""Random models that find objects, and the bounds within which runtimes must agree.

Every runtime in float32 predicts what the model does in PyTorch: boxes within 0.01 px, scores
within 0.0001, masks but for one pixel of 10,000.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from maskwright.model import InstanceSegmenter, SemanticSegmenter
from maskwright.structures import Instances

BOX, SCORE, MASK = 1e-2, 1e-4, 1e-4

_LAST_OF_HEADS = (
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


def make_lively(
    model: InstanceSegmenter | SemanticSegmenter, picture: np.ndarray, seed: int = 0
) -> None:
    """Give a random model norms that are not 0 and 1, scores that differ and masks with holes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.normal_(std=0.1, generator=generator)
                module.running_mean.normal_(std=0.1, generator=generator)
                module.running_var.uniform_(0.7, 1.4, generator=generator)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                if name.startswith("backbone.") and module.bias is not None:
                    # as trained ones: else padding is all zeros, and VGG's SSD level, which is
                    # divided by its length, makes something of any rounding there
                    module.bias.normal_(std=0.1, generator=generator)
                elif name in _LAST_OF_HEADS:
                    module.weight.normal_(std=0.5, generator=generator)
    if isinstance(model, InstanceSegmenter):
        _spread_predictions(model, picture)


def _spread_predictions(model: InstanceSegmenter, picture: np.ndarray) -> None:
    """Scale the last layers of the detector by what they give for a picture."""
    hooks = []
    scaled: set[nn.Module] = set()

    def scale(module: nn.Module, _: object, result: Tensor) -> Tensor:
        if module in scaled or result.numel() < 2:
            return result
        scaled.add(module)
        centre = result.mean(dim=0, keepdim=True) if result.ndim == 2 else result.mean()
        # random features of boxes differ little: a larger factor would enlarge rounding too
        spread = 0.25 if result.ndim == 2 else _SPREAD[names[module]]
        factor = spread / (result - centre).std()
        module.weight.mul_(factor)
        if result.ndim == 2:  # else one class, or none, has all boxes
            module.bias.sub_(module.forward(inputs[module]).mean(dim=0))
        return module.forward(inputs[module])

    def remember(module: nn.Module, arguments: tuple) -> None:
        inputs[module] = arguments[0]

    names: dict[nn.Module, str] = {}
    inputs: dict[nn.Module, Tensor] = {}
    for name, module in model.named_modules():
        parts = [part for part in name.split(".") if part in _SPREAD]
        if name.startswith("detector.") and parts and isinstance(module, nn.Conv2d | nn.Linear):
            names[module] = parts[0]
            hooks += [
                module.register_forward_pre_hook(remember),
                module.register_forward_hook(scale),
            ]
    model.predict(model.collate([picture]))
    for hook in hooks:
        hook.remove()


def require_same(found: list[Instances], expected: list[Instances]) -> None:
    """Fail unless the results agree picture by picture; equal scores may change places."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.image_size == theirs.image_size
        assert len(ours) == len(theirs)
        if not len(theirs):
            continue
        order = _matching(ours, theirs)
        matched = ours[order]
        assert torch.equal(matched.labels, theirs.labels)
        assert float((matched.boxes - theirs.boxes).abs().max()) <= BOX
        assert matched.scores is not None
        assert theirs.scores is not None
        assert float((matched.scores - theirs.scores).abs().max()) <= SCORE
        if theirs.masks is not None:
            assert matched.masks is not None
            _require_same_masks(matched, theirs)


def _matching(ours: Instances, theirs: Instances) -> torch.Tensor:
    """Which of ours is each of theirs: the nearest box of the same class, each once."""
    distance = torch.cdist(theirs.boxes, ours.boxes, p=1)
    distance[theirs.labels[:, None] != ours.labels] = torch.inf
    order = distance.argmin(dim=1)
    assert len(order.unique()) == len(order), "two objects are nearest to one"
    return order


def _require_same_masks(ours: Instances, theirs: Instances) -> None:
    # over all objects: one pixel may be more than its share of a single small picture
    assert ours.masks is not None
    assert theirs.masks is not None
    assert (ours.masks.to_dense() != theirs.masks.to_dense()).mean() <= MASK
