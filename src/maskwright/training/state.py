"""Everything a run needs to go on as if it had never stopped, in one safetensors file.

Tensors: `model.<name>`, `optimizer.<parameter>.<slot>`, `ema.<name>`, `random.<source>`, and
`random<rank>.<source>` of the other processes of a distributed run. The rest is JSON under the key
`maskwright` of the header. Weights are in it too, not only in `last.safetensors`: with two files, a
kill between them would pair weights and momentum of different steps. Nothing is pickled, so reading
a state never runs code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from maskwright.errors import TrainingError
from maskwright.files import atomic_write
from maskwright.training.ema import EMA
from maskwright.training.processes import Processes
from maskwright.training.random_state import (
    get_random_state,
    seed_everything,
    set_random_state,
)

__all__ = ["ResumePoint", "load_state", "save_state"]

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ResumePoint:
    """Where in a run a state was saved.

    Args:
        step: Steps done.
        elapsed_seconds: Wall clock used by the run so far, over all its sessions.
        best_score: The best validation score so far; None before the first evaluation.
        notes: Further JSON values that the caller wants back.
    """

    step: int
    elapsed_seconds: float = 0.0
    best_score: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def save_state(
    path: str | os.PathLike[str],
    point: ResumePoint,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: EMA | None = None,
    processes: Processes | None = None,
) -> None:
    """Write the whole state of a run; the file is replaced at once or not at all.

    The random states of Python, NumPy and PyTorch are those at the time of the call.

    Args:
        path: The file to write.
        point: The position in the run.
        model: The bare model, not its DDP wrapper.
        optimizer: Built by `OptimizerConfig.build` (its groups know the parameters' names).
        ema: The moving average, if there is one.
        processes: Those of a distributed run, each of which makes this call; the first writes.

    Raises:
        TrainingError: The file could not be written; an older one is still whole.
    """
    processes = processes or Processes()
    random_states = processes.gather(get_random_state())
    if not processes.is_first:
        return
    tensors = {
        **_prefixed("model", model.state_dict()),
        **_prefixed("optimizer", _optimizer_tensors(optimizer)),
        **_prefixed("ema", {} if ema is None else ema.state_dict()),
    }
    for rank, (random_tensors, _) in enumerate(random_states):
        tensors |= _prefixed(_random(rank), random_tensors)
    header = {
        "format": _FORMAT,
        "point": asdict(point),
        "optimizer": type(optimizer).__name__,
        **{_random(rank): numbers for rank, (_, numbers) in enumerate(random_states)},
    }
    try:
        with atomic_write(path) as partial:
            save_file(_separate(tensors), partial, {"maskwright": json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"the state of the run could not be written to {path}: {error}. What was there before "
            "is still whole: free some space and resume, or start again if nothing was saved yet"
        ) from error


def load_state(
    path: str | os.PathLike[str],
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    ema: EMA | None = None,
    processes: Processes | None = None,
) -> ResumePoint:
    """Put model, optimiser, average and random states back; return where the run was.

    Everything is checked before anything is changed. Random states are set too: call this last,
    just before `fit`. A process that the saved run did not have draws anew.

    Raises:
        TrainingError: The file is missing, damaged, of another version, or of another model,
            optimiser or kind of run.
    """
    rank = processes.rank if processes is not None else 0
    random = _random(rank)
    tensors, header = _read(Path(path))
    parts = {
        part: {
            name.removeprefix(f"{part}."): tensor
            for name, tensor in tensors.items()
            if name.startswith(f"{part}.")
        }
        for part in ("model", "optimizer", "ema", random)
    }
    _require_alike(parts["model"], model.state_dict(), f"the weights in {path}")
    if (ema is None) != (not parts["ema"]):
        saved, wanted = ("without", "with") if ema is not None else ("with", "without")
        raise TrainingError(
            f"{path} was saved {saved} a moving average and is resumed {wanted} one: "
            "resume with the configuration the run was started with"
        )
    if header["optimizer"] != type(optimizer).__name__:
        raise TrainingError(
            f"{path} was saved with the optimiser {header['optimizer']} and is resumed with "
            f"{type(optimizer).__name__}: resume with the configuration the run was started with"
        )
    optimizer_state = _optimizer_state(optimizer, parts["optimizer"], path)
    if ema is not None:
        ema.load_state_dict(parts["ema"])
    model.load_state_dict(parts["model"])
    optimizer.load_state_dict(optimizer_state)
    point = ResumePoint(**header["point"])
    if random in header:
        set_random_state(parts[random], header[random])
    else:
        seed_everything(hash((point.step, rank)) % 2**31)
    return point


def _random(rank: int) -> str:
    return f"random{rank or ''}"


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise TrainingError(f"there is no state to resume from at {path}: start the run anew")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("maskwright", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise TrainingError(f"{path} is damaged, a saved state was wanted: {error}") from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        found = header.get("format") if isinstance(header, dict) else "none"
        raise TrainingError(
            f"{path} holds a state of format {found}, this version reads format {_FORMAT}: "
            "resume with the version of maskwright that wrote it"
        )
    return tensors, header


def _named_slots(optimizer: torch.optim.Optimizer) -> dict[str, tuple[int, nn.Parameter]]:
    """Return index and parameter by name, in the order in which torch numbers them."""
    names = [name for group in optimizer.param_groups for name in group["names"]]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {name: (i, p) for i, (name, p) in enumerate(zip(names, parameters, strict=True))}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return momentum and the like by "<parameter>.<slot>"; a slot that is None is left out."""
    return {
        f"{name}.{slot}": torch.as_tensor(value)
        for name, (_, parameter) in _named_slots(optimizer).items()
        for slot, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def _optimizer_state(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], path: object
) -> dict[str, Any]:
    """Return a state dict for `optimizer`: its own groups, the slots from `tensors`."""
    slots = _named_slots(optimizer)
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, slot = key.rpartition(".")
        if name not in slots or (tensor.ndim and tensor.shape != slots[name][1].shape):
            raise TrainingError(
                f"the optimiser's {slot} of {name} in {path}, {tuple(tensor.shape)}, fits no "
                "parameter of this model: resume with the configuration the run was started with"
            )
        state.setdefault(slots[name][0], {})[slot] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}


def _require_alike(saved: Mapping[str, Tensor], wanted: Mapping[str, Tensor], subject: str) -> None:
    missing, extra = sorted(wanted.keys() - saved.keys()), sorted(saved.keys() - wanted.keys())
    reshaped = sorted(n for n in wanted.keys() & saved.keys() if wanted[n].shape != saved[n].shape)
    if first := [*missing, *extra, *reshaped][:1]:
        raise TrainingError(
            f"{subject} are of another model: {len(missing)} tensors missing, {len(extra)} "
            f"unknown, {len(reshaped)} of another shape, the first is {first[0]}: resume with the "
            "configuration the run was started with"
        )


def _prefixed(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{part}.{name}": tensor for name, tensor in tensors.items()}


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors on the processor, no two of which share memory."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage().data_ptr()
        if storage in seen:  # tied weights; safetensors stores each tensor once
            plain = plain.clone()
        seen.add(storage)
        result[name] = plain
    return result
