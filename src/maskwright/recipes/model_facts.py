"""What a model file and the run around it say about a model: parts, sizes, training, data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from maskwright.errors import CheckpointError
from maskwright.inference import Predictor, load
from maskwright.inference.loading import model_file
from maskwright.model import read_checkpoint_header

__all__ = ["ModelFacts", "TrainingFacts", "model_facts", "run_folder_of"]


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """How a model was trained, as its run folder says.

    Args:
        recipe: `config.json`'s recipe, as plain values.
        source: Where the data came from: "data", "validation", "images", "seed".
        num_pictures: Part -> how many pictures: "train", "validation", "test".
        trained_on: Ids of the pictures that were learnt from.
        scores: Part -> kind -> number, as the run left them.
        step: Steps done when this model was saved; None if it does not say.
    """

    recipe: Mapping[str, Any]
    source: Mapping[str, Any]
    num_pictures: Mapping[str, int]
    trained_on: frozenset[int | str]
    scores: Mapping[str, Any]
    step: int | None

    @property
    def data_name(self) -> str:
        """The last part of the data's path: what people call it, without their folders."""
        return Path(str(self.source.get("data", ""))).name

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json; ids and folders are left out."""
        return {
            "recipe": dict(self.recipe),
            "data": self.data_name,
            "pictures": dict(self.num_pictures),
            "scores": dict(self.scores),
            "step": self.step,
        }


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What is known of a model.

    Args:
        name: What people call it: the run folder's or the file's name.
        file_name: Of the model file; "" where there is none.
        file_bytes: Its size; 0 likewise.
        version: Of the maskwright that wrote the file; "" where unknown.
        parts: What it is built of: "detector", "mask head", "backbone" and so on -> kind.
        parameters: Numbers that it learns or has learnt.
        class_names: Names by label.
        input_size: How large pictures are to the network, in words; "" where unknown.
        picture_side: Typical side of the pictures it was trained on; None where unknown.
        object_side: Typical side of their objects; likewise.
        is_calibrated: Whether scores are mapped to probabilities.
        training: What its run folder says; None without one.
    """

    name: str
    file_name: str
    file_bytes: int
    version: str
    parts: Mapping[str, str]
    parameters: int
    class_names: tuple[str, ...]
    input_size: str
    picture_side: int | None
    object_side: int | None
    is_calibrated: bool
    training: TrainingFacts | None = field(default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        own = {key: value for key, value in asdict(self).items() if key != "training"}
        own["class_names"] = list(self.class_names)
        return own | {"training": None if self.training is None else self.training.as_dict()}


def _num_parameters(name: str, predictor: Predictor) -> int:
    """Parameters as trained: engines have merged some of them."""
    network = predictor.model
    if not isinstance(network, torch.nn.Module):
        network = load(name, device="cpu", runtime="eager").model
    assert isinstance(network, torch.nn.Module)
    return sum(parameter.numel() for parameter in network.parameters())


def model_facts(name_or_path: str | os.PathLike[str], predictor: Predictor) -> ModelFacts:
    """Gather what is known of a loaded model.

    Args:
        name_or_path: As `load` took it.
        predictor: What `load` gave.
    """
    name = os.fspath(name_or_path)
    header = None
    file_name, file_bytes = "", 0
    if Path(name).exists():
        path = model_file(name)
        header = read_checkpoint_header(path)
        file_name, file_bytes = path.name, path.stat().st_size
    config = None if header is None else header.config
    size = "" if config is None else _input_size(config)
    return ModelFacts(
        name=_name(name),
        file_name=file_name,
        file_bytes=file_bytes,
        version="" if header is None else header.version,
        parts={"network": name} if config is None else _parts(config),
        parameters=_num_parameters(name, predictor),
        class_names=predictor.class_names,
        input_size=size,
        picture_side=getattr(config, "picture_side", None),
        object_side=getattr(config, "object_side", None),
        is_calibrated=predictor.calibration is not None,
        training=_training_facts(name, {} if header is None else header.extra),
    )


def run_folder_of(name_or_path: str | os.PathLike[str]) -> Path | None:
    """Return the run folder that a model file lies in or a path names, or None."""
    path = Path(name_or_path)
    folder = path if path.is_dir() else path.parent
    return folder if path.exists() and (folder / "config.json").is_file() else None


def _training_facts(name: str, extra: Mapping[str, Any]) -> TrainingFacts | None:
    folder = run_folder_of(name)
    if folder is None:
        return None
    config = _read_json(folder / "config.json")
    if "recipe" not in config:
        return None
    split = _read_json(folder / "split.json")
    return TrainingFacts(
        recipe=config["recipe"],
        source=config.get("source", {}),
        num_pictures={part: len(ids) for part, ids in split.items() if ids},
        trained_on=frozenset(split.get("train", ())),
        scores={part: one for part, one in _read_json(folder / "scores.json").items() if one},
        step=extra.get("step"),
    )


def _read_json(path: Path) -> dict[str, Any]:
    """Return a file of the run; {} where the run has not written it (yet)."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is no valid JSON ({error}): restore it or remove it") from (
            error
        )
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} should hold a JSON object, and holds something else")
    return content


def _name(name: str) -> str:
    path = Path(name)
    if not path.exists():
        return name
    folder = run_folder_of(name)
    return path.resolve().name if folder is None or path.is_dir() else folder.resolve().name


def _parts(config: Any) -> dict[str, str]:
    """Kinds of the parts of a config, under the names that people use."""
    parts = {}
    for field_name in ("detector", "mask_head", "head", "backbone"):
        part = getattr(config, field_name, None)
        if part is not None:
            kind = getattr(part, "model", None) or part.kind
            depth = getattr(part, "depth", "")
            named = kind if field_name == "backbone" else kind.replace("_", "-")
            parts[field_name.replace("_", " ")] = f"{named}{depth}"
    return parts


def _input_size(config: Any) -> str:
    if config.fixed_size is not None:
        return "{} x {} pixels".format(*config.fixed_size)
    return f"short side {config.short_side}, long side up to {config.long_side} pixels"
