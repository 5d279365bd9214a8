"""A run's numbers at services where teams look: MLflow and Weights & Biases, through extras.

RUN/metrics.csv stays the whole truth: a service that cannot be reached costs a warning, never a
run. The id under which a service knows the run is kept in RUN/log_services.json, so that a resumed
run goes on under it.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any, Literal, TypeAlias

from maskwright.errors import MissingExtraError
from maskwright.files import write_json

__all__ = ["LogService", "MLflowLog", "ServiceName", "WandbLog", "open_services"]

ServiceName: TypeAlias = Literal["mlflow", "wandb"]

_IDS = "log_services.json"
_ROWS = 100
"""Numbers held back before they are sent: a request per step would cost more than the step."""


class LogService(ABC):
    """Numbers by step, sent to a service; problems of the service are warnings.

    Args:
        run: The run folder.
        config: What the run was started with, nested.
    """

    name: ServiceName

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        self._works = True
        ids_path = run / _IDS
        ids = json.loads(ids_path.read_text(encoding="utf-8")) if ids_path.is_file() else {}
        self._guard(lambda: ids.update({self.name: self._open(run, config, ids.get(self.name))}))
        if self._works:
            write_json(ids_path, ids)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Send the finite ones of the numbers of a step."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._guard(lambda: self._write(step, finite))

    def close(self) -> None:
        """Send what was held back, and end the run there."""
        self._guard(self._close)

    def _guard(self, action: Callable[[], None]) -> None:
        if not self._works:
            return
        try:
            action()
        except MissingExtraError:
            raise
        except Exception as error:  # noqa: BLE001 - a service of any kind of failure
            self._works = False
            warnings.warn(
                f"{self.name} takes no more numbers of this run ({error}); metrics.csv has them",
                stacklevel=3,
            )

    @abstractmethod
    def _open(self, run: Path, config: Mapping[str, Any], known: str | None) -> str:
        """Begin, or go on under a known id; return the id."""

    @abstractmethod
    def _write(self, step: int, values: Mapping[str, float]) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class MLflowLog(LogService):
    """Writes to MLflow, at `MLFLOW_TRACKING_URI`, or to mlflow.db beside the run folder."""

    name = "mlflow"

    def _open(self, run: Path, config: Mapping[str, Any], known: str | None) -> str:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow import MlflowClient
        except ModuleNotFoundError as error:
            raise MissingExtraError("mlflow", "mlflow", "log to MLflow") from error
        address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.parent / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=address)
        self._held: list[Any] = []
        if known is not None:
            self._run = known
            self._client.set_terminated(known, status="RUNNING")
            return known
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "maskwright")
        found = self._client.get_experiment_by_name(experiment)
        number = found.experiment_id if found else self._client.create_experiment(experiment)
        self._run = self._client.create_run(number, run_name=run.name).info.run_id
        for name, value in _flat(config).items():
            self._client.log_param(self._run, name, value)
        return self._run

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = round(1000 * time())
        self._held += [Metric(name, value, now, step) for name, value in values.items()]
        if len(self._held) >= _ROWS:
            self._send()

    def _send(self) -> None:
        self._client.log_batch(self._run, metrics=self._held)
        self._held = []

    def _close(self) -> None:
        self._send()
        self._client.set_terminated(self._run)


class WandbLog(LogService):
    """Writes to Weights & Biases, as its own environment variables and login say."""

    name = "wandb"

    def _open(self, run: Path, config: Mapping[str, Any], known: str | None) -> str:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise MissingExtraError("wandb", "wandb", "log to Weights & Biases") from error
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "maskwright"),
            name=run.name,
            dir=str(run),
            id=known,
            resume="allow" if known else None,
            config=dict(config),
            settings=wandb.Settings(console="off", silent=True),
        )
        return str(self._run.id)

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def _close(self) -> None:
        self._run.finish()


_SERVICES: dict[ServiceName, type[LogService]] = {"mlflow": MLflowLog, "wandb": WandbLog}


def open_services(
    names: Sequence[ServiceName], run: Path, config: Mapping[str, Any]
) -> list[LogService]:
    """Return the services of these names, ready for the run's numbers.

    Args:
        names: "mlflow", "wandb".
        run: The run folder.
        config: What the run was started with, nested; the services show it as parameters.

    Raises:
        MissingExtraError: A service's package is not installed.
    """
    return [_SERVICES[name](run, config) for name in dict.fromkeys(names)]


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(inner)
    return flat
