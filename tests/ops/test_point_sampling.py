from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from maskwright.ops import sample_crops, spread_points, uncertain_points


def test_spread_points_cover_the_box_evenly_wherever_they_start() -> None:
    for shift in (torch.zeros(2), torch.tensor([0.37, 0.91])):
        points = spread_points(400, shift)
        assert ((points >= 0) & (points < 1)).all()
        counts, _, _ = np.histogram2d(*points.T.numpy(), bins=10, range=((0, 1), (0, 1)))
        assert counts.min() >= 2  # of 4 each; independent draws leave cells empty
        assert counts.max() <= 7
    assert spread_points(0, torch.zeros(2)).shape == (0, 2)


def test_crops_are_read_bilinearly_between_the_centres_of_cells() -> None:
    rng = np.random.default_rng(0)
    crops, points = rng.normal(size=(3, 8, 8)), rng.random((3, 50, 2))
    found = sample_crops(torch.from_numpy(crops), torch.from_numpy(points))
    for crop, point, values in zip(crops, points, found, strict=True):
        where = point[:, ::-1].T * 8 - 0.5  # (y, x) in cells
        expected = map_coordinates(crop, where, order=1, mode="nearest")
        np.testing.assert_allclose(values, expected, atol=1e-6)


def test_most_points_lie_where_the_logit_is_near_zero() -> None:
    ramp = torch.linspace(-8, 8, 28).expand(2, 28, 28)  # undecided at x = 0.5
    torch.manual_seed(0)
    points = uncertain_points(lambda at: sample_crops(ramp, at), 2, 100)
    assert points.shape == (2, 100, 2)
    near = (points[..., 0] - 0.5).abs() < 0.15
    assert (near.sum(dim=1) >= 75).all()
    far = points[~near]
    assert len(far) >= 20  # the rest of the box is not forgotten
    assert far[:, 0].min() < 0.1
    assert far[:, 0].max() > 0.9


def test_the_same_seed_gives_the_same_points_and_a_batch_those_of_its_pictures() -> None:
    crops = torch.randn(5, 14, 14, generator=torch.Generator().manual_seed(0))

    def points_of(chosen: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return uncertain_points(lambda at: sample_crops(chosen, at), len(chosen), 40)

    together = points_of(crops)
    assert torch.equal(points_of(crops), together)
    assert torch.equal(torch.cat((points_of(crops[:2]), points_of(crops[2:]))), together)


def test_no_rois_have_no_points() -> None:
    assert uncertain_points(lambda at: at[..., 0], 0, 12).shape == (0, 12, 2)
