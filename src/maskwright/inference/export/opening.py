"""The model of an exported folder, whatever was written to it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from maskwright.inference.export.end_to_end.runtime import EndToEndSegmenter
from maskwright.inference.export.folder import read_header
from maskwright.inference.export.runtime import (
    ExportedSegmenter,
    ExportedSemanticSegmenter,
    load_exported,
    runtime_for,
)
from maskwright.inference.export.sessions import open_session

__all__ = ["open_exported"]


def open_exported(
    folder: str | os.PathLike[str], runtime: str = "auto", device: torch.device | None = None
) -> ExportedSegmenter | ExportedSemanticSegmenter | EndToEndSegmenter:
    """Return the exported model of a folder.

    Args:
        folder: That `maskwright export` wrote.
        runtime: See `load_exported`; end-to-end graphs run in ONNX Runtime.
        device: Where it runs; None means the cpu.

    Raises:
        CheckpointError: Parts are missing or damaged, it is of another version, or the runtime
            cannot read it.
        ConfigError: A runtime that does not read the folder's format, or not on that device.
    """
    folder = Path(folder)
    header = read_header(folder)
    if not header.end_to_end:
        return load_exported(folder, runtime, device)
    (graph,) = header.graphs.values()
    session = open_session(
        runtime_for(folder, header, runtime),
        folder / next(iter(graph.files)),
        device or torch.device("cpu"),
        (*graph.outputs,),
    )
    return EndToEndSegmenter(header, session)
