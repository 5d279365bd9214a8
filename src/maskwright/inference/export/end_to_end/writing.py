"""Writes the folder of an end-to-end export, of a folder of graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from maskwright.inference.export.end_to_end.assembling import INPUTS, OUTPUTS, assemble
from maskwright.inference.export.end_to_end.instructions import write_instructions
from maskwright.inference.export.folder import (
    ExportHeader,
    GraphFiles,
    checksum,
    read_header,
    write_header,
)

__all__ = ["WHOLE", "write_end_to_end"]

WHOLE = "model"
"""Name of the one graph."""


def write_end_to_end(parts: Path, folder: Path, *, full_masks: bool) -> ExportHeader:
    """Write `model.onnx`, `config.json` and a README.

    Args:
        parts: A folder of the model's graphs in ONNX, which stays as it is.
        folder: Exists; nothing is checked or tidied up here.
        full_masks: Whether the graph also gives masks of the size of the pictures.

    Returns:
        What was written to `config.json`.

    Raises:
        CheckpointError: Parts are missing or damaged.
        ConfigError: A model that cannot be one graph.
        MaskwrightError: Graphs of several sets of operators.
    """
    import onnx

    header = read_header(parts)
    model = assemble(parts, header, full_masks=full_masks)
    path = folder / f"{WHOLE}.onnx"
    onnx.save(model, path)
    given = [each.name for each in model.graph.output]
    whole = GraphFiles(
        files={path.name: checksum(path)},
        inputs={name: _lengths(sides) for name, (_, sides) in INPUTS.items()},
        outputs={name: _lengths(OUTPUTS[name][1]) for name in given},
        precision=header.precision,
    )
    header = replace(header, graphs={WHOLE: whole}, end_to_end=True)
    write_header(folder, header)
    write_instructions(folder, header)
    return header


def _lengths(sides: tuple[str | int, ...]) -> list[int | None]:
    return [side if isinstance(side, int) else None for side in sides]
