"""An end-to-end export: written, and held against the model."""

from __future__ import annotations

from pathlib import Path

from maskwright.errors import ConfigError
from maskwright.inference.export.end_to_end.agreement import require_agreement
from maskwright.inference.export.end_to_end.assembling import require_end_to_end
from maskwright.inference.export.end_to_end.writing import write_end_to_end
from maskwright.inference.export.folder import ExportHeader, read_header
from maskwright.inference.export.sessions import Format
from maskwright.model import InstanceSegmenter, Model
from maskwright.recipes.parity import (
    Parity,
    Reference,
    ShowProgress,
    measure_folder,
    require_parity,
)
from maskwright.recipes.same_objects import require_same_objects

__all__ = ["require_one_graph", "write_whole"]


def require_one_graph(model: Model, to: Format, *, end_to_end: bool, full_masks: bool) -> None:
    """Raise unless the options of an export go together; said before anything is written.

    Raises:
        ConfigError: They do not, or the model cannot be one graph.
    """
    if full_masks and not end_to_end:
        raise ConfigError(
            "--full-masks is of --end-to-end, in which masks are pasted by the graph: add that, "
            "or leave --full-masks out"
        )
    if not end_to_end:
        return
    if to != "onnx":
        raise ConfigError(
            f"--end-to-end writes one ONNX graph, and --to says {to}: take --to onnx, or leave "
            "--end-to-end out"
        )
    require_end_to_end(model.config, full_masks=full_masks)


def write_whole(
    model: Model,
    parts: Path,
    folder: Path,
    *,
    full_masks: bool,
    reference: Reference | None,
    max_drop: float | None,
    out: Path,
    progress: ShowProgress | None,
) -> tuple[ExportHeader, Parity | None]:
    """Write the one graph of a folder of graphs, and compare it with the model.

    Args:
        model: Of the graphs.
        parts: Its graphs in ONNX.
        folder: Where to write.
        full_masks: Whether the graph also gives masks of the size of the pictures.
        reference: What the model finds in real pictures, to compare with.
        max_drop: See `require_parity`.
        out: The folder that the user named, for messages.
        progress: See `ShowProgress`.

    Raises:
        EvaluationError: It does not find what the model does in real pictures.
        MaskwrightError: Nor in noise.
    """
    precision = read_header(parts).precision
    if precision == "fp32":
        assert isinstance(model, InstanceSegmenter)
        require_agreement(model, parts, out)
    header = write_end_to_end(parts, folder, full_masks=full_masks)
    if reference is None:
        return header, None
    parity = measure_folder(reference, folder, progress)
    require_parity(parity, max_drop, out, precision)
    if precision == "fp32":
        assert reference.selection is not None
        require_same_objects(parity.objects, parity.differing, out)
    return header, parity
