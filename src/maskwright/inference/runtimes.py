"""The runtimes by name: what makes a loaded model ready to predict.

A runtime that is made from a model is one line of `RUNTIMES`. They share reading, resizing and
padding, non-maximum suppression, RoI pooling, pasting of masks and post-processing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from maskwright.errors import ConfigError, nearest_name

if TYPE_CHECKING:
    from maskwright.inference.runtime import Runtime, SemanticRuntime
    from maskwright.model import Model

__all__ = ["RUNTIMES", "Precision", "RuntimeKind", "make_runtime"]

Precision = Literal["fp32", "bf16", "int8"]
"""What a network computes in; only "fp32" gives a model's exact results."""


@dataclass(frozen=True, kw_only=True)
class RuntimeKind:
    """A way to run a model.

    Args:
        summary: What it does, for messages.
        precisions: What it can compute in.
        make: Makes it from a model that is where it shall run, the precision, and whether
            `torch.compile` shall be used.
        compiles: Whether `torch.compile` can be used.
    """

    summary: str
    precisions: tuple[Precision, ...]
    make: Callable[[Model, Precision, bool], Runtime | SemanticRuntime]
    compiles: bool = False


def _make_engine(model: Model, precision: Precision, compiled: bool) -> Runtime | SemanticRuntime:
    from maskwright.inference.engine import make_engine

    assert precision != "int8"
    return make_engine(model, precision=precision, compile=compiled)


def _as_it_is(model: Model, precision: Precision, compiled: bool) -> Runtime | SemanticRuntime:
    del precision, compiled
    return model


def _make_onnx(model: Model, precision: Precision, compiled: bool) -> Runtime | SemanticRuntime:
    del precision, compiled
    from maskwright.inference.export.passing import export_and_load

    return export_and_load(model, "onnx")


def _make_openvino(model: Model, precision: Precision, compiled: bool) -> Runtime | SemanticRuntime:
    del precision, compiled
    from maskwright.inference.export.passing import export_and_load

    return export_and_load(model, "openvino")


RUNTIMES: Final[Mapping[str, RuntimeKind]] = MappingProxyType(
    {
        "torch": RuntimeKind(
            summary="PyTorch, the model rewritten to be faster",
            precisions=("fp32", "bf16"),
            make=_make_engine,
            compiles=True,
        ),
        "eager": RuntimeKind(
            summary="PyTorch, the model as it was trained",
            precisions=("fp32",),
            make=_as_it_is,
        ),
        "onnx": RuntimeKind(
            summary="ONNX Runtime, on graphs of the model",
            precisions=("fp32",),
            make=_make_onnx,
        ),
        "openvino": RuntimeKind(
            summary="OpenVINO, on graphs of the model",
            precisions=("fp32",),
            make=_make_openvino,
        ),
    }
)

_GRAPHS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "onnx": ("onnx", "onnxscript", "onnxruntime"),
        "openvino": ("onnx", "onnxscript", "openvino"),
    }
)
"""Runtimes on graphs that are exported first, and the packages that needs."""

_INT8 = ": export the model with maskwright export --int8 --calibrate DATA and load the folder"


def make_runtime(
    model: Model, runtime: str = "auto", *, precision: str = "fp32", compile: bool = False
) -> Runtime | SemanticRuntime:
    """Return what runs the model.

    Args:
        model: On the device where it shall run.
        runtime: One of `RUNTIMES`; "measured", the quickest exact one of those that are installed;
            or "auto", what was measured before and can be had at once, else the engine. See
            `runtime_choice`.
        precision: One of the runtime's.
        compile: Use `torch.compile`.

    Raises:
        ConfigError: No such runtime, or one that cannot do what is asked.
    """
    name, is_plain = runtime, precision == "fp32" and not compile
    if name == "measured" and not is_plain:
        what = "compile" if precision == "fp32" else f"precision {precision!r}"
        raise ConfigError(
            f"runtime 'measured' chooses among those that are exact in fp32: name one for {what}"
        )
    if name in ("auto", "measured"):
        name = _chosen(model, name) if is_plain else "torch"
    if name not in RUNTIMES:
        near = nearest_name(name, [*RUNTIMES, "auto", "measured"])
        known = "; ".join(f"{each}: {kind.summary}" for each, kind in RUNTIMES.items())
        raise ConfigError(f"there is no runtime {name!r}.{near} There are auto; measured; {known}")
    kind = RUNTIMES[name]
    found = next((each for each in kind.precisions if each == precision), None)
    if found is None:
        able = [each for each, other in RUNTIMES.items() if precision in other.precisions]
        if precision == "int8":
            able = []  # no runtime makes it of a model without pictures to calibrate on
        hint = f": take runtime {' or '.join(map(repr, able))}" if able else ""
        raise ConfigError(
            f"runtime {name!r} computes in {' or '.join(kind.precisions)}, not in {precision!r}"
            f"{hint}{_INT8 if precision == 'int8' else ''}"
        )
    if compile and not kind.compiles:
        raise ConfigError(f"runtime {name!r} runs the model as it is: leave compile out")
    return kind.make(model, found, compile)


def _chosen(model: Model, runtime: str) -> str:
    """Return the runtime that "auto" or "measured" stands for, by the model's architecture."""
    from maskwright.inference.runtime_choice import architecture_key, choose

    device = model.device.type
    key = architecture_key(model.config, len(model.class_names), device)
    names = ["torch", "eager"]
    if device == "cpu":
        names += [name for name, packages in _GRAPHS.items() if all(map(find_spec, packages))]
    makers = {name: partial(RUNTIMES[name].make, model, "fp32", False) for name in names}
    name, _ = choose(runtime, key, model.config, makers)
    # exporting is not what somebody who leaves the choice to us expects to wait for
    return "torch" if runtime == "auto" and not _is_at_hand(model, name) else name


def _is_at_hand(model: Model, name: str) -> bool:
    """Whether a runtime needs no export: a graph runtime, whose graphs of this model are kept."""
    if name not in ("onnx", "openvino"):
        return True
    from maskwright.inference.export.passing import kept_graphs

    kept = kept_graphs(model, "onnx" if name == "onnx" else "openvino")
    return kept is not None and kept.is_dir()
