"""Random models that find objects, and the bounds within which runtimes must agree.

Every runtime in float32 predicts what the model does in PyTorch: boxes within 0.01 px, scores
within 0.0001, masks but for one pixel of 10,000.
"""

from __future__ import annotations

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from maskwright.structures import Instances

_BOX, _SCORE, _MASK = 1e-2, 1e-4, 1e-4

_SHARPER = {
    "objectness": 20.0,
    "deltas": 5.0,
    "regressor": 5.0,
    "classifier": 40.0,  # of detectors with proposals
    "head": 300.0,  # YOLO's, which begins with scores of 0.01
}
"""By how much the last layers of random detectors are scaled, until scores and boxes differ."""


def make_lively(model: nn.Module, seed: int = 0) -> None:
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
                if name.startswith("detector."):
                    module.weight.mul_(_sharper(name))
                elif name in ("mask_head.logits", "mask_head.coefficients.3"):
                    module.weight.normal_(std=0.5, generator=generator)


def _sharper(name: str) -> float:
    *_, owner, last = name.split(".")
    key = owner if owner == "head" and last == "classifier" else last
    return _SHARPER.get(key, 1.0)


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
        assert float((matched.boxes - theirs.boxes).abs().max()) <= _BOX
        assert matched.scores is not None
        assert theirs.scores is not None
        assert float((matched.scores - theirs.scores).abs().max()) <= _SCORE
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
    one, other = ours.masks.to_dense(), theirs.masks.to_dense()
    assert (one != other).mean() <= _MASK
    if one.shape[1] * one.shape[2] >= 10_000:
        assert ((one != other).mean(axis=(1, 2)) <= _MASK).all()
