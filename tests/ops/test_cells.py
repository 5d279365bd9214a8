from __future__ import annotations

import torch

from maskwright.ops import decode_distances, encode_distances, grid_cells


def test_cells_tile_the_picture_and_reach_over_its_edge() -> None:
    cells = grid_cells({16: torch.zeros(2, 1, 2, 3), 8: torch.zeros(2, 1, 3, 5)})
    assert len(cells) == 3 * 5 + 2 * 3
    assert cells.strides.tolist() == [8.0] * 15 + [16.0] * 6
    assert cells.centres[5].tolist() == [4.0, 12.0]
    assert cells.centres[-1].tolist() == [40.0, 24.0]


def test_decoding_and_encoding_undo_each_other() -> None:
    cells = grid_cells({4: torch.zeros(1, 1, 6, 7), 32: torch.zeros(1, 1, 1, 1)})
    generator = torch.Generator().manual_seed(0)
    distances = torch.rand((3, len(cells), 4), generator=generator) * 16
    boxes = decode_distances(distances, cells)
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    torch.testing.assert_close(encode_distances(boxes, cells), distances)
    alone = decode_distances(distances[1, 5:6], cells[torch.tensor([5])])
    assert torch.equal(alone, boxes[1, 5:6])


def test_no_cells_give_no_boxes() -> None:
    cells = grid_cells({8: torch.zeros(1, 1, 2, 2)})[torch.zeros(4, dtype=torch.bool)]
    assert len(cells) == 0
    assert decode_distances(torch.zeros(0, 4), cells).shape == (0, 4)
    assert encode_distances(torch.zeros(0, 4), cells).shape == (0, 4)
