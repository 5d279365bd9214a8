"""State dicts of other libraries: read without running code, fetched only when told to."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from maskwright.errors import CheckpointError

__all__ = ["check_tensors", "fetch_state_dict", "read_state_dict"]

# torch's safe unpickler meets damaged bytes with whatever its stack raises
_READING_ERRORS = (
    safetensors.SafetensorError,
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of a ".pth" or ".safetensors" file, without running code in it.

    A dictionary with the state dict under "model" or "state_dict", as training scripts write it,
    is unwrapped.

    Raises:
        CheckpointError: The file is missing, damaged or not a state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no weights file {path}")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        _require_torch_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _READING_ERRORS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} is damaged or holds more than tensors: {reason}") from error
    for key in ("model", "state_dict"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise CheckpointError(f"{path} is not a state dict (names with tensors)")
    return dict(state)


def _require_torch_file(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(2)
    if start not in (b"PK", b"\x80\x02"):  # a zip archive, or before torch 1.6 a bare pickle
        raise EOFError("neither of torch's two formats")


def fetch_state_dict(url: str) -> dict[str, Tensor]:
    """Fetch an official file into torch's cache, check its hash, and return its tensors.

    Raises:
        CheckpointError: No connection, or other bytes than announced; says where to put the file.
    """
    name = url.rpartition("/")[2]
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # no connection; RuntimeError: the hash differs
        raise CheckpointError(
            f"{url} could not be fetched ({error}). Fetch it on a machine with a connection and "
            f"put it into {folder}, or give its path: weights='{name}'"
        ) from error
    return state


def check_tensors(source: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Compare names and shapes of the tensors of a model and of a file.

    Args:
        source: The file, for the message.
        wanted: Of the model.
        found: Of the file, under the model's names.

    Raises:
        CheckpointError: Names the first tensors that differ.
    """
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is not part of the model" for name in found if name not in wanted]
    problems += [
        f"{name} is {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"{source} does not hold the tensors of this model: {', '.join(problems[:3])}{more}"
        )
