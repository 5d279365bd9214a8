"""Which proposals of a picture are learnt from, and what they are to learn.

Shapes: n proposals, s sampled boxes, p positive ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maskwright.ops import Sampler, match_targets
from maskwright.structures import Instances, Rois

__all__ = ["SampledBoxes", "sample_proposals"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledBoxes:
    """The boxes of one picture that are learnt from.

    Args:
        boxes: Positives and background, in their order among the proposals.
        labels: Class of each, -1 for background.
        rois: The positive ones, with their targets.
    """

    boxes: Float[Tensor, "s 4"]
    labels: Int64[Tensor, " s"]
    rois: Rois

    def __len__(self) -> int:
        return len(self.boxes)


def sample_proposals(
    proposals: Float[Tensor, "n 4"],
    target: Instances,
    *,
    foreground: float,
    background: float,
    sampler: Sampler,
) -> SampledBoxes:
    """Match the proposals of one picture to its objects, and draw some of them.

    The true boxes are proposals too, so that there is something to learn from the start; crowds
    are not, and what lies in one is no background.

    Args:
        proposals: In pixels of the batch.
        target: The true objects.
        foreground: IoU from which on a box belongs to an object.
        background: IoU below which it is background; between the two it is ignored.
        sampler: Draws from the matches.

    >>> target = Instances(
    ...     image_size=(9, 9), boxes=torch.tensor([[0.0, 0, 4, 4]]), labels=torch.tensor([2]))
    >>> def all_of_them(matched):
    ...     return torch.where(matched >= 0)[0], torch.where(matched == -1)[0]
    >>> sample_proposals(torch.tensor([[5.0, 5, 9, 9]]), target, foreground=0.5, background=0.5,
    ...                  sampler=all_of_them).labels
    tensor([-1,  2])
    """
    single = target.boxes if target.is_crowd is None else target.boxes[~target.is_crowd]
    boxes = torch.cat((proposals, single.to(proposals)))
    matched = match_targets(boxes, target, foreground=foreground, background=background)
    chosen = torch.cat(sampler(matched)).sort().values
    boxes, matched = boxes[chosen], matched[chosen]
    positive = matched >= 0
    labels = torch.full_like(matched, -1)
    labels[positive] = target.labels[matched[positive]]
    rois = Rois(boxes=boxes[positive], labels=labels[positive], matched=matched[positive])
    return SampledBoxes(boxes=boxes, labels=labels, rois=rois)
