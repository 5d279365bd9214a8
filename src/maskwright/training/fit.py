"""The training loop, in plain sight: one optimiser step per batch.

for report in fit(model, loader, optimizer, schedule, num_steps=1000, ema=ema):
    ...  # the caller logs, evaluates, saves and stops between two steps
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import torch
from torch import Tensor, nn

from maskwright.errors import OutOfMemoryError, TrainingError
from maskwright.structures import Batch, Losses
from maskwright.training.backward import Backward, Forward, whole_batch
from maskwright.training.ema import EMA
from maskwright.training.memory import is_out_of_memory
from maskwright.training.optimizer import set_learning_rate
from maskwright.training.schedules import Schedule

__all__ = ["DivergedError", "Precision", "StepOutOfMemoryError", "StepReport", "fit"]

Precision = Literal["fp32", "bf16"]


class DivergedError(TrainingError):
    """A loss or a gradient is not finite."""


class StepOutOfMemoryError(OutOfMemoryError):
    """A step needed more memory than there is.

    Args:
        message: What happened.
        batch: The pictures of the step.
    """

    def __init__(self, message: str, batch: Batch) -> None:
        super().__init__(message)
        self.batch = batch


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """What one optimiser step did.

    Args:
        step: Steps done so far, this one included: where a resumed run starts.
        losses: Each loss by its name, a mean over the pictures of the batch.
        total: Their sum, which was minimised.
        learning_rate: The rate of this step; of several parameter groups, the highest.
        grad_norm: Euclidean norm of all gradients before clipping.
        seconds: Wall clock from asking for the batch to the end of the step; what the caller does
            between two steps is not in it.
        data_seconds: The part of `seconds` spent waiting for the batch.
        num_images: Pictures in the batch.
    """

    step: int
    losses: dict[str, float]
    total: float
    learning_rate: float
    grad_norm: float
    seconds: float
    data_seconds: float
    num_images: int


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: Schedule,
    *,
    start_step: int = 0,
    num_steps: int | None = None,
    backward: Backward = whole_batch,
    ema: EMA | None = None,
    clip_norm: float | None = None,
    precision: Precision = "fp32",
    device: torch.device | str = "cpu",
    mean: Callable[[Tensor], Tensor] | None = None,
    before_step: Callable[[int], None] | None = None,
) -> Iterator[StepReport]:
    """Train, yielding a report after each step; nothing happens between two steps.

    The model is put into training mode before each step, so the caller may evaluate it in between.
    Drawing a batch leaves PyTorch's random state as it was (worker processes draw a seed whenever
    they start, and a resumed run starts them at another step): `batches` must carry random
    generators of its own, and everything random in the model follows from the saved random state.

    Args:
        model: `model(batch)` returns its losses, and moves the batch to where the model is. May be
            wrapped (DDP).
        batches: One batch per step; the first is the batch of step `start_step`.
        optimizer: Each parameter group has its full learning rate under `initial_lr`.
        schedule: Steps done -> factor on each group's full learning rate.
        start_step: Steps done before, by the run that is resumed.
        num_steps: Steps in all, those before `start_step` included; None goes on until `batches`
            ends or the caller stops.
        backward: How a batch becomes gradients.
        ema: Follows the weights after each step.
        clip_norm: Gradients are scaled down to this Euclidean norm where theirs is larger.
        precision: "bf16" runs the forward pass under autocast; weights stay float32.
        device: Where the model is.
        mean: Of several processes, makes the losses of this one the mean over all of them
            (`Processes.mean`), so that all report, and refuse, the same numbers.
        before_step: Told the steps done before each step, when the model is in training mode:
            freezes parts of it (`Freezing`).

    Raises:
        DivergedError: A loss or a gradient is not finite (the message names the pictures; the
            weights and the averages stay as the last step left them).
        TrainingError: `batches` ends before `num_steps`.
        StepOutOfMemoryError: There is not enough memory for the step; it holds the batch.
    """
    forward = _forward(model, precision, torch.device(device).type)
    iterator = _draw_apart(batches)
    step = start_step
    while num_steps is None or step < num_steps:
        started = perf_counter()
        batch = next(iterator, None)
        if batch is None:
            _require_end_wanted(step, num_steps)
            return
        data_seconds = perf_counter() - started
        learning_rate = set_learning_rate(optimizer, schedule(step))
        model.train()
        if before_step is not None:
            before_step(step)
        optimizer.zero_grad(set_to_none=True)
        with _memory_explained(batch, step):
            losses = _as_floats(backward(forward, batch), mean)
            _require_finite_losses(losses, batch, step)
            grad_norm = _clip(model, clip_norm, batch, step)
            optimizer.step()
            if ema is not None:
                ema.update()
        step += 1
        yield StepReport(
            step=step,
            losses=losses,
            total=math.fsum(losses.values()),
            learning_rate=learning_rate,
            grad_norm=grad_norm,
            seconds=perf_counter() - started,
            data_seconds=data_seconds,
            num_images=len(batch),
        )


@contextmanager
def _memory_explained(batch: Batch, step: int) -> Iterator[None]:
    """Turn what the devices raise where memory runs out into one error of ours."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        height, width = batch.images.shape[-2:]
        raise StepOutOfMemoryError(
            f"step {step + 1}: out of memory with {len(batch)} pictures of {height} x {width} "
            f"pixels, padding included ({_pictures(batch)})",
            batch,
        ) from None  # the traceback would hold what the step has allocated


