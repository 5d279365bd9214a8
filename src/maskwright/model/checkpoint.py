"""Model files: safetensors, with everything needed to rebuild the model as JSON in the header.

Reading one never runs code. The header's metadata has one entry, "maskwright", a JSON object:

    format          version of this layout, 1
    maskwright      version of the package that wrote it, for people
    config          the model's `Config` as dictionaries; its `kind` says which model it is
    class_names     names by label
    category_ids    a dataset's ids by label
    checksum        BLAKE2b of the names and bytes of the tensors, which safetensors does not check
    extra           whatever the writer added: scores, the data's name, the step
    calibration     `ScoreCalibration` as a dictionary; absent where the model has none
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from maskwright.errors import CheckpointError, ConfigError
from maskwright.files import atomic_write
from maskwright.model.config import config_to_dict
from maskwright.model.kinds import Model, ModelConfig, model_config_from_dict
from maskwright.model.weight_files import check_tensors
from maskwright.score_calibration import ScoreCalibration

__all__ = [
    "CheckpointHeader",
    "load_checkpoint",
    "read_checkpoint_header",
    "save_checkpoint",
    "store_calibration",
]

_KEY = "maskwright"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class CheckpointHeader:
    """What a model file says about its model.

    Args:
        config: Of the model.
        class_names: Names by label.
        category_ids: A dataset's ids by label.
        version: Of the maskwright that wrote the file.
        checksum: Of the tensors.
        extra: What the writer added.
        calibration: Of its scores; None where there is none.
    """

    config: ModelConfig
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    version: str
    checksum: str
    extra: dict[str, Any] = field(default_factory=dict)
    calibration: ScoreCalibration | None = None


def save_checkpoint(
    model: Model,
    path: str | os.PathLike[str],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the model to one file, whole or not at all.

    Args:
        model: On any device.
        path: Usually ends in ".safetensors"; an old file stays until the new one is complete.
        extra: JSON values to keep beside it.

    Raises:
        CheckpointError: The disk is full or the folder cannot be written.
    """
    from maskwright import __version__

    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    header = {
        "format": _FORMAT,
        "maskwright": __version__,
        "config": config_to_dict(model.config),
        "class_names": model.class_names,
        "category_ids": model.category_ids,
        "checksum": _checksum(tensors),
        "extra": dict(extra or {}),
    }
    try:
        with atomic_write(path) as partial:
            save_file(tensors, partial, metadata={_KEY: json.dumps(header)})
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{path} could not be written: {error}; what was there before is unchanged"
        ) from error


def load_checkpoint(path: str | os.PathLike[str], *, device: str | torch.device = "cpu") -> Model:
    """Return the model of a file, in evaluation mode.

    Raises:
        CheckpointError: The file is missing, damaged, not one of ours or of another version.
    """
    header = read_checkpoint_header(path)
    tensors = _read_tensors(path)
    if _checksum(tensors) != header.checksum:
        raise CheckpointError(
            f"{path} is damaged: its weights are not those that were written; copy or train it "
            "again"
        )
    try:
        model = header.config.build(header.class_names, header.category_ids)
    except ConfigError as error:
        raise CheckpointError(f"{path} describes a model that cannot be built: {error}") from error
    check_tensors(str(path), model.state_dict(), tensors)
    model.load_state_dict(tensors)
    return model.to(device).eval()


def store_calibration(
    path: str | os.PathLike[str],
    calibration: ScoreCalibration | None,
    out: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a calibration into a model file, or take it out; all else stays to the byte.

    Args:
        path: The model file.
        calibration: Of its scores, for its classes in their order; None takes one out.
        out: Where to; None replaces the file, which stays whole whatever happens.

    Returns:
        The file that was written.

    Raises:
        CheckpointError: The file is not one of ours, or cannot be written.
        ConfigError: The calibration is of other classes.
    """
    known = read_checkpoint_header(path)
    if calibration is not None and calibration.class_names != known.class_names:
        calibration = calibration.for_classes(known.class_names)
    header = json.loads(_read_metadata(path)[_KEY])
    header.pop("calibration", None)
    if calibration is not None:
        header["calibration"] = calibration.as_dict()
    tensors, target = _read_tensors(path), Path(path if out is None else out)
    try:
        with atomic_write(target) as partial:
            save_file(tensors, partial, metadata={_KEY: json.dumps(header)})
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{target} could not be written: {error}; what was there before is unchanged"
        ) from error
    return target


def read_checkpoint_header(path: str | os.PathLike[str]) -> CheckpointHeader:
    """Return what the file says about its model, without reading the weights.

    Raises:
        CheckpointError: The file is missing, damaged, not one of ours or of another version.
    """
    metadata = _read_metadata(path)
    if _KEY not in metadata:
        raise CheckpointError(
            f"{path} is a safetensors file of something else: its header says nothing of "
            "maskwright. A torchvision model is loaded with "
            "maskwright.load('torchvision/<name>', weights=path)"
        )
    try:
        header = json.loads(metadata[_KEY])
        if header["format"] != _FORMAT:
            raise CheckpointError(
                f"{path} has format {header['format']}, written by maskwright "
                f"{header['maskwright']}; this version reads format {_FORMAT}: "
                "install the version that wrote it"
            )
        return CheckpointHeader(
            config=model_config_from_dict(header["config"]),
            class_names=tuple(header["class_names"]),
            category_ids=tuple(header["category_ids"]),
            version=header["maskwright"],
            checksum=header["checksum"],
            extra=header["extra"],
            calibration=(
                ScoreCalibration.from_dict(header["calibration"])
                if header.get("calibration")
                else None
            ),
        )
    except ConfigError as error:
        raise CheckpointError(f"{path} has a config that this version cannot read: {error}") from (
            error
        )
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} has a damaged header: {error!r}") from error


def _read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    try:
        with safetensors.safe_open(_existing(path), framework="pt") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    try:
        with safetensors.safe_open(_existing(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (safetensors.SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _existing(path: str | os.PathLike[str]) -> Path:
    if not Path(path).is_file():
        raise CheckpointError(f"there is no model file {path}")
    return Path(path)


def _damaged(path: str | os.PathLike[str], error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged, cut short or no safetensors file ({error}): copy or train it again"
    )
