"""From a model's name or file to a `Predictor`."""

from __future__ import annotations

import os
from pathlib import Path

from maskwright.errors import CheckpointError, ConfigError
from maskwright.inference.predictor import Predictor

__all__ = ["load"]

_TORCHVISION = "torchvision/"


def load(
    name_or_path: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str = "cpu",
) -> Predictor:
    """Load a model to predict with.

    Args:
        name_or_path: A checkpoint (`best.safetensors`), a run folder with one in it, or
            "torchvision/maskrcnn_resnet50_fpn" (or "..._v2") for torchvision's network.
        weights: For torchvision's networks: the file of a state dict, or "download" to fetch the
            official one. Nothing is ever downloaded without that word.
        device: Where it runs, as torch names it: "cpu", "cuda", "cuda:1", "mps".

    Raises:
        CheckpointError: The file is missing, damaged or of another version.
        ConfigError: An unknown name, or weights for a checkpoint that has its own.
    """
    # Networks cost seconds to import; what only handles results does not pay for them.
    from maskwright.model import load_checkpoint, load_torchvision

    name = os.fspath(name_or_path)
    if name.startswith(_TORCHVISION):
        model = load_torchvision(name, weights=weights)
    else:
        if weights is not None:
            raise ConfigError(f"{name} is a checkpoint with weights of its own: leave out weights")
        model = load_checkpoint(_checkpoint_file(Path(name)))
    return Predictor(model.to(device).eval())


def _checkpoint_file(path: Path) -> Path:
    """The checkpoint that `path` names: itself, or the best one of a run folder."""
    if not path.is_dir():
        return path
    for name in ("best.safetensors", "last.safetensors"):
        if (path / name).is_file():
            return path / name
    raise CheckpointError(f"{path}: no best.safetensors or last.safetensors in this folder")
