"""Export: graphs of a model in a folder that is kept only if it predicts what the model does."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.data import Dataset
from maskwright.errors import ConfigError, EvaluationError
from maskwright.files import new_folder
from maskwright.inference import Predictor
from maskwright.inference.export.agreement import compare_outputs, require_equal_outputs
from maskwright.inference.export.folder import ExportHeader, write_header
from maskwright.inference.export.runtime import load_exported
from maskwright.inference.export.sessions import Format
from maskwright.inference.export.writing import write_exported
from maskwright.inference.loading import load
from maskwright.recipes.parity import (
    Parity,
    Reference,
    ShowProgress,
    measure_parity,
    measure_reference,
)

if TYPE_CHECKING:
    from maskwright.model import Model

__all__ = ["Exported", "export_model"]

_MAX_DROP = {"fp32": 1e-4, "int8": 0.005}
"""By how much a score, in [0, 1], may fall; rounding alone moves AP by less."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote.

    Args:
        path: The folder.
        header: What its `config.json` says.
        parity: Scores before and after; None where no data was given.
        megabytes: Of its files, in 10^6 bytes.
    """

    path: Path
    header: ExportHeader
    parity: Parity | None
    megabytes: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, all finite, ready for json."""
        return {
            "path": str(self.path),
            "to": self.header.to,
            "precision": self.header.precision,
            "files": [name for graph in self.header.graphs.values() for name in graph.files],
            "megabytes": self.megabytes,
            "parity": None if self.parity is None else self.parity.as_dict(),
        }


def export_model(
    model: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    to: Format = "onnx",
    data: Dataset | None = None,
    max_ap_drop: float | None = None,
    weights: str | os.PathLike[str] | None = None,
    progress: ShowProgress | None = None,
) -> Exported:
    """Write a model as graphs for another runtime, and hold it against the model itself.

    Outputs of every graph are compared on noise; with data, scores of the whole are compared on
    real pictures. Where they differ too much nothing is kept.

    Args:
        model: As for `load`: a model file, a run folder or a torchvision name.
        out: The folder to make.
        to: "onnx", "openvino" or "torch-export".
        data: Annotated pictures for the comparison.
        max_ap_drop: By how much AP, boundary AP and mask IoU, in [0, 1], may fall on them; None
            means 0.0001.
        weights: Of a torchvision network, as for `load`.
        progress: See `ShowProgress`.

    Raises:
        ConfigError: The model cannot be exported, or an unknown format.
        DataError: `out` is not empty.
        EvaluationError: The exported model is worse than allowed; names the worst pictures.
        MaskwrightError: A graph does not compute what the model does.
        MissingExtraError: Packages of the format are not installed.
    """
    eager = load(model, weights=weights, device="cpu", runtime="eager")
    network = require_network(eager.model)
    with new_folder(out) as partial:
        header = write_exported(network, partial, to, eager.calibration)
        require_equal_outputs(compare_outputs(network, load_exported(partial)), Path(out))
        parity = None
        if data is not None:
            reference = measure_reference(eager, data, progress)
            parity = _gate(reference, partial, Path(out), max_ap_drop, progress)
            header = replace(header, parity=parity.as_dict())
            write_header(partial, header)
        size = sum(each.stat().st_size for each in partial.iterdir()) / 1e6
    return Exported(path=Path(out), header=header, parity=parity, megabytes=size)


def _gate(
    reference: Reference,
    folder: Path,
    out: Path,
    max_drop: float | None,
    progress: ShowProgress | None,
) -> Parity:
    """Return the scores of the folder, or refuse it."""
    exported = load_exported(folder)
    allowed = _MAX_DROP[exported.header.precision] if max_drop is None else max_drop
    predictor = Predictor(exported, exported.header.calibration)
    parity = measure_parity(reference, predictor, progress)
    if parity.drop > allowed:
        raise EvaluationError(
            f"{out} was not kept, for the exported model is worse than allowed "
            f"(--max-ap-drop {allowed:g}): {_scores(parity)}; the pictures that differ most: "
            f"{_worst(parity)}"
        )
    return parity


def _scores(parity: Parity) -> str:
    return ", ".join(
        f"{name} {before:.4f} -> {parity.after[name]:.4f}"
        for name, before in parity.before.items()
        if before > parity.after[name]
    )


def _worst(parity: Parity) -> str:
    return ", ".join(f"{name} (agreement {value:.3f})" for name, value in parity.worst)


def require_network(model: Any) -> Model:
    """Return what is to be exported.

    Raises:
        ConfigError: It is an exported model already.
    """
    from maskwright.model import InstanceSegmenter, SemanticSegmenter

    if not isinstance(model, InstanceSegmenter | SemanticSegmenter):
        raise ConfigError(
            "this is an exported model already: export the model file that it was made of"
        )
    return model
