"""A model as graphs for one process, written to a folder that is gone when they are open."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from maskwright.inference.export.runtime import (
    ExportedSegmenter,
    ExportedSemanticSegmenter,
    load_exported,
)
from maskwright.inference.export.writing import write_exported
from maskwright.model import Model

__all__ = ["export_and_load"]


def export_and_load(
    model: Model, to: Literal["onnx", "openvino"]
) -> ExportedSegmenter | ExportedSemanticSegmenter:
    """Return what runs the model in that runtime; takes a minute and the model's size on disk.

    Raises:
        ConfigError: The model cannot be exported.
        MissingExtraError: The runtime is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_exported(model, Path(folder), to)
        return load_exported(folder, to, model.device)
