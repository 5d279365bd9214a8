"""What each format can hold, and datasets as plain values to compare."""

from __future__ import annotations

from pathlib import Path

from maskwright.data import Dataset

# Formats that are written -> the difficulties they hold without loss.
HOLDS = {
    "coco": {"hole", "parts", "overlap", "crowd"},
    "lvis": {"hole", "parts", "overlap"},
    "yolo": {"overlap"},
    "labelme": {"hole", "parts", "overlap", "crowd"},
    "voc": {"hole", "parts", "crowd"},
    "cityscapes": {"hole", "parts", "crowd"},
    "cvat": {"hole", "parts", "overlap", "crowd"},
    "labelstudio": {"hole", "parts", "overlap", "crowd"},
    "via": {"overlap", "crowd"},
    "geojson": {"hole", "parts", "overlap", "crowd"},
    "masks": {"hole", "parts", "overlap", "crowd"},
    "labelmap": {"hole", "parts", "crowd"},
    "csv": {"hole", "parts", "overlap", "crowd"},
}


def objects(dataset: Dataset) -> dict[str, list[tuple[str, bool, bytes]]]:
    """Return class, crowd mark and mask of all objects by the stem of their picture, sorted."""
    found = {}
    for i, name in enumerate(dataset.file_names):
        targets = dataset.targets(i)
        assert targets.masks is not None
        assert targets.is_crowd is not None
        stem = Path(name).stem.removesuffix("_leftImg8bit")
        found[stem] = sorted(
            (targets.names[k], bool(targets.is_crowd[k]), targets.masks[k].runs.tobytes())
            for k in range(len(targets))
        )
    return found
