"""A side of a benchmark as a process of its own, seen from the one that asks."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import maskwright
from maskwright import errors
from maskwright.errors import MaskwrightError
from maskwright.recipes.benchmark import child

__all__ = ["SideProcess"]

_READY_SECONDS = 1800.0
"""Within which a side must have its model open: graphs are exported first, on slow machines."""

_PICTURE_SECONDS = 900.0
_LAST_WORDS = 2000


class SideProcess:
    """Starts a side and asks it for predictions; a context manager that ends the process.

    Args:
        side: What the side is, as `child.py` takes it; "name" and "kind" at least.
        python: The interpreter; None for this one.

    Raises:
        MaskwrightError: It could not be opened, with the side's own error where it had one.
    """

    def __init__(self, side: Mapping[str, Any], python: str | None = None) -> None:
        self.name = str(side["name"])
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = self._start(python)
        self._answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._ask(dict(side), _READY_SECONDS)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def predict(self, picture: str | Path, *, wants_results: bool = False) -> dict[str, Any]:
        """Predict once and return what `child.Predictions.measure` says.

        Raises:
            MaskwrightError: The side failed, ended or is stuck.
        """
        asked = {"picture": os.fspath(picture), "wants_results": wants_results}
        return self._ask(asked, _PICTURE_SECONDS)

    def close(self) -> None:
        """End the process, by force where it does not end by itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):  # it is gone, with a line unread
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _start(self, python: str | None) -> subprocess.Popen[str]:
        environment = dict(os.environ)
        if python is None:  # it finds maskwright where this process did
            place = str(Path(maskwright.__file__).parent.parent)
            known = environment.get("PYTHONPATH")
            environment["PYTHONPATH"] = place if not known else f"{place}{os.pathsep}{known}"
        try:
            return subprocess.Popen(
                [python or sys.executable, child.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
                env=environment,
            )
        except OSError as error:
            self._errors.close()
            raise MaskwrightError(
                f"{self.name}: the interpreter {python} cannot be started "
                f"({error.strerror or error}): name the python of the peer's environment"
            ) from error

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._answers.put(line)
        except ValueError:  # closed while it was read
            pass
        self._answers.put(None)

    def _ask(self, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended; what it said last is read below
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            self._process.kill()
            raise MaskwrightError(
                f"{self.name} did not answer within {seconds:.0f} s and was ended"
            ) from None
        if line is None:
            raise MaskwrightError(f"{self.name} ended: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise _error(self.name, answer)
        return answer

    def _last_words(self) -> str:
        self._process.wait(timeout=30)
        self._errors.seek(0)
        said = self._errors.read()[-_LAST_WORDS:].strip().splitlines()
        return f"{said[-1] if said else 'it said nothing'} (exit code {self._process.returncode})"


def _error(name: str, answer: Mapping[str, str]) -> MaskwrightError:
    """Return the side's own error where it is one of ours, so that it reads as one."""
    kind = getattr(errors, answer["kind"], None)
    if isinstance(kind, type) and issubclass(kind, MaskwrightError):
        if kind is not errors.MissingExtraError:  # it is built of other words
            return kind(f"{name}: {answer['error']}")
        return MaskwrightError(f"{name}: {answer['error']}")
    if answer["kind"] == "ModuleNotFoundError":
        return MaskwrightError(
            f"{name}: {answer['error']}; install it, or name the python of an environment that "
            "has it (--peer-python)"
        )
    return MaskwrightError(f"{name}: {answer['kind']}: {answer['error']}")
