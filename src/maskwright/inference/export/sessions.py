"""What runs one graph: ONNX Runtime, OpenVINO or PyTorch; arrays in, arrays out, by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

import numpy as np
import torch

from maskwright.errors import CheckpointError, ConfigError, MissingExtraError

__all__ = ["SESSIONS", "Format", "GraphSession", "Precision", "open_session"]

Format = Literal["onnx", "openvino", "torch-export"]
"""What the graphs of a folder are written in."""

Precision = Literal["fp32", "int8"]
"""What the graphs of a folder compute in; in an int8 folder some layers may be in fp32."""


class GraphSession(Protocol):
    """A graph that is ready to run."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name."""


class OnnxSession:
    """A graph in ONNX Runtime.

    Args:
        path: Of the .onnx file.
        device: "cpu", or "cuda" where the installed onnxruntime has it.
        outputs: Names in the graph's order.
    """

    def __init__(self, path: Path, device: torch.device, outputs: tuple[str, ...]) -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors alone: warnings speak of graph optimisation
        self.outputs = outputs
        self._session = onnxruntime.InferenceSession(
            os.fspath(path), options, providers=_providers(onnxruntime, device)
        )

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name."""
        found = self._session.run(list(self.outputs), dict(inputs))
        return dict(zip(self.outputs, found, strict=True))


class OpenVINOSession:
    """A graph in OpenVINO, in float32 where it is not quantised.

    Args:
        path: Of the .xml file, with its .bin beside it, or of an .onnx file.
        device: "cpu".
        outputs: Names in the graph's order.
    """

    def __init__(self, path: Path, device: torch.device, outputs: tuple[str, ...]) -> None:
        openvino = import_openvino()
        if device.type != "cpu":
            raise ConfigError(
                f"runtime 'openvino' runs on the cpu here, not on {device}: leave the device out"
            )
        self.outputs = outputs
        options = {
            # of itself OpenVINO takes bfloat16 where the processor has it
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        # OpenVINO gives the thread that compiles a signal stack of its own (for AMX) and later
        # frees it: the next signal of that thread, be it Ctrl-C, would end the process. So the
        # thread is one that lives no longer than this.
        with ThreadPoolExecutor(1, "openvino") as thread:
            self._model = thread.submit(
                openvino.Core().compile_model, os.fspath(path), "CPU", options
            ).result()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name."""
        found = self._model(dict(inputs), share_inputs=True, share_outputs=False)
        return {name: found[place] for place, name in enumerate(self.outputs)}


class TorchExportSession:
    """A graph of `torch.export` in PyTorch.

    Args:
        path: Of the .pt2 file.
        device: Where it runs.
        outputs: Names in the graph's order.
    """

    def __init__(self, path: Path, device: torch.device, outputs: tuple[str, ...]) -> None:
        self.outputs, self.device = outputs, device
        self._module = torch.export.load(os.fspath(path)).module().to(device)

    @torch.no_grad()
    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name."""
        found = self._module(*(torch.from_numpy(each).to(self.device) for each in inputs.values()))
        return {name: each.cpu().numpy() for name, each in zip(self.outputs, found, strict=True)}


_Open = Callable[[Path, torch.device, tuple[str, ...]], GraphSession]

SESSIONS: Final[Mapping[str, tuple[tuple[Format, ...], _Open]]] = MappingProxyType(
    {
        "onnx": (("onnx",), OnnxSession),
        "openvino": (("openvino", "onnx"), OpenVINOSession),
        "torch": (("torch-export",), TorchExportSession),
    }
)
"""Runtime -> the formats it reads, and what opens a graph with it."""


def open_session(
    runtime: str, path: Path, device: torch.device, outputs: tuple[str, ...]
) -> GraphSession:
    """Return a graph's session.

    Raises:
        CheckpointError: The runtime cannot read the file: damaged, or operators it does not know.
        MissingExtraError: The runtime is not installed.
    """
    _, make = SESSIONS[runtime]
    try:
        return make(path, device, outputs)
    except (ConfigError, MissingExtraError):
        raise
    except Exception as error:  # each library has a tree of its own
        reason = str(error).strip().splitlines()
        raise CheckpointError(
            f"{path} cannot be opened by runtime {runtime!r}: {reason[-1] if reason else error!r}; "
            "it is damaged, or its operators are newer than the installed "
            f"{runtime if runtime != 'onnx' else 'onnxruntime'}: export the model again here"
        ) from error


def import_onnxruntime() -> Any:
    """Return the module.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "export", "run ONNX graphs") from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def import_openvino() -> Any:
    """Return the module.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("openvino", "openvino", "run graphs in OpenVINO") from error
    return openvino


def _providers(onnxruntime: Any, device: torch.device) -> list[str]:
    available = onnxruntime.get_available_providers()
    if device.type == "cpu":
        return ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in available:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]
    raise ConfigError(
        f"the installed onnxruntime does not run on {device}; it has {', '.join(available)}: "
        "take device cpu, or install onnxruntime-gpu for cuda"
    )
