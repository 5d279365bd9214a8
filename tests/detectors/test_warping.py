from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from maskwright.detectors.warping import warp_boxes
from maskwright.errors import ConfigError


def _picture() -> torch.Tensor:
    return torch.rand((1, 3, 40, 50), generator=torch.Generator().manual_seed(0))


def test_a_box_of_the_size_of_its_place_is_copied_with_its_surroundings() -> None:
    picture = _picture()
    crop = warp_boxes(picture, [torch.tensor([[12.0, 9.0, 22.0, 19.0]])], size=16, context=3)
    torch.testing.assert_close(crop, picture[:, :, 6:22, 9:25])


def test_aspect_is_given_up_and_pixels_are_averaged_where_they_are_many() -> None:
    picture = _picture()
    crop = warp_boxes(picture, [torch.tensor([[0.0, 0.0, 48.0, 32.0]])], size=16)
    averaged = picture[0, :, :32, :48].reshape(3, 16, 2, 16, 3).mean(dim=(2, 4))
    torch.testing.assert_close(crop[0], averaged)


def test_enlarged_boxes_are_interpolated_as_opencv_does_it() -> None:
    picture = _picture()
    box = torch.tensor([[10.0, 10.0, 18.0, 26.0]])
    crop = warp_boxes(picture, [box], size=32)[0].permute(1, 2, 0).numpy()
    pixels = np.ascontiguousarray(picture[0, :, 8:28, 8:20].permute(1, 2, 0))
    wider = cv2.resize(pixels, (48, 40), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(crop, wider[4:36, 8:40], atol=1e-5)


def test_beyond_the_border_there_is_nothing() -> None:
    crop = warp_boxes(
        torch.ones(1, 1, 8, 8), [torch.tensor([[0.0, 0.0, 8.0, 8.0]])], size=16, context=4
    )
    assert (crop[0, 0, 4:12, 4:12] == 1).all()
    assert not crop[0, 0, :3].any()
    assert not crop[0, 0, :, -3:].any()


def test_crops_come_picture_after_picture_and_no_boxes_give_none() -> None:
    pictures = torch.stack([torch.full((3, 9, 9), value) for value in (1.0, 2.0, 3.0)])
    box = torch.tensor([[2.0, 2.0, 5.0, 6.0]])
    crops = warp_boxes(pictures, [box, box[:0], box.repeat(2, 1)], size=4)
    assert crops[:, 0, 0, 0].tolist() == [1.0, 3.0, 3.0]
    assert warp_boxes(pictures, [box[:0]] * 3, size=4).shape == (0, 3, 4, 4)


def test_a_context_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at most 7 fit"):
        warp_boxes(_picture(), [torch.zeros(0, 4)], size=16, context=8)
