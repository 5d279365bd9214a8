"""A model as graphs without a folder of the user's: kept in the cache, or for one process.

Exporting takes a minute. The graphs are kept in the cache folder (`maskwright.data.cache`,
MASKWRIGHT_CACHE), found by the model's weights and options and by versions, and checked against
their checksums whenever they are opened; what was not used for 60 days is removed. Where the cache
is off or cannot be written to, they are gone when they are open.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from maskwright.data.cache import cache_folder
from maskwright.errors import CheckpointError, DataError
from maskwright.files import new_folder
from maskwright.inference.export.agreement import compare_outputs, require_equal_outputs
from maskwright.inference.export.runtime import (
    ExportedSegmenter,
    ExportedSemanticSegmenter,
    load_exported,
)
from maskwright.inference.export.writing import write_exported
from maskwright.model import Model
from maskwright.model.config import config_to_dict

__all__ = ["export_and_load", "kept_graphs"]

_UNUSED_SECONDS = 60 * 24 * 3600.0
_PACKAGES = ("maskwright", "torch", "onnx", "onnxscript", "openvino")

_Format = Literal["onnx", "openvino"]


def export_and_load(model: Model, to: _Format) -> ExportedSegmenter | ExportedSemanticSegmenter:
    """Return what runs the model in that runtime; the first time takes a minute.

    Raises:
        ConfigError: The model cannot be exported.
        MaskwrightError: A graph does not compute what the model does.
        MissingExtraError: The runtime is not installed.
    """
    kept = kept_graphs(model, to)
    if kept is not None and kept.is_dir():
        try:
            found = load_exported(kept, to, model.device)
        except CheckpointError:  # damaged: made anew
            shutil.rmtree(kept, ignore_errors=True)
        else:
            with suppress(OSError):
                os.utime(kept)  # in use
            return found
    if kept is not None:
        with suppress(OSError):  # a cache that cannot be written to
            return _export_to(kept, model, to)
    with tempfile.TemporaryDirectory() as folder:
        return _export(Path(folder), model, to)


def kept_graphs(model: Model, to: _Format) -> Path | None:
    """Return where the cache keeps the graphs of a model, which need not be there; None: off."""
    folder = cache_folder()
    if folder is None:
        return None
    code = hashlib.blake2b(digest_size=16)
    known = {
        "to": to,
        "config": config_to_dict(model.config),
        "class_names": model.class_names,
        "category_ids": model.category_ids,
        "versions": {name: _version(name) for name in _PACKAGES},
    }
    code.update(json.dumps(known, sort_keys=True, default=str).encode())
    for name, tensor in model.state_dict().items():
        code.update(name.encode())
        code.update(tensor.detach().cpu().contiguous().flatten().numpy().view("u1"))
    return folder / "graphs" / code.hexdigest()


def _export_to(
    kept: Path, model: Model, to: _Format
) -> ExportedSegmenter | ExportedSemanticSegmenter:
    _remove_unused(kept.parent)
    # DataError: another process has just written it
    with suppress(DataError), new_folder(kept) as partial:
        _export(partial, model, to)
    return load_exported(kept, to, model.device)


def _export(
    folder: Path, model: Model, to: _Format
) -> ExportedSegmenter | ExportedSemanticSegmenter:
    write_exported(model, folder, to)
    found = load_exported(folder, to, model.device)
    if model.device.type == "cpu":
        require_equal_outputs(compare_outputs(model, found), folder)
    return found


def _remove_unused(folder: Path) -> None:
    oldest = time.time() - _UNUSED_SECONDS
    if not folder.is_dir():
        return
    for each in folder.iterdir():
        with suppress(OSError):
            if each.stat().st_mtime < oldest:
                shutil.rmtree(each, ignore_errors=True)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
