"""Which runtime is quickest for a model on this machine: measured when asked for, and remembered.

"measured" lets every exact (float32) runtime that is installed predict in turn and takes the
quickest; "auto" takes what was measured before and else the engine, and never measures: graphs
would have to be exported, which takes longer than many a run. What was measured is kept in the
cache folder (`maskwright.data.cache`, MASKWRIGHT_CACHE) and counts for models of the same
architecture, classes and picture size, with the same processor, number of threads and versions.

Every candidate gives the model's results within the bounds of exactness, so the choice changes
nothing but the time. A graph runtime whose outputs are not the model's is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from maskwright.data.cache import cache_folder
from maskwright.errors import MaskwrightError
from maskwright.files import write_json
from maskwright.inference.runtime import Runtime
from maskwright.model.config import config_to_dict

if TYPE_CHECKING:
    from maskwright.inference.runtime import SemanticRuntime
    from maskwright.model import ModelConfig

__all__ = ["ENGINE", "MEASURED", "RuntimeChoice", "architecture_key", "choose", "processor_name"]

ENGINE, MEASURED = "torch", "measured"

_ROUNDS = 5
_WARM_UP = 2
_GAIN = 0.9
"""What is taken in the engine's place must need less than this share of its time."""

_VERSIONS: Final = ("maskwright", "torch", "numba", "onnxruntime", "openvino")

_UNIMPORTANT: Final = ("picture_side", "object_side")
"""Options of a model that no runtime looks at."""

_Make = Callable[[], "Runtime | SemanticRuntime"]


@dataclass(frozen=True, kw_only=True)
class RuntimeChoice:
    """What was measured.

    Args:
        runtime: The one to take.
        milliseconds: Median time of a picture of the model's size, by runtime.
        left_out: Runtimes that were not measured, and why.
    """

    runtime: str
    milliseconds: Mapping[str, float]
    left_out: Mapping[str, str] = field(default_factory=dict)


def choose(
    runtime: str, key: str, config: ModelConfig, makers: Mapping[str, _Make]
) -> tuple[str, RuntimeChoice | None]:
    """Return the name that "auto" or "measured" stands for, and what was measured, if it was.

    Args:
        runtime: "auto" or "measured".
        key: Of `architecture_key`.
        config: The model's, for the size of the picture to measure on.
        makers: What makes each candidate ready to predict, the usual one first.
    """
    known = _recall(key)
    if known is not None and known.runtime in makers:
        return known.runtime, known
    if runtime != MEASURED:
        return next(iter(makers)), None
    found = _measure(makers, _made_up_picture(config))
    _remember(key, found)
    return found.runtime, found


def architecture_key(config: ModelConfig, num_classes: int, device: str, **facts: Any) -> str:
    """Return a name for models that take the same time on this machine as it is set up now.

    Args:
        config: The model's.
        num_classes: Of its objects.
        device: Where it runs.
        facts: What else times depend on.
    """
    options = config_to_dict(config)
    for name in _UNIMPORTANT:
        options.pop(name, None)
    known = {
        "config": options,
        "classes": num_classes,
        "device": device,
        "processor": processor_name(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in _VERSIONS},
        **facts,
    }
    text = json.dumps(known, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def processor_name() -> str:
    """Return what the processor calls itself, or what the platform calls its kind."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _measure(makers: Mapping[str, _Make], image: np.ndarray) -> RuntimeChoice:
    """Let every candidate predict in turn; the first, unless another is clearly quicker."""
    ready: dict[str, Runtime | SemanticRuntime] = {}
    left_out: dict[str, str] = {}
    usual = next(iter(makers))
    for name, make in makers.items():
        try:
            ready[name] = make()
        except MaskwrightError as error:
            if name == usual:
                raise
            left_out[name] = str(error)
    seconds: dict[str, list[float]] = {name: [] for name in ready}
    for turn in range(_WARM_UP + _ROUNDS):
        for name, each in ready.items():
            began = time.perf_counter()
            _predict(each, image)
            if turn >= _WARM_UP:
                seconds[name].append(time.perf_counter() - began)
    medians = {name: 1e3 * statistics.median(each) for name, each in seconds.items()}
    quickest = min(medians, key=lambda name: medians[name])
    is_clear = medians[quickest] < _GAIN * medians[usual]
    return RuntimeChoice(
        runtime=quickest if is_clear else usual, milliseconds=medians, left_out=left_out
    )


def _predict(ready: Runtime | SemanticRuntime, image: np.ndarray) -> None:
    batch = ready.collate([image])
    if isinstance(ready, Runtime):
        ready.predict(batch)
    else:
        ready.class_maps(batch)


def _made_up_picture(config: ModelConfig) -> np.ndarray:
    """Return coarse noise of the size at which the network works."""
    import cv2

    short = config.short_side
    height, width = config.fixed_size or (short, min(config.long_side, round(short * 4 / 3)))
    rng = np.random.default_rng(0)
    channels = 3 if config.pixels is None else config.pixels.channels
    coarse = rng.random((max(2, height // 40), max(2, width // 40), channels), np.float32)
    smooth = cv2.resize(coarse, (width, height)).reshape(height, width, channels)
    if config.pixels is None:
        return np.asarray(np.rint(255 * smooth), np.uint8)
    kind = np.dtype(config.pixels.values)
    mean, std = np.array(config.pixels.mean), np.array(config.pixels.std)
    highest = np.iinfo(kind).max if kind.kind == "u" else np.inf
    return np.asarray(np.clip(mean + 3 * std * (smooth - 0.5), 0, highest), kind)


def _entry(key: str) -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / "runtimes" / f"{key}.json"


def _recall(key: str) -> RuntimeChoice | None:
    """Return what was measured before; None where nothing was, or where it cannot be read."""
    entry = _entry(key)
    if entry is None or not entry.is_file():
        return None
    try:
        known = json.loads(entry.read_text(encoding="utf-8"))
        return RuntimeChoice(
            runtime=str(known["runtime"]),
            milliseconds=dict(known["milliseconds"]),
            left_out=dict(known["left_out"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(key: str, choice: RuntimeChoice) -> None:
    entry = _entry(key)
    if entry is not None:
        with suppress(OSError):  # a cache that cannot be written to costs a measurement next time
            write_json(entry, asdict(choice))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
