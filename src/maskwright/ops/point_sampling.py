"""Points at which masks are learnt: most of them where the network is least sure.

PointRend: Image Segmentation as Rendering, Kirillov et al. 2020,
https://arxiv.org/abs/1912.08193, section 3.1, "Training". Deviation: points are not drawn one by
one but are those of the R2 sequence (Roberts 2018, a two-dimensional golden ratio), moved by one
random shift a call, as in Cranley and Patterson's rotation. They cover a box more evenly than
independent draws, and a batch learns at the points at which its pictures would alone.

Shapes: n RoIs, c candidates, p points, s cells of a crop per side. A point is (x, y) in [0, 1) of
its box.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["sample_crops", "spread_points", "uncertain_points"]

_PLASTIC = 1.32471795724474602596
"""The real root of x^3 = x + 1: its powers step the R2 sequence."""

_OVERSAMPLING = 3
"""The paper's k: so many candidates for each point."""

_IMPORTANCE = 0.75
"""The paper's beta: this part of the points are the least sure candidates."""


def spread_points(count: int, shift: Float[Tensor, " 2"]) -> Float[Tensor, "p 2"]:
    """Return `count` points of the R2 sequence in [0, 1), moved by `shift` around the borders.

    >>> spread_points(2, torch.zeros(2))
    tensor([[0.7549, 0.5698],
            [0.5098, 0.1397]])
    """
    index = torch.arange(1, count + 1, dtype=torch.float64, device=shift.device)
    steps = torch.tensor([1 / _PLASTIC, 1 / _PLASTIC**2], dtype=torch.float64, device=shift.device)
    points = (index[:, None] * steps + shift.double()) % 1.0
    return points.float().clamp(max=1.0 - 1e-6)  # 1 after rounding is outside


@torch.no_grad()
def uncertain_points(
    logits_at: Callable[[Float[Tensor, "n c 2"]], Float[Tensor, "n c"]],
    num_rois: int,
    num_points: int,
    *,
    device: torch.device | None = None,
) -> Float[Tensor, "n p 2"]:
    """Return points of each RoI: three in four where its logit is nearest to 0.

    The others cover the box evenly, so that no part is forgotten.

    Args:
        logits_at: Returns the mask logits at points; called once, without gradients.
        num_rois: n; for 0 `logits_at` is not called.
        num_points: p.
        device: Where the points are made.
    """
    if not num_rois:
        return torch.zeros((0, num_points, 2), device=device)
    num_sure = int(_IMPORTANCE * num_points)
    num_candidates = _OVERSAMPLING * num_points
    spread = spread_points(
        num_candidates + num_points - num_sure, torch.rand(2, device=device)
    )  # (c + the others, 2)
    candidates = spread[:num_candidates].expand(num_rois, -1, -1)
    nearest = logits_at(candidates).abs().topk(num_sure, dim=1, largest=False).indices
    chosen = candidates.gather(1, nearest[..., None].expand(-1, -1, 2))
    others = spread[num_candidates:].expand(num_rois, -1, -1)
    return torch.cat((chosen, others), dim=1)


def sample_crops(
    crops: Float[Tensor, "n s s"], points: Float[Tensor, "n p 2"]
) -> Float[Tensor, "n p"]:
    """Return the crops at points, bilinearly; a cell's value is at its centre.

    Beyond the outermost centres the border's value goes on.

    >>> ramp = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    >>> sample_crops(ramp, torch.tensor([[[0.25, 0.5], [0.5, 0.5], [1.0, 0.5]]]))
    tensor([[0.0000, 0.5000, 1.0000]])
    """
    grid = (2.0 * points - 1.0)[:, None]  # (n, 1, p, 2)
    found = F.grid_sample(
        crops[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found[:, 0, 0]
