"""A small dataset on disk that each test may bend before it is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Content = dict[str, Any]


@pytest.fixture
def content() -> Content:
    """Three pictures of 8 x 10 (one without objects), two classes, every form of mask."""
    # Columns first, background first: rows 2 to 4 of column 1 in an 8 x 10 picture.
    counts = [10, 3, 67]
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "height": 8, "width": 10},
            {"id": 3, "file_name": "b.png", "height": 8, "width": 10},
            {"id": 5, "file_name": "c.png", "height": 8, "width": 10},
        ],
        "categories": [{"id": 90, "name": "zebra"}, {"id": 4, "name": "apple"}],
        "annotations": [
            {
                "id": 100,
                "image_id": 3,
                "category_id": 90,
                "iscrowd": 0,
                "area": 12.0,
                "bbox": [1.0, 1.0, 4.0, 3.0],
                "segmentation": [[1.0, 1.0, 5.0, 1.0, 5.0, 4.0, 1.0, 4.0]],
            },
            {
                "id": 101,
                "image_id": 7,
                "category_id": 4,
                "iscrowd": 1,
                "area": 2.5,
                "bbox": [1.0, 2.0, 1.0, 2.0],
                "segmentation": {"size": [8, 10], "counts": counts},
            },
            {
                "id": 99,
                "image_id": 3,
                "category_id": 4,
                "iscrowd": 0,
                "area": 3.0,
                "bbox": [1.0, 2.0, 1.0, 3.0],
                "segmentation": {"size": [8, 10], "counts": ":3S2"},
            },
        ],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Content], Path]:
    """Write a json and its pictures; returns the json's path."""

    def _write(content: Content) -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        for image in content["images"]:
            pixels = rng.integers(0, 256, (image["height"], image["width"], 3), dtype=np.uint8)
            path = tmp_path / "images" / image["file_name"]
            path.parent.mkdir(exist_ok=True, parents=True)
            Image.fromarray(pixels).save(path)
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return path

    return _write
