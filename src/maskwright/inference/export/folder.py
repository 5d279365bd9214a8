"""The folder of an exported model: graphs, `config.json` and a README.

`config.json` is one JSON object:

    exported        "maskwright", by which the folder is known
    format          version of this layout, 1
    maskwright      version of the package that wrote it, for people
    to              "onnx", "openvino" or "torch-export"
    precision       "fp32" or "int8"
    model           the model's `Config` as dictionaries
    class_names     names by label
    category_ids    a dataset's ids by label
    channels        stride -> channels of the feature maps
    pixel_mean      of the channels R, G and B, 0 to 255; padding has these values
    pixel_std       of the channels
    graphs          name -> files with their checksums, inputs, and outputs with their shapes
    calibration     of the scores; null where the model has none
    parity          what the gate measured; null where there was no data
    in_fp32         groups of layers of an int8 export that stay in float32
    end_to_end      whether the one graph "model" takes pictures and gives detections
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from maskwright.errors import CheckpointError, ConfigError, MaskwrightError
from maskwright.inference.export.sessions import Format, Precision
from maskwright.model import ModelConfig, SemanticSegmenter, config_to_dict
from maskwright.model.kinds import model_config_from_dict
from maskwright.score_calibration import ScoreCalibration

__all__ = ["ExportHeader", "GraphFiles", "checksum", "is_exported", "read_header", "write_header"]

_NAME = "config.json"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class GraphFiles:
    """A graph in the folder.

    Args:
        files: Name -> checksum; the first is the one to open.
        inputs: Name -> shape; None stands for any length.
        outputs: Name -> shape.
        precision: What it computes in.
    """

    files: dict[str, str]
    inputs: dict[str, list[int | None]]
    outputs: dict[str, list[int | None]]
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class ExportHeader:
    """What `config.json` says; see the head of this file."""

    to: Format
    precision: Precision
    model: ModelConfig
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    channels: dict[int, int]
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    graphs: dict[str, GraphFiles] = field(default_factory=dict)
    calibration: ScoreCalibration | None = None
    parity: dict[str, Any] | None = None
    in_fp32: tuple[str, ...] = ()
    end_to_end: bool = False

    @property
    def calibration_outside(self) -> ScoreCalibration | None:
        """What is to be done to the scores that the graphs give.

        An end-to-end graph gives calibrated ones, so nothing but the thresholds is left.
        """
        known = self.calibration
        if known is None or not self.end_to_end:
            return known
        none = (0.0,) * len(known.class_names)
        return replace(
            known,
            method="logistic",
            temperatures=tuple(1.0 for _ in none),
            shifts=none,
            slopes=none,
        )


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Return whether the path is a folder that `maskwright export` wrote, whole or not."""
    folder = Path(path)
    if not folder.is_dir():
        return False
    graphs = [each for ending in ("onnx", "xml", "pt2") for each in folder.glob(f"*.{ending}")]
    if not (folder / _NAME).is_file():
        return bool(graphs)
    try:
        known = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return bool(graphs)
    return isinstance(known, dict) and (known.get("exported") == "maskwright" or bool(graphs))


