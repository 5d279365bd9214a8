"""Prediction over many pictures on Ray: parts to workers by Ray Data, results as by one process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskwright.errors import MaskwrightError
from maskwright.inference.folder_run import PredictionRun
from maskwright.inference.parts import (
    PartOptions,
    Plan,
    join_parts,
    open_plan,
    predict_part,
    read_plan,
)
from maskwright.inference.postprocess import require_classes
from maskwright.ray_session import (
    LOCAL,
    import_ray,
    ray_session,
    require_address,
    worker_resources,
)

__all__ = ["predict_on_ray"]


def predict_on_ray(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    options: PartOptions,
    *,
    ray: str = LOCAL,
    parallel: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PredictionRun:
    """Find the objects in every picture, on all machines of a cluster, and write the results.

    The files are those of `predict_to_folder`. Pictures go to workers in parts; what a part has of
    the run's files waits in `OUT/.parts` until all are done. Called again after an interruption,
    parts that are done are not predicted again. A worker that dies is replaced and its part tried
    again; a picture on which three in a row died is left out.

    On a cluster, maskwright must be installed on all machines, and pictures, model and `out` must
    lie on storage that they share under one path.

    Args:
        sources: Files, folders and patterns, or one folder or URL of shards. Of shards, each
            picture's files lie in a folder of its shard, and ids and names are those it has there.
        out: The folder to write to.
        options: The model, and how it predicts.
        ray: "local" starts Ray on this machine; "auto" or an address takes a cluster.
        parallel: Workers; None takes one for each GPU, or each core where there are no GPUs.
        progress: Called after each part with the pictures done and all.

    Raises:
        MissingExtraError: Ray is not installed.
        DataError: A source that does not exist or holds no pictures.
        ConfigError: An impossible option, or `out` holds parts of another run.
        MaskwrightError: A part failed in a way that others will, too.
        OSError: A file cannot be written.
    """
    require_address(ray)
    import_ray()
    options = replace(options, model=options.model.absolute())
    _check(options)
    plan = open_plan([os.fspath(source) for source in sources], out, options)
    waiting = [part.number for part in plan.parts if not plan.is_done(part.number)]
    done = plan.num_pictures - sum(plan.parts[number].count for number in waiting)
    if progress is not None:
        progress(done, plan.num_pictures)
    if waiting:
        with ray_session(ray) as connected:
            for number in _predict(connected, plan, waiting, parallel):
                done += plan.parts[number].count
                if progress is not None:
                    progress(done, plan.num_pictures)
    return join_parts(plan, Path(out))


def _check(options: PartOptions) -> None:
    """Open the model once, so that what is impossible is said before workers are started."""
    predictor = replace(options.model, device="cpu").open()
    predictor.finder()
    predictor.score_thresholds(options.score_threshold)
    require_classes(options.steps.classes or (), predictor.class_names)


def _predict(ray: Any, plan: Plan, waiting: list[int], parallel: int | None) -> Any:
    """Yield the number of each part as it is done."""
    count, resources = worker_resources(ray, parallel)
    count = min(count, len(waiting))
    parts = ray.data.from_items(
        [{"part": number} for number in waiting], override_num_blocks=len(waiting)
    )
    reports = parts.map_batches(
        _PartWorker,
        batch_size=1,
        fn_constructor_args=(str(plan.out),),
        compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=2),
        **resources,
    )
    for row in reports.iter_rows():
        if row["error"]:
            raise MaskwrightError(row["error"])
        yield int(row["part"])


class _PartWorker:
    """A process with the model, for as many parts as come."""

    def __init__(self, out: str) -> None:
        self._predictor: Any = None
        self._plan: Any = None
        self._out = out

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predict the parts of these numbers."""
        numbers = [int(number) for number in batch["part"]]
        return {"part": numbers, "error": [self._predict(number) for number in numbers]}

    def _predict(self, number: int) -> str:
        try:
            if self._predictor is None:
                self._plan = read_plan(self._out)
                self._predictor = self._plan.options.model.open()
            predict_part(self._plan, number, self._predictor)
        except (MaskwrightError, OSError) as error:  # the driver raises it, without Ray's trace
            return f"part {number}: {error}"
        return ""
