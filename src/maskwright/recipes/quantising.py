"""Exported graphs in int8, with as few groups of layers in float32 as the scores allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskwright.data import Dataset
from maskwright.inference import Predictor
from maskwright.inference.export.folder import (
    ExportHeader,
    GraphFiles,
    checksum,
    read_header,
    write_header,
)
from maskwright.inference.export.instructions import write_instructions
from maskwright.inference.export.quantising import GROUPS, RecordingSession, quantise
from maskwright.inference.export.runtime import load_exported
from maskwright.inference.export.sessions import Format
from maskwright.inference.export.writing import onnx_to_openvino
from maskwright.recipes.parity import (
    Parity,
    Reference,
    ShowProgress,
    allowed_drop,
    measure_folder,
    require_parity,
)

__all__ = ["write_quantised"]

_CALIBRATION_PICTURES = 100
"""NNCF takes 300 by default; ranges of activations settle earlier, and each costs a run."""

_Samples = Mapping[str, Sequence[Mapping[str, np.ndarray]]]


def write_quantised(
    source: Path,
    folder: Path,
    to: Format,
    calibrate: Dataset,
    reference: Reference | None,
    max_drop: float | None,
    out: Path,
    progress: ShowProgress | None,
) -> tuple[ExportHeader, Parity | None]:
    """Write the int8 graphs of a float32 export into another folder.

    Everything is quantised at first. While a score falls by more than is allowed, one more of
    `GROUPS` stays in float32. Without a reference all are quantised.

    Args:
        source: The float32 export, in ONNX.
        folder: Where to write.
        to: "onnx" or "openvino".
        calibrate: Pictures to learn ranges from, evenly drawn.
        reference: Of the model, to score against.
        max_drop: See `require_parity`.
        out: The folder that the user named, for messages.
        progress: See `ShowProgress`.

    Raises:
        EvaluationError: Scores fall too much whatever stays in float32; names pictures and layers.
    """
    samples = _samples(source, calibrate)
    allowed = allowed_drop(max_drop, "int8")
    parity = None
    for count in range(len(GROUPS) + 1):
        header = _write(source, folder, to, samples, GROUPS[:count])
        if reference is None:
            return header, None
        parity = measure_folder(reference, folder, progress)
        if parity.drop <= allowed:
            return header, parity
        _remove(folder, header)
    assert parity is not None
    header = _write(source, folder, to, samples, ())
    errors = ", ".join(f"{name} by {error:.2g}" for name, error in _errors(source, folder, samples))
    hint = (
        f"; and so it stayed with {', '.join(GROUPS)} in float32. Outputs that int8 moves most, as "
        f"parts of their largest value: {errors}"
    )
    require_parity(parity, max_drop, out, "int8", hint)
    raise AssertionError("a drop above the allowed one was let through")


def _samples(source: Path, calibrate: Dataset) -> _Samples:
    """Return what each graph is given on the pictures."""
    plain = load_exported(
        source, wrap=lambda session: RecordingSession(session, _CALIBRATION_PICTURES)
    )
    predictor = Predictor(plain)
    count = min(len(calibrate), _CALIBRATION_PICTURES)
    for i in np.linspace(0, len(calibrate) - 1, count).round().astype(int).tolist():
        image = calibrate.image(i)
        if predictor.finds_objects:
            predictor.predict(image)
        else:
            predictor.class_map(image)
    return {
        name: each.inputs
        for name, each in plain.sessions.items()
        if isinstance(each, RecordingSession)
    }


def _write(
    source: Path, folder: Path, to: Format, samples: _Samples, kept: Sequence[str]
) -> ExportHeader:
    plain = read_header(source)
    graphs: dict[str, GraphFiles] = {}
    for name, graph in plain.graphs.items():
        (first,) = graph.files
        if not first.endswith(".onnx"):
            (folder / first).write_bytes((source / first).read_bytes())
            graphs[name] = graph
            continue
        is_quantised = quantise(source / first, folder / first, samples[name], kept)
        files = [folder / first] if to == "onnx" else onnx_to_openvino(folder / first)
        graphs[name] = replace(
            graph,
            files={path.name: checksum(path) for path in files},
            precision="int8" if is_quantised else "fp32",
        )
    header = replace(plain, to=to, precision="int8", graphs=graphs, in_fp32=tuple(kept))
    write_header(folder, header)
    write_instructions(folder, header)
    return header


def _remove(folder: Path, header: ExportHeader) -> None:
    for graph in header.graphs.values():
        for name in graph.files:
            (folder / name).unlink()


def _errors(source: Path, folder: Path, samples: _Samples) -> list[tuple[str, float]]:
    """Return the outputs that int8 moves most, as parts of their largest value."""
    errors = []
    plain, quantised = load_exported(source), load_exported(folder)
    for name, inputs in samples.items():
        for each in inputs[:1]:
            wanted, found = plain.sessions[name].run(each), quantised.sessions[name].run(each)
            for output, values in wanted.items():
                largest = max(float(np.abs(values).max(initial=0)), 1e-6)
                error = float(np.abs(found[output] - values).max(initial=0)) / largest
                errors.append((f"{name}/{output}", error))
    return sorted(errors, key=lambda each: -each[1])[:5]
