"""Numbers of a run by step: a CSV file for every tool, and event files for TensorBoard."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from maskwright.errors import TrainingError
from maskwright.files import atomic_write
from maskwright.training.fit import StepReport
from maskwright.training.log_services import LogService

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

__all__ = ["MetricsLog", "report_values"]

_Row = dict[str, str]


class MetricsLog:
    """Writes numbers by step, so that a resumed run's log reads like one run's.

    In the CSV each `write` is one row: `step`, then a column per name in the order in which the
    names first came, empty where a row has no such number. A new name makes the file be rewritten
    with one more column. Rows reach the system at once, so a killed process loses none.

    Args:
        csv_path: The file to start or to go on with.
        tensorboard: Folder for TensorBoard's event files; None writes none.
        services: Who gets the same numbers.
        start_step: Steps done before; rows after it are removed, here and from TensorBoard's view.

    Raises:
        TrainingError: The file cannot be written (here and in `write`).
    """

    def __init__(
        self,
        csv_path: str | os.PathLike[str],
        *,
        tensorboard: str | os.PathLike[str] | None = None,
        start_step: int = 0,
        services: Sequence[LogService] = (),
    ) -> None:
        self._path = Path(csv_path)
        self._columns: list[str] = []
        self._file = self._start(start_step, [])
        self._services = services
        self._events: SummaryWriter | None = None
        if tensorboard is not None:
            # Costs a second: only where it is wanted.
            from torch.utils.tensorboard import SummaryWriter

            purge = start_step + 1 if start_step else None
            self._events = SummaryWriter(str(tensorboard), purge_step=purge)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers of one step; names with slashes are grouped by TensorBoard.

        Args:
            step: Steps done; not below that of the row before.
            values: Numbers by name; those that are not finite are in the CSV only.
        """
        if new := [name for name in values if name not in self._columns]:
            self._file.close()
            self._file = self._start(step, new)
        row = {name: repr(float(value)) for name, value in values.items()}
        with _explained(self._path):
            self._file.write(_line([str(step), *(row.get(name, "") for name in self._columns)]))
            self._file.flush()
        for service in self._services:
            service.write(step, values)
        if self._events is not None:
            for name, value in values.items():
                if math.isfinite(value):
                    self._events.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close both files; harmless when repeated."""
        self._file.close()
        if self._events is not None:
            self._events.close()
        for service in self._services:
            service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, last_step: int, new_columns: list[str]) -> TextIO:
        """Rewrite the file with the rows up to `last_step`, and open it to append."""
        columns, rows = _read(self._path, last_step)
        self._columns = columns + new_columns
        names = ["step", *self._columns]
        lines = [_line(names), *(_line([row.get(name, "") for name in names]) for row in rows)]
        with _explained(self._path):
            with atomic_write(self._path) as partial:
                partial.write_text("".join(lines), encoding="utf-8", newline="")
            return self._path.open("a", encoding="utf-8", newline="")


def report_values(report: StepReport) -> dict[str, float]:
    """Return the numbers of a step by the names they have in the logs."""
    return {
        **{f"loss/{name}": value for name, value in report.losses.items()},
        "loss/total": report.total,
        "train/learning_rate": report.learning_rate,
        "train/grad_norm": report.grad_norm,
        "train/images_per_second": report.num_images / max(report.seconds, 1e-9),
        "train/data_share": report.data_seconds / max(report.seconds, 1e-9),
    }


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"the log {path} could not be written: {error}: free some space and resume the run"
        ) from error


def _read(path: Path, last_step: int) -> tuple[list[str], list[_Row]]:
    """Return the columns after `step`, and the rows up to `last_step`, of a log or of none.

    Reading ends at the first row that a crash has cut or garbled: what follows it was written
    after the last saved state and is written again.
    """
    if not path.is_file():
        return [], []
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    reader = csv.DictReader(io.StringIO(whole, newline=""))
    names = list(reader.fieldnames or [])
    rows: list[_Row] = []
    for row in reader:
        if not (row.get("step") or "").isdecimal() or None in row or None in row.values():
            break
        if int(row["step"]) <= last_step:
            rows.append(row)
    return [name for name in names if name != "step"], rows


def _line(fields: list[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()
