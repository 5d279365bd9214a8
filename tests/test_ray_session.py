"""Ray on this machine: quiet, told to report nothing, and gone when it is done with."""

from __future__ import annotations

import os

import pytest

from maskwright.errors import ConfigError, MissingExtraError
from maskwright.ray_session import import_ray, require_address, worker_resources


@pytest.mark.parametrize("address", ["local", "auto", "head:6379", "10.0.0.1:6379",
                                     "ray://head:10001"])  # fmt: skip
def test_addresses_are_taken(address: str) -> None:
    assert require_address(address) == address


@pytest.mark.parametrize("address", ["model.safetensors", "pictures/", "", "ray://"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="a bare --ray stands last"):
        require_address(address)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maskwright\[ray\]'"):
        import_ray()


class _Cluster:
    def __init__(self, **resources: float) -> None:
        self._resources = resources

    def cluster_resources(self) -> dict[str, float]:
        return self._resources


def test_workers_share_the_cluster() -> None:
    assert worker_resources(_Cluster(CPU=8.0), None) == (8, {"num_cpus": 1})
    assert worker_resources(_Cluster(CPU=8.0), 2) == (2, {"num_cpus": 4})
    assert worker_resources(_Cluster(CPU=2.0), 5) == (5, {"num_cpus": 1})
    assert worker_resources(_Cluster(CPU=16.0, GPU=4.0), None) == (
        4, {"num_cpus": 4, "num_gpus": 1.0},
    )  # fmt: skip
    assert worker_resources(_Cluster(CPU=8.0, GPU=2.0), 4)[1]["num_gpus"] == 0.5
    with pytest.raises(ConfigError, match="parallel must be 1"):
        worker_resources(_Cluster(CPU=8.0), 0)


def test_telemetry_is_off_before_ray_is_imported() -> None:
    pytest.importorskip("ray")
    import_ray()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
