"""The step loop and what it needs: schedules, optimisers, averages, logs, resumable state."""

from __future__ import annotations

from maskwright.training.backward import Backward, Forward, accumulate, total_loss, whole_batch
from maskwright.training.display import StepDisplay, choose_display
from maskwright.training.distilling import Distillation, Distilled
from maskwright.training.ema import EMA
from maskwright.training.fake_quantising import FakeQuantised
from maskwright.training.fit import Precision, StepReport, fit
from maskwright.training.freezing import Freezing, FreezingConfig
from maskwright.training.log_services import LogService, ServiceName, open_services
from maskwright.training.logs import MetricsLog, report_values
from maskwright.training.memory import MemoryMeter, is_out_of_memory, memory_meter
from maskwright.training.optimizer import OptimizerConfig, parameter_groups
from maskwright.training.precision import available_cpus, choose_num_threads, choose_precision
from maskwright.training.processes import (
    Processes,
    is_first_process,
    join_processes,
    num_local_processes,
    num_processes,
    num_restarts,
)
from maskwright.training.random_state import seed_everything
from maskwright.training.run_folder import RunFolder, flat_options
from maskwright.training.schedules import (
    Budget,
    Schedule,
    Stopwatch,
    over_budget,
    step_decay,
    warmup_cosine,
)
from maskwright.training.state import ResumePoint, load_state, save_state

__all__ = [
    "EMA",
    "Backward",
    "Budget",
    "Distillation",
    "Distilled",
    "FakeQuantised",
    "Forward",
    "Freezing",
    "FreezingConfig",
    "LogService",
    "MemoryMeter",
    "MetricsLog",
    "OptimizerConfig",
    "Precision",
    "Processes",
    "ResumePoint",
    "RunFolder",
    "Schedule",
    "ServiceName",
    "StepDisplay",
    "StepReport",
    "Stopwatch",
    "accumulate",
    "available_cpus",
    "choose_display",
    "choose_num_threads",
    "choose_precision",
    "fit",
    "flat_options",
    "is_first_process",
    "is_out_of_memory",
    "join_processes",
    "load_state",
    "memory_meter",
    "num_local_processes",
    "num_processes",
    "num_restarts",
    "open_services",
    "over_budget",
    "parameter_groups",
    "report_values",
    "save_state",
    "seed_everything",
    "step_decay",
    "total_loss",
    "warmup_cosine",
    "whole_batch",
]
