"""A made-up dataset with every difficulty a mask can have, opened from COCO."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwright.data import Dataset, open_dataset
from maskwright.masks import Masks

_HEIGHT, _WIDTH = 37, 53
_NAMES = ("traffic light", "cat", "Müll/Tonne")


def mask_kinds() -> dict[str, np.ndarray]:
    """Dense masks of one picture by what is special about each; none overlap but the last two."""
    empty = np.zeros((_HEIGHT, _WIDTH), bool)
    simple, hole, parts, corner, border, overlap, crowd = (empty.copy() for _ in range(7))
    simple[3:9, 4:12] = True
    simple[5, 12:15] = True
    hole[12:24, 3:17] = True
    hole[15:19, 6:10] = False
    hole[20, 12] = False
    parts[2:6, 20:25] = parts[9:13, 30:34] = parts[20, 40] = True
    for i in range(5):
        corner[26 + i, 5 + i] = True
    border[:, _WIDTH - 1] = border[_HEIGHT - 1, 30:] = True
    overlap[7:11, 28:33] = True
    crowd[28:34, 20:28] = True
    return {
        "simple": simple,
        "hole": hole,
        "parts": parts,
        "corner": corner,
        "border": border,
        "crowd": crowd,
        "overlap": overlap,
    }


def make(folder: Path, kinds: list[str]) -> Dataset:
    """Write and open two pictures with these masks, and one without objects."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    dense = mask_kinds()
    images, annotations = [], []
    for image_id in (1, 2, 3):
        pixels = rng.integers(0, 256, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"p{image_id}.png")
        images.append(
            {"id": image_id, "file_name": f"p{image_id}.png", "height": _HEIGHT, "width": _WIDTH}
        )
        for k, kind in enumerate(kinds if image_id < 3 else []):
            masks = Masks.from_dense(dense[kind][None, :, :: 1 if image_id == 1 else -1])
            x1, y1, x2, y2 = masks.boxes[0].tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 10 * (k % 3),
                    "segmentation": masks.to_coco()[0],
                    "area": int(masks.area[0]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": int(kind == "crowd"),
                }
            )
    categories = [{"id": 10 * i, "name": name} for i, name in enumerate(_NAMES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document))
    return open_dataset(folder)


@pytest.fixture
def simple(tmp_path: Path) -> Path:
    """A folder in COCO form whose masks every format can express."""
    make(tmp_path / "simple", ["simple", "border"])
    return tmp_path / "simple"
