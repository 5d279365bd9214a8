"""From a model's name or file to a `Predictor`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from maskwright.devices import choose_device
from maskwright.errors import CheckpointError, ConfigError
from maskwright.inference.predictor import Predictor

__all__ = ["load"]

_TORCHVISION = "torchvision/"


def load(
    name_or_path: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    device: str | None = None,
) -> Predictor:
    """Load a model to predict with.

    Args:
        name_or_path: A model file (`RUN/best.safetensors`), a run folder, whose best model is
            taken, or "torchvision/maskrcnn_resnet50_fpn" or the like for torchvision's network
            (`maskwright.model.torchvision_names` has all; only Mask R-CNN draws masks).
        weights: Of a torchvision network: the file of a state dict, or "download" for the official
            one. Nothing is downloaded without that word.
        class_names: Of a torchvision network with weights of your own, without background; None
            means COCO's. Model files carry theirs.
        device: Where it runs, as torch names it: "cpu", "cuda", "cuda:1", "mps"; None takes the
            first of cuda, mps and cpu that is there.

    Raises:
        CheckpointError: The file is missing, damaged or of another version.
        ConfigError: An unknown name or device, or weights for a model file that has its own.
    """
    # Networks cost seconds to import; what only handles results does not pay for them.
    from maskwright.model import load_checkpoint, load_torchvision, torchvision_names

    place = choose_device(device)
    name = os.fspath(name_or_path)
    if name.startswith(_TORCHVISION):
        model = load_torchvision(
            name.removeprefix(_TORCHVISION), weights=weights, class_names=class_names
        )
        return Predictor(model.to(place))
    if weights is not None or class_names is not None:
        raise ConfigError(
            f"{name} is a model file with weights and class names of its own: leave those out"
        )
    if name in torchvision_names() and not Path(name).exists():
        raise CheckpointError(
            f"there is no model file {name}; torchvision's network is called torchvision/{name}"
        )
    return Predictor(load_checkpoint(_model_file(Path(name)), device=place))


def _model_file(path: Path) -> Path:
    """The file that `path` names: itself, or the best model of a run folder."""
    if not path.is_dir():
        return path
    for name in ("best.safetensors", "last.safetensors"):
        if (path / name).is_file():
            return path / name
    raise CheckpointError(f"{path} is a folder without best.safetensors or last.safetensors")
