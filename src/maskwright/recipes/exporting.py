"""Export: graphs of a model in a folder that is kept only if it predicts what the model does."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskwright.data import Dataset
from maskwright.errors import ConfigError, EvaluationError
from maskwright.files import new_folder
from maskwright.inference.export.agreement import compare_outputs, require_equal_outputs
from maskwright.inference.export.folder import ExportHeader, is_exported, write_header
from maskwright.inference.export.quantising import require_nncf
from maskwright.inference.export.runtime import load_exported
from maskwright.inference.export.sessions import Format
from maskwright.inference.export.writing import write_exported
from maskwright.inference.loading import load
from maskwright.inference.predictor import Predictor
from maskwright.model import InstanceSegmenter, SemanticSegmenter
from maskwright.recipes.end_to_end import require_one_graph, write_whole
from maskwright.recipes.parity import (
    Parity,
    Reference,
    ShowProgress,
    measure_folder,
    measure_reference,
    require_parity,
)
from maskwright.recipes.quantising import write_quantised

__all__ = ["Exported", "export_model"]


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
            "end_to_end": self.header.end_to_end,
            "in_fp32": list(self.header.in_fp32),
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
    calibrate: Dataset | None = None,
    end_to_end: bool = False,
    full_masks: bool = False,
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
            means 0.0001, of int8 graphs 0.005.
        calibrate: Annotated pictures to learn the ranges of 8-bit integers from, which the graphs
            are then in. Groups of layers go back to float32 one after the other until the scores
            on `data` hold.
        end_to_end: Write one ONNX graph from pictures to detections, which runs without this
            package. It is held against the model on noise, too, and with data has to find the
            same objects; only int8 ones may differ as far as the scores allow.
        full_masks: The one graph also gives masks of the size of the pictures.
        weights: Of a torchvision network, as for `load`.
        progress: See `ShowProgress`.

    Raises:
        ConfigError: The model cannot be exported, not so, or an unknown format.
        DataError: `out` is not empty.
        EvaluationError: The exported model is worse than allowed; names the worst pictures.
        MaskwrightError: A graph does not compute what the model does.
        MissingExtraError: Packages of the format are not installed.
    """
    if is_exported(model):
        raise ConfigError(
            f"{model} is an exported model already: export the model file that it was made of"
        )
    if max_ap_drop is not None and not 0 <= max_ap_drop <= 1:
        raise ConfigError(f"--max-ap-drop must be from 0 to 1, AP being so, got {max_ap_drop:g}")
    eager = load(model, weights=weights, device="cpu", runtime="eager")
    network = eager.model
    assert isinstance(network, InstanceSegmenter | SemanticSegmenter)
    if calibrate is not None:
        _require_quantisable(to, calibrate)
    require_one_graph(network, to, end_to_end=end_to_end, full_masks=full_masks)
    with new_folder(out) as partial:
        graphs = partial / "graphs" if end_to_end else partial
        graphs.mkdir(exist_ok=True)
        gate = _Gate(data=data, max_drop=max_ap_drop, out=Path(out), progress=progress)
        parity = None
        if calibrate is not None:
            header, reference, parity = _write_int8(eager, network, graphs, to, calibrate, gate)
        else:
            header, reference = _write_graphs(eager, network, graphs, to, gate)
            if reference is not None and not end_to_end:
                parity = measure_folder(reference, partial, progress)
                require_parity(parity, max_ap_drop, Path(out), "fp32")
        if end_to_end:
            header, parity = write_whole(
                network,
                graphs,
                partial,
                full_masks=full_masks,
                reference=reference,
                max_drop=max_ap_drop,
                out=Path(out),
                progress=progress,
            )
            shutil.rmtree(graphs)
        if parity is not None:
            header = replace(header, parity=parity.as_dict())
            write_header(partial, header)
        size = sum(each.stat().st_size for each in partial.iterdir()) / 1e6
    return Exported(path=Path(out), header=header, parity=parity, megabytes=size)


@dataclass(frozen=True, kw_only=True)
class _Gate:
    """What graphs are held against.

    Args:
        data: The annotated pictures, where any were given.
        max_drop: How much scores may fall, see `require_parity`.
        out: The folder that the user named, for messages.
        progress: See `ShowProgress`.
    """

    data: Dataset | None
    max_drop: float | None
    out: Path
    progress: ShowProgress | None


def _write_graphs(
    eager: Predictor,
    network: InstanceSegmenter | SemanticSegmenter,
    folder: Path,
    to: Format,
    gate: _Gate,
) -> tuple[ExportHeader, Reference | None]:
    """Write graphs in float32, compare them on noise, and see what the model finds in the data.

    Raises:
        MaskwrightError: A graph does not compute what the model does.
    """
    header = write_exported(network, folder, to, eager.calibration)
    require_equal_outputs(compare_outputs(network, load_exported(folder)), gate.out)
    if gate.data is None:
        return header, None
    return header, measure_reference(eager, gate.data, gate.progress)


def _write_int8(
    eager: Predictor,
    network: InstanceSegmenter | SemanticSegmenter,
    folder: Path,
    to: Format,
    calibrate: Dataset,
    gate: _Gate,
) -> tuple[ExportHeader, Reference | None, Parity | None]:
    """Write graphs in 8-bit integers, made of ones in float32 that are not kept.

    Raises:
        EvaluationError: They are worse than allowed.
        MaskwrightError: Those in float32 do not compute what the model does.
    """
    first = folder / "fp32"
    first.mkdir()
    _, reference = _write_graphs(eager, network, first, "onnx", gate)
    header, parity = write_quantised(
        first, folder, to, calibrate, reference, gate.max_drop, gate.out, gate.progress
    )
    shutil.rmtree(first)
    return header, reference, parity


def _require_quantisable(to: Format, calibrate: Dataset) -> None:
    """Raise unless int8 graphs can be made: said before anything is written."""
    if to == "torch-export":
        raise ConfigError("int8 graphs are written to onnx or openvino, not to torch-export")
    if not len(calibrate.labels):
        raise EvaluationError(
            f"the {len(calibrate)} pictures to calibrate on have no objects, so the layers that "
            "see objects would learn no ranges: take annotated ones like those of the training"
        )
    require_nncf()
