"""The bounds within which runtimes must agree.

Every runtime in float32 predicts what the model does in PyTorch: boxes within 0.01 px, scores
within 0.0001, masks but for one pixel of 10,000.
"""

from __future__ import annotations

import torch

from maskwright.structures import Instances

BOX, SCORE, MASK = 1e-2, 1e-4, 1e-4


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
