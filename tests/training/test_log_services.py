"""MLflow and Weights & Biases, on local stores: numbers arrive, resumed runs go on, and no harm."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from maskwright.training import open_services

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "first"
    folder.mkdir()
    return folder


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("mlflow")
    address = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


def test_mlflow_holds_the_numbers_of_a_run_and_of_its_resumption(
    run: Path, mlflow_store: str
) -> None:
    from mlflow import MlflowClient

    for steps in ((1, 2), (3,)):
        (service,) = open_services(["mlflow"], run, {"recipe": {"seed": 7}})
        for step in steps:
            service.write(step, {"loss/total": 1.0 / step, "loss/odd": float("nan")})
        service.close()
    number = json.loads((run / "log_services.json").read_text())["mlflow"]
    client = MlflowClient(tracking_uri=mlflow_store)
    kept = client.get_run(number)
    assert kept.data.params == {"recipe.seed": "7"}
    assert kept.info.run_name == "first"
    assert kept.info.status == "FINISHED"
    history = {m.step: m.value for m in client.get_metric_history(number, "loss/total")}
    assert history == {1: 1.0, 2: 0.5, 3: pytest.approx(1 / 3)}
    assert not client.get_metric_history(number, "loss/odd")


def test_a_service_that_cannot_be_reached_costs_one_warning(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    (run / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{run / 'file' / 'x.db'}")
    with pytest.warns(UserWarning, match=r"mlflow takes no more numbers .* metrics.csv has them"):
        (service,) = open_services(["mlflow"], run, {})
    service.write(1, {"loss/total": 1.0})
    service.close()
    assert not (run / "log_services.json").exists()


def test_wandb_writes_offline_runs(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (service,) = open_services(["wandb"], run, {"recipe": {"seed": 7}})
    service.write(1, {"loss/total": 1.0})
    service.close()
    (written,) = (run / "wandb").glob("offline-run-*/run-*.wandb")
    until = time.monotonic() + 60  # its own process writes, whenever it gets to it
    while b"loss/total" not in written.read_bytes() and time.monotonic() < until:
        time.sleep(0.1)
    assert b"loss/total" in written.read_bytes()
    assert json.loads((run / "log_services.json").read_text())["wandb"] in written.name