def write_header(folder: Path, header: ExportHeader) -> None:
    """Write `config.json`."""
    from maskwright import __version__

    calibration = header.calibration
    value = {
        "exported": "maskwright",
        "format": _FORMAT,
        "maskwright": __version__,
        "to": header.to,
        "precision": header.precision,
        "model": config_to_dict(header.model),
        "class_names": header.class_names,
        "category_ids": header.category_ids,
        "channels": header.channels,
        "pixel_mean": header.pixel_mean,
        "pixel_std": header.pixel_std,
        "graphs": {name: asdict(each) for name, each in header.graphs.items()},
        "calibration": None if calibration is None else calibration.as_dict(),
        "parity": header.parity,
        "in_fp32": header.in_fp32,
        "end_to_end": header.end_to_end,
    }
    (folder / _NAME).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_header(folder: str | os.PathLike[str]) -> ExportHeader:
    """Return what the folder says of its model, once every file is there and whole.

    Raises:
        CheckpointError: Parts are missing or damaged, or it is of another version.
    """
    folder = Path(folder)
    known = _read_json(folder / _NAME)
    if known.get("exported") != "maskwright":
        raise CheckpointError(
            f"{folder / _NAME} is not that of an exported model: name a folder that maskwright "
            "export wrote"
        )
    if known.get("format") != _FORMAT:
        raise CheckpointError(
            f"{folder} has format {known.get('format')}, written by maskwright "
            f"{known.get('maskwright')}; this version reads format {_FORMAT}: export it again"
        )
    try:
        header = _header(known)
    except ConfigError as error:
        raise CheckpointError(
            f"{folder / _NAME} has a config that this version cannot read: {error}"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, MaskwrightError) as error:
        raise CheckpointError(
            f"{folder / _NAME} is damaged ({error!r}): export the model again"
        ) from error
    if missing := sorted(_needed_graphs(header) - set(header.graphs)):
        raise CheckpointError(
            f"{folder / _NAME} is damaged (it names no graph {', '.join(missing)}, which this "
            "model needs): export the model again"
        )
    for graph in header.graphs.values():
        for name, wanted in graph.files.items():
            _require_whole(folder / name, wanted)
    return header


def checksum(path: Path) -> str:
    """Return the BLAKE2b of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def _header(known: Mapping[str, Any]) -> ExportHeader:
    mean, std = tuple(known["pixel_mean"]), tuple(known["pixel_std"])
    if len(mean) != 3 or len(std) != 3:
        raise ValueError(f"pixel_mean and pixel_std of {len(mean)} and {len(std)} channels, not 3")
    for name, wanted in (("to", Format), ("precision", Precision)):
        if known[name] not in get_args(wanted):
            raise ValueError(f"{name} is {known[name]!r}, not one of {', '.join(get_args(wanted))}")
    calibration = known["calibration"]
    return ExportHeader(
        to=known["to"],
        precision=known["precision"],
        model=model_config_from_dict(known["model"]),
        class_names=tuple(known["class_names"]),
        category_ids=tuple(known["category_ids"]),
        channels={int(stride): int(width) for stride, width in known["channels"].items()},
        pixel_mean=mean,
        pixel_std=std,
        graphs={name: _graph(name, each) for name, each in known["graphs"].items()},
        calibration=None if calibration is None else ScoreCalibration.from_dict(calibration),
        parity=known["parity"],
        in_fp32=tuple(known["in_fp32"]),
        end_to_end=bool(known.get("end_to_end", False)),
    )


def _graph(name: str, known: Mapping[str, Any]) -> GraphFiles:
    graph = GraphFiles(**known)
    if not graph.files or any(Path(each).name != each for each in graph.files):
        raise ValueError(f"graph {name} has the files {list(graph.files)}")
    return graph


def _needed_graphs(header: ExportHeader) -> set[str]:
    """Return the names of the graphs without which the model cannot run."""
    config = header.model
    if header.end_to_end:
        return {"model"}
    if isinstance(config, SemanticSegmenter.Config):
        return {"dense"}
    needed = {
        "rcnn": {"crops", "rest"},
        "fast_rcnn": {"dense", "boxes"},
        "faster_rcnn": {"dense", "boxes"},
    }.get(config.detector.kind, {"dense"})
    if config.mask_head is None:
        return needed
    of_head = {"mask_rcnn": {"masks"}, "prototypes": {"mixing"}}
    return needed | {"dense"} | of_head.get(config.mask_head.kind, set())


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent} is an exported model without its {path.name}: export it again"
        )
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): export the model again") from error
    if not isinstance(known, dict):
        raise CheckpointError(f"{path} is damaged (no JSON object): export the model again")
    return known


def _require_whole(path: Path, wanted: str) -> None:
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent} lacks {path.name}, a part of the exported model: copy the folder as a "
            "whole, or export the model again"
        )
    if checksum(path) != wanted:
        raise CheckpointError(
            f"{path} is damaged: it is not what was written; copy it again, or export the model "
            "again"
        )
