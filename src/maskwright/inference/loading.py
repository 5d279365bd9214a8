"""From a model's name or file to a `Predictor`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.devices import choose_device
from maskwright.errors import CheckpointError, ConfigError, nearest_name
from maskwright.inference.hub import HUB_MODEL, HUB_PREFIX, download_model
from maskwright.inference.predictor import Predictor
from maskwright.inference.runtimes import make_runtime

if TYPE_CHECKING:
    import torch

    from maskwright.model import Model
    from maskwright.score_calibration import ScoreCalibration

__all__ = ["load", "model_file"]

_TORCHVISION = "torchvision/"


def load(
    name_or_path: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    class_names: Sequence[str] | None = None,
    device: str | None = None,
    runtime: str = "auto",
    precision: str = "fp32",
    compile: bool = False,
    tta: str | None = None,
) -> Predictor:
    """Load a model to predict with.

    Args:
        name_or_path: A model file (`RUN/best.safetensors`), a run folder, whose best model is
            taken, a folder that `maskwright export` wrote, "hf://user/model" for one on the Hugging
            Face hub (extra `hub`; it is fetched and kept in that hub's cache), or
            "torchvision/maskrcnn_resnet50_fpn" or the like for torchvision's network
            (`maskwright.model.torchvision_names` has all; only Mask R-CNN draws masks).
            "torchvision/deeplabv3_resnet50" and the like (`torchvision_segmentation_names`), and
            files of semantic models, give a predictor with `class_map` alone. A calibration in a
            model file is applied to every score.
        weights: Of a torchvision network: the file of a state dict, or "download" for the official
            one. Nothing is downloaded without that word.
        class_names: Of a torchvision network with weights of your own, without background; None
            means COCO's, for semantic networks Pascal VOC's. Model files carry theirs.
        device: Where it runs, as torch names it: "cpu", "cuda", "cuda:1", "mps"; None takes the
            first of cuda, mps and cpu that is there.
        runtime: What runs it (`maskwright.inference.RUNTIMES`): "torch" is our engine, which
            predicts what the model does, but for rounding, in less time; "eager" the model as it
            was trained; "onnx" (ONNX Runtime) and "openvino" write graphs of the model first,
            which takes a minute the first time, and keep them in the cache folder. "measured"
            lets all exact ones that are installed predict in turn, takes the quickest and
            remembers it for models of this architecture on this machine; "auto" takes what was
            remembered, else the engine, and for an exported folder what its graphs were written
            for. Results are the same within the bounds of exactness, whatever is chosen.
        precision: "fp32"; or "bf16", less exact, where the device computes in it. An exported
            folder computes in what it was exported in.
        compile: Let `torch.compile` make code for the engine's backbone; on a processor it needs a
            C++ compiler, and time at the first picture.
        tta: Test-time augmentation, "flips" or the like: see `Predictor`.

    Raises:
        CheckpointError: The file is missing, damaged or of another version.
        ConfigError: An unknown name, device or runtime, a runtime that cannot do what is asked, or
            weights for a model file that has its own.
    """
    name = os.fspath(name_or_path)
    if _is_exported(name):
        if weights is not None or class_names is not None or compile:
            raise ConfigError(
                f"{name} is an exported model with weights and class names of its own, compiled: "
                "leave weights, class names and compile out"
            )
        return _load_exported(name, runtime, precision, device, tta)
    place = choose_device(device)
    model, calibration = _load_model(name, weights, class_names, place)
    ready = make_runtime(model, runtime, precision=precision, compile=compile)
    return Predictor(ready, calibration, tta=tta)


def _is_exported(name: str) -> bool:
    # only a folder can be one: for files nothing of the graphs is imported
    if not Path(name).is_dir():
        return False
    from maskwright.inference.export.folder import is_exported

    return is_exported(name)


def _load_exported(
    name: str, runtime: str, precision: str, device: str | None, tta: str | None
) -> Predictor:
    from maskwright.inference.export.opening import open_exported

    # None means the processor: that is what models are exported for
    place = None if device is None else choose_device(device)
    exported = open_exported(name, _runtime_of_export(name, runtime), place)
    known = exported.header.precision
    if precision not in ("fp32", known):
        raise ConfigError(
            f"{name} was exported in {known}, not in {precision!r}: leave the precision out, or "
            "export the model anew"
        )
    return Predictor(exported, exported.header.calibration_outside, tta=tta)


def _runtime_of_export(name: str, runtime: str) -> str:
    """Return the runtime for a folder that several can run: what was measured, where it was."""
    if runtime not in ("auto", "measured"):
        return runtime
    from maskwright.inference.export.folder import read_header
    from maskwright.inference.export.opening import open_exported
    from maskwright.inference.export.sessions import SESSIONS
    from maskwright.inference.runtime_choice import architecture_key, choose

    header = read_header(name)
    able = [each for each, (formats, _) in SESSIONS.items() if header.to in formats]
    if header.precision != "fp32" or header.end_to_end or len(able) == 1:
        return "auto"
    key = architecture_key(header.model, len(header.class_names), "cpu", format=header.to)
    makers = {each: partial(open_exported, name, each) for each in able}
    chosen, _ = choose(runtime, key, header.model, makers)
    return chosen


def _load_model(
    name: str,
    weights: str | os.PathLike[str] | None,
    class_names: Sequence[str] | None,
    place: torch.device,
) -> tuple[Model, ScoreCalibration | None]:
    # Networks cost seconds to import; what only handles results does not pay for them.
    from maskwright.model import load_checkpoint, read_checkpoint_header

    if name.startswith(_TORCHVISION):
        model = _torchvision_model(name.removeprefix(_TORCHVISION), weights, class_names)
        return model.to(place), None
    if weights is not None or class_names is not None:
        raise ConfigError(
            f"{name} is a model file with weights and class names of its own: leave those out"
        )
    if name in _torchvision_names() and not Path(name).exists():
        raise CheckpointError(
            f"there is no model file {name}; torchvision's network is called torchvision/{name}"
        )
    path = download_model(name) if name.startswith(HUB_PREFIX) else model_file(name)
    return load_checkpoint(path, device=place), read_checkpoint_header(path).calibration


def _torchvision_names() -> tuple[str, ...]:
    from maskwright.model import torchvision_names, torchvision_segmentation_names

    return (*torchvision_names(), *torchvision_segmentation_names())


def _torchvision_model(
    name: str, weights: str | os.PathLike[str] | None, class_names: Sequence[str] | None
) -> Model:
    from maskwright.model import (
        load_torchvision,
        load_torchvision_segmentation,
        torchvision_segmentation_names,
    )

    known = _torchvision_names()
    if name not in known:
        raise ConfigError(
            f"no torchvision model {name!r}; there are {', '.join(known)}."
            f"{nearest_name(name, known)}"
        )
    if name in torchvision_segmentation_names():
        return load_torchvision_segmentation(name, weights, class_names=class_names)
    return load_torchvision(name, weights, class_names=class_names)


def model_file(name_or_path: str | os.PathLike[str]) -> Path:
    """Return the file that a path names: itself, or the best model of a run folder.

    A folder as a hub holds it has `model.safetensors`.

    Raises:
        CheckpointError: A folder without a model.
    """
    path = Path(name_or_path)
    if not path.is_dir():
        return path
    for name in ("best.safetensors", "last.safetensors", HUB_MODEL):
        if (path / name).is_file():
            return path / name
    raise CheckpointError(f"{path} is a folder without best.safetensors or last.safetensors")
