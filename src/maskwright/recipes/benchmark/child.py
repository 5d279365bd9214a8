"""The process of one side of a benchmark: it predicts when it is asked, and says what that took.

    python child.py

reads a line of JSON that says what the side is, answers with {"ready": ...}, and then answers every
further line, {"picture": FILE, "wants_results": bool}, with what `Predictions.measure` returns. An
error is answered by {"error": text, "kind": its class}.

The file runs alone, by path and with the standard library, for peers may live in an environment
without maskwright; `peers.py` beside it likewise. What a library prints goes to stderr.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

__all__ = ["READING", "Predictions", "Stages", "serve"]

READING, ENCODING = "reading", "encoding"

Results = list[dict[str, Any]]
"""COCO results of a picture: segmentation, score, bbox, category_id."""


class Stages:
    """Where something that grows goes, by stage: seconds, or floating-point operations.

    Stages may be nested; each is counted without those inside it, so that they add up.

    Args:
        clock: What is read at the beginning and the end of a stage.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.spent: dict[str, float] = {}
        self._clock = clock
        self._inside: list[float] = []

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count what happens inside as this stage's."""
        begin = self._clock()
        self._inside.append(0.0)
        try:
            yield
        finally:
            whole = self._clock() - begin
            own = whole - self._inside.pop()
            self.spent[stage] = self.spent.get(stage, 0.0) + own
            if self._inside:
                self._inside[-1] += whole

    def watch(self, owner: Any, method: str, stage: str) -> None:
        """Count a method of an object, or of a class, as a stage from now on."""
        original = getattr(owner, method)

        def counted(*arguments: Any, **options: Any) -> Any:
            with self.of(stage):
                return original(*arguments, **options)

        setattr(owner, method, counted)

    def take(self) -> dict[str, float]:
        """Return what was counted since the last call, and begin anew."""
        spent, self.spent = self.spent, {}
        return spent


class Predictions:
    """Predicts with one side and measures it.

    Args:
        predict: A picture file to COCO results.
        stages: What `predict` tells its stages.
    """

    def __init__(self, predict: Callable[[str], Results], stages: Stages) -> None:
        self._predict, self._stages = predict, stages
        forget_peak()
        self.loaded = memory("VmRSS")

    def measure(self, picture: str, *, wants_results: bool) -> dict[str, Any]:
        """Predict once; seconds, bytes, and the results where they are wanted."""
        self._stages.take()
        begin, busy = time.perf_counter(), time.process_time()
        results = self._predict(picture)
        seconds, busy = time.perf_counter() - begin, time.process_time() - busy
        return {
            "seconds": seconds,
            "processor_seconds": busy,
            "stages": self._stages.take(),
            "objects": len(results),
            "loaded_bytes": self.loaded,
            "peak_bytes": memory("VmHWM"),
            "resident_bytes": memory("VmRSS"),
            **({"results": results} if wants_results else {}),
        }


def memory(name: str) -> int | None:
    """Return a line of the process's memory in bytes, as Linux names it; None elsewhere."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    return next(
        (1024 * int(each.split()[1]) for each in lines if each.startswith(f"{name}:")), None
    )


def forget_peak() -> None:
    """Let the largest resident memory begin anew, where the system can: loading is not counted."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return  # the peak of loading then counts


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests line by line until there are no more."""

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        side = json.loads(requests.readline())
        stages = Stages()
        predictions = Predictions(_open(side, stages), stages)
        say({"ready": side["name"]})
        for line in requests:
            asked = json.loads(line)
            say(predictions.measure(asked["picture"], wants_results=asked["wants_results"]))
    except Exception as error:  # noqa: BLE001  # told to the process that asked, which raises
        say({"error": str(error) or repr(error), "kind": type(error).__name__})


def _open(side: dict[str, Any], stages: Stages) -> Callable[[str], Results]:
    if side["kind"] == "maskwright":
        from maskwright.recipes.benchmark.ours import open_ours

        return open_ours(side, stages)
    if side["kind"] in ("operations", "peak"):
        from maskwright.recipes.benchmark import counting

        return counting.OPEN[side["kind"]](side, stages)
    path = Path(__file__).with_name("peers.py")
    found = importlib.util.spec_from_file_location("maskwright_bench_peers", path)
    assert found is not None
    assert found.loader is not None
    peers = importlib.util.module_from_spec(found)
    found.loader.exec_module(peers)
    opened: Callable[[str], Results] = peers.OPEN[side["kind"]](side, stages)
    return opened


def _main() -> None:
    # a script's own folder is searched first, and holds no modules that anybody should find
    if sys.path and Path(sys.path[0] or ".").resolve() == Path(__file__).resolve().parent:
        del sys.path[0]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print where they like
    serve(sys.stdin, answers)


if __name__ == "__main__":
    _main()
