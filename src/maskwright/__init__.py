"""Instance segmentation with exact masks: any detector under any mask head.

    import maskwright as mw

    model = mw.load("run/best.safetensors")
    result = model.predict("street.jpg")     # Instances: boxes, labels, names, scores, masks
    result.save_overlay("street.png")

Importing this package loads nothing heavy; each name below is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskwright.data import Dataset, check_dataset, open_dataset, read_image, split_dataset
    from maskwright.errors import MaskwrightError
    from maskwright.evaluation import evaluate
    from maskwright.inference import Ensemble, Predictor, load
    from maskwright.kept_memory import keep_memory
    from maskwright.masks import Masks
    from maskwright.model import InstanceSegmenter
    from maskwright.recipes import train
    from maskwright.structures import Instances

__version__ = "0.1.0"

_HOMES = {
    "Dataset": "maskwright.data",
    "Ensemble": "maskwright.inference",
    "InstanceSegmenter": "maskwright.model",
    "Instances": "maskwright.structures",
    "Masks": "maskwright.masks",
    "MaskwrightError": "maskwright.errors",
    "Predictor": "maskwright.inference",
    "check_dataset": "maskwright.data",
    "evaluate": "maskwright.evaluation",
    "keep_memory": "maskwright.kept_memory",
    "load": "maskwright.inference",
    "open_dataset": "maskwright.data",
    "read_image": "maskwright.data",
    "split_dataset": "maskwright.data",
    "train": "maskwright.recipes",
}

_PACKAGES = ("data", "recipes")
"""Subpackages that can be used without an import of their own: `mw.recipes.compare(...)`."""

__all__ = [
    "Dataset",
    "Ensemble",
    "InstanceSegmenter",
    "Instances",
    "Masks",
    "MaskwrightError",
    "Predictor",
    "check_dataset",
    "evaluate",
    "keep_memory",
    "load",
    "open_dataset",
    "read_image",
    "split_dataset",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if name in _PACKAGES:
        return import_module(f"maskwright.{name}")
    from maskwright.errors import nearest_name

    raise AttributeError(f"maskwright has no {name!r}.{nearest_name(name, __all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