def _forward(model: nn.Module, precision: Precision, device_type: str) -> Forward:
    if precision not in ("fp32", "bf16"):
        raise TrainingError(f"precision must be 'fp32' or 'bf16', got {precision!r}")

    def forward(batch: Batch) -> Losses:
        with torch.autocast(device_type, torch.bfloat16) if precision == "bf16" else nullcontext():
            losses: Losses = model(batch)
        return losses

    return forward


def _draw_apart(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Iterate `batches` without moving PyTorch's global random state."""
    with torch.random.fork_rng(devices=[]):
        iterator = iter(batches)
    while True:
        with torch.random.fork_rng(devices=[]):
            batch = next(iterator, None)
        if batch is None:
            return
        yield batch


def _as_floats(losses: Losses, mean: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
    # One transfer for all: every .item() would wait for the device.
    values = torch.stack([loss.detach().float() for loss in losses.values()])
    values = values if mean is None else mean(values)
    return dict(zip(losses, values.tolist(), strict=True))


def _require_end_wanted(step: int, num_steps: int | None) -> None:
    if num_steps is not None:
        raise TrainingError(
            f"the batches ended after step {step}, {num_steps} steps were wanted: "
            "let the loader go round again, or ask for fewer steps"
        )


def _require_finite_losses(losses: dict[str, float], batch: Batch, step: int) -> None:
    broken = [f"{name} = {value}" for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        raise DivergedError(
            f"step {step + 1}: loss {', '.join(broken)} is not finite on {_pictures(batch)}: "
            "lower the learning rate, clip gradients, or look at these pictures' annotations"
        )


def _clip(model: nn.Module, clip_norm: float | None, batch: Batch, step: int) -> float:
    """Clip the gradients and return their norm before it; refuse those that are not finite."""
    named = [(name, p) for name, p in model.named_parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for _, p in named if p.grad is not None])
    if not math.isfinite(value := float(norm)):
        names = [n for n, p in named if p.grad is not None and not bool(p.grad.isfinite().all())]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        raise DivergedError(
            f"step {step + 1}: the gradient of {shown or 'the whole model (its norm)'} is not "
            f"finite on {_pictures(batch)}: lower the learning rate, or train in fp32"
        )
    if clip_norm is not None:
        nn.utils.clip_grads_with_norm_([p for _, p in named], clip_norm, norm)
    return value


def _pictures(batch: Batch) -> str:
    names = batch.names or tuple(f"#{index} of the batch" for index in range(len(batch)))
    return ("picture " if len(names) == 1 else "pictures ") + ", ".join(names)
