"""The global random states of Python, NumPy and PyTorch as plain tensors and numbers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["get_random_state", "seed_everything", "set_random_state"]


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and PyTorch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def get_random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the states as tensors by source, and what is no tensor as JSON values."""
    version, python_words, python_gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)
    tensors = {
        "python": torch.tensor(python_words, dtype=torch.int64),
        "numpy": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"cuda{index}"] = state
    numbers = {
        "python_version": version,
        "python_gauss": python_gauss,
        "numpy_position": int(numpy_state["state"]["pos"]),
        "numpy_has_gauss": int(numpy_state["has_gauss"]),
        "numpy_gauss": float(numpy_state["gauss"]),
    }
    return tensors, numbers


def set_random_state(tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Put back what `get_random_state` returned; devices that are not here are passed over."""
    words = tuple(int(word) for word in tensors["python"].tolist())
    random.setstate((numbers["python_version"], words, numbers["python_gauss"]))
    np.random.set_state(
        {
            "bit_generator": "MT19937",
            "state": {
                "key": tensors["numpy"].numpy().astype(np.uint32),
                "pos": numbers["numpy_position"],
            },
            "has_gauss": numbers["numpy_has_gauss"],
            "gauss": numbers["numpy_gauss"],
        }
    )
    torch.set_rng_state(tensors["torch"])
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda{index}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda{index}"], index)
