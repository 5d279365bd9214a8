"""The engine: a model's exact predictions, faster; see docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int32, UInt8

from maskwright.data import PixelFormat
from maskwright.errors import ConfigError
from maskwright.inference.engine.layers import fused_kernels_exist
from maskwright.inference.engine.rewriting import folded_copy, fuse
from maskwright.model import InstanceSegmenter, Model, SemanticSegmenter
from maskwright.structures import Batch, Instances

__all__ = ["Engine", "EnginePrecision", "SemanticEngine", "make_engine"]

EnginePrecision = Literal["fp32", "bf16"]


class _EngineOfAnyKind:
    """What engines of both kinds of model share."""

    def __init__(
        self, model: Model, *, precision: EnginePrecision = "fp32", compile: bool = False
    ) -> None:
        _require_precision(precision, model.device)
        self.precision = precision
        self.network: Any = folded_copy(model)
        is_plain = precision == "fp32" and model.device.type == "cpu" and not compile
        if is_plain and fused_kernels_exist():
            fuse(self.network)
        if compile:
            self.network.backbone.compile(dynamic=True)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label."""
        return tuple(self.network.class_names)

    @property
    def category_ids(self) -> tuple[int, ...]:
        """A dataset's id of each class."""
        return tuple(self.network.category_ids)

    @property
    def pixel_format(self) -> PixelFormat | None:
        """Channels, type and statistics of the pictures it takes; None is RGB of 8 bits."""
        taken: PixelFormat | None = self.network.pixel_format
        return taken

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        device: torch.device = self.network.device
        return device

    def collate(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Batch:
        """Resize RGB pictures and pad them to one batch, as the model does."""
        batch: Batch = self.network.collate(images)
        return batch

    def _prepared(self, batch: Batch) -> Batch:
        return replace(batch, images=batch.images.to(memory_format=torch.channels_last))

    def _arithmetic(self) -> AbstractContextManager[Any]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


class Engine(_EngineOfAnyKind):
    """Predicts what an `InstanceSegmenter` predicts: a `Runtime`.

    Batch norms are folded and channels come last; in float32 on a processor activations and
    shortcuts are also merged into the layers before them, RoIs are pooled by embedding bags, and
    one mask per box is drawn. Boxes differ from the model's by less than 0.01 px, scores by less
    than 0.0001 and masks in less than one pixel of 10,000: rounding.

    Args:
        model: Where it is the engine runs too. It is copied and stays as it is.
        precision: "bf16" computes in bfloat16, where the processor can; results are then not
            exact.
        compile: Let `torch.compile` make code for the backbone, at the first picture of each kind;
            on a processor it needs a C++ compiler.

    Raises:
        ConfigError: bfloat16 on a processor without it.
        MaskwrightError: The backbone does something that the engine gets wrong.
    """

    network: InstanceSegmenter

    @property
    def picture_side(self) -> int:
        """Short side, in pixels, of the pictures it knows."""
        return self.network.picture_side

    @property
    def object_side(self) -> int | None:
        """Side of large objects in the pictures it was trained on, in pixels, where known."""
        return self.network.object_side

    def collate_scaled(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], scale: float) -> Batch:
        """Make a batch as `collate` does, of pictures `scale` times as large in the network."""
        return self.network.collate_scaled(images, scale)

    def predict(self, batch: Batch) -> list[Instances]:
        """Return the objects of each picture on the CPU, in the frame of the original pictures."""
        with self._arithmetic():
            return self.network.predict(self._prepared(batch))

    def class_maps(self, batch: Batch) -> list[Int32[np.ndarray, "_ _"]]:
        """Return the class of each pixel of the originals, by the mask heads that have a map."""
        with self._arithmetic():
            return self.network.class_maps(self._prepared(batch))


class SemanticEngine(_EngineOfAnyKind):
    """Predicts what a `SemanticSegmenter` predicts: a `SemanticRuntime`; see `Engine`."""

    network: SemanticSegmenter

    def class_maps(self, batch: Batch) -> list[Int32[np.ndarray, "_ _"]]:
        """Return the class of each pixel of the originals: 0 background, label + 1."""
        with self._arithmetic():
            return self.network.class_maps(self._prepared(batch))


def make_engine(
    model: Model, *, precision: EnginePrecision = "fp32", compile: bool = False
) -> Engine | SemanticEngine:
    """Return the engine of a model of either kind; see `Engine`."""
    kind = Engine if isinstance(model, InstanceSegmenter) else SemanticEngine
    return kind(model, precision=precision, compile=compile)


def _require_precision(precision: str, device: torch.device) -> None:
    if precision == "bf16" and not _computes_in_bfloat16(device):
        raise ConfigError(
            f"precision 'bf16': this {device.type} device has no bfloat16 arithmetic and would be "
            "slower with it: take 'fp32'"
        )


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "mps"
