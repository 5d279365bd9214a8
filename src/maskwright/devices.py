"""Which device a network runs on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maskwright.errors import ConfigError

if TYPE_CHECKING:
    import torch

__all__ = ["choose_device"]


def choose_device(name: str | None = None) -> torch.device:
    """Return the named device, or the best there is: a GPU before the CPU.

    Of several processes that torchrun started on a machine, each takes the GPU of its own number.

    Args:
        name: As torch names it: "cpu", "cuda", "cuda:1", "mps"; None chooses.

    Raises:
        ConfigError: The device is not on this machine.

    >>> choose_device("cpu")
    device(type='cpu')
    """
    import torch

    is_there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    name = name or next(kind for kind, there in is_there.items() if there)
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    if not is_there.get(name.partition(":")[0], False):
        there = ", ".join(kind for kind, there in is_there.items() if there)
        raise ConfigError(f"device {name!r} is not on this machine; there is {there}")
    return torch.device(name)
