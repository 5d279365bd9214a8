"""A generated dataset of two parts without any defect, to plant some in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from maskwright.masks import Masks

_SIZE = (96, 128)


@pytest.fixture(scope="session")
def clean_parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], Path]:
    """COCO dictionaries of 150 and 50 pictures of smooth noise with eight shapes, two classes."""
    folder = tmp_path_factory.mktemp("clean")
    rng = np.random.default_rng(5)
    parts = []
    for start, count in ((0, 150), (150, 50)):
        images, annotations = [], []
        for identity in range(start + 1, start + count + 1):
            name = f"{identity}.png"
            Image.fromarray(_ground(rng)).save(folder / name)
            height, width = _SIZE
            images.append({"id": identity, "file_name": name, "height": height, "width": width})
            for k in range(8):
                polygon = _shape(rng, 16 + 32 * (k % 4), 24 + 48 * (k // 4))
                mask = Masks.from_polygons([[polygon]], _SIZE)
                x1, y1, x2, y2 = mask.boxes[0].tolist()
                annotations.append(
                    {
                        "id": 1000 * identity + k,
                        "image_id": identity,
                        "category_id": 1 + k % 2,
                        "segmentation": [polygon],
                        "area": float(mask.area[0]),
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "iscrowd": 0,
                    }
                )
        categories = [{"id": 1, "name": "leaf"}, {"id": 2, "name": "pebble"}]
        parts.append({"images": images, "annotations": annotations, "categories": categories})
    return parts, folder


def _ground(rng: np.random.Generator) -> np.ndarray:
    """A picture of colours that change slowly: no two look alike."""
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (_SIZE[1], _SIZE[0]), interpolation=cv2.INTER_CUBIC)


def _shape(rng: np.random.Generator, x: float, y: float) -> list[float]:
    """A star-shaped polygon about a point, which cannot cross itself."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, 30))
    radii = rng.uniform(11, 15, 30)
    points = np.stack([x + radii * np.cos(angles), y + 1.3 * radii * np.sin(angles)], axis=1)
    return points.round(2).ravel().tolist()
