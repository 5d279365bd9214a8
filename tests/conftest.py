"""Fixtures that every test may use."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# The user's cache is not the tests' to fill; those of the cache name one of their own.
os.environ["MASKWRIGHT_CACHE"] = "off"

_SIZE = 64
_PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The developers' real pictures, beside the project; the test is skipped without them."""
    folder = _PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the developers' real pictures are not on this machine")
    return folder


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of one or two bright discs on a dark ground; two are empty."""
    from maskwright.masks import Masks

    folder = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:_SIZE, :_SIZE] + 0.5
    images, annotations = [], []
    for image_id in range(1, 13):
        picture = rng.integers(0, 60, (_SIZE, _SIZE, 3), dtype=np.uint8)
        for _ in range(0 if image_id % 6 == 0 else 2):
            x, y, radius = *rng.uniform(14, 50, 2), rng.uniform(8, 14)
            disc = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
            picture[disc] = (220, 180, 60)
            masks = Masks.from_dense(disc[None])
            x1, y1, x2, y2 = masks.boxes[0].tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 7,
                    "segmentation": masks.to_coco()[0],
                    "area": int(masks.area[0]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": 0,
                }
            )
        name = f"{image_id}.png"
        Image.fromarray(picture).save(folder / name)
        images.append({"id": image_id, "file_name": name, "height": _SIZE, "width": _SIZE})
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 7, "name": "disc"}],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(document))
    return path
