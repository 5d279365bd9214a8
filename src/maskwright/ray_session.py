"""Ray where it is asked for: a session of this machine, or one of a cluster.

Nothing is reported to anybody and no dashboard is opened.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from maskwright.errors import ConfigError, MaskwrightError, MissingExtraError

__all__ = ["LOCAL", "import_ray", "ray_session", "require_address", "worker_resources"]

LOCAL = "local"
"""Starts Ray on this machine, for as long as it is needed."""

_ADDRESS = re.compile(r"local|auto|ray://[\w.\-\[\]:]+:\d+|[\w.\-\[\]:]+:\d+")

_STORE_BYTES = 200 * 2**20
"""Of a session of this machine: names and numbers pass through it, no pictures."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    # Ray's core tells of actors that can be restarted as if that were an error.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def require_address(address: str) -> str:
    """Return the address if it is one.

    Raises:
        ConfigError: Neither "local" nor "auto", nor a host with a port.

    >>> require_address("ray://head:10001"), require_address("auto")
    ('ray://head:10001', 'auto')
    """
    if not _ADDRESS.fullmatch(address):
        raise ConfigError(
            f"Ray's address is local, auto, HOST:PORT or ray://HOST:PORT, got {address!r}: a bare "
            "--ray stands last, or before another option"
        )
    return address


def import_ray() -> Any:
    """Return the module, told to be quiet.

    Raises:
        MissingExtraError: It is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's own, on its own options
        try:
            import ray
            import ray.data

            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
        except ModuleNotFoundError as error:
            raise MissingExtraError("ray", "ray", "spread work over a cluster") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def ray_session(address: str = LOCAL, *, num_cpus: int | None = None) -> Iterator[Any]:
    """Lend Ray, connected; a session that was started or joined here is left at the end.

    A session that this process has already is taken as it is, whatever the address, and kept.

    Args:
        address: "local" starts Ray on this machine; "auto" finds the cluster that this machine
            is part of; or the address of one.
        num_cpus: Of a session of this machine; None takes all.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: No address.
        MaskwrightError: No cluster answers.
    """
    require_address(address)
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {"num_cpus": num_cpus, "include_dashboard": False}
        options |= {"object_store_memory": _STORE_BYTES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _quiet_core():
                ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, TimeoutError) as error:
            raise MaskwrightError(
                f"Ray does not answer at {address!r} ({error}): is the cluster up (ray status)?"
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _quiet_core() -> Iterator[None]:
    """Keep what Ray's core writes past Python's logging from the terminal: errors are raised."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def worker_resources(ray: Any, wanted: int | None) -> tuple[int, dict[str, float]]:
    """Return how many workers to run at once, and what each of them takes of the cluster.

    Args:
        ray: Connected.
        wanted: Workers; None takes one for each GPU, or for each processor core where there are
            no GPUs.

    Raises:
        ConfigError: Fewer than one worker.
    """
    if wanted is not None and wanted < 1:
        raise ConfigError(f"parallel must be 1 worker or more, got {wanted}")
    there = ray.cluster_resources()
    cpus, gpus = int(there.get("CPU", 1)), int(there.get("GPU", 0))
    count = wanted or gpus or max(1, cpus)
    resources: dict[str, float] = {"num_cpus": max(1, cpus // count)}
    if gpus:
        resources["num_gpus"] = min(1.0, gpus / count)
    return count, resources
