"""An `AnnotationIndex` and its report as one Arrow file, mapped into memory when it is opened.

The file has one row; every column is a list: ragged values and their offsets are columns of their
own, as in the index. Any Arrow reader opens it. The pages are the operating system's: processes
share them, and what is not looked at takes no memory.
"""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.federation import Federation
from maskwright.data.index import AnnotationIndex
from maskwright.data.report import Finding, ImportReport

__all__ = ["map_index", "reopen_index", "write_index"]

# Decimals of coordinates are few: as whole numbers they take half the room, and none is changed.
_STEPS = (1, 2, 10, 100, 1000, 10_000)
_BLOCK = 2**14
_COLUMNS = (
    "image_ids",
    "sizes",
    "object_offsets",
    "annotation_ids",
    "labels",
    "is_crowd",
    "is_empty",
    "areas",
    "xywh",
    "ring_offsets",
    "coordinate_offsets",
    "coordinates",
    "rle_offsets",
    "rle_text",
    "count_offsets",
    "counts",
)
_FEDERATION = ("negative_offsets", "negative_labels", "partial_offsets", "partial_labels")
_ROWS = {"sizes": 2, "xywh": 4}
_FLAGS = ("is_crowd", "is_empty")


def write_index(path: Path, index: AnnotationIndex, report: ImportReport) -> None:
    """Write an index; equal indices give equal bytes. Where it was read from is not kept."""
    import pyarrow as pa

    coordinates, steps = _in_steps(index.coordinates, index.coordinate_steps)
    columns = {name: getattr(index, name) for name in _COLUMNS} | {"coordinates": coordinates}
    federation = index.federation
    if federation is not None:
        columns |= {name: getattr(federation, name) for name in _FEDERATION}
    arrays = {}
    for name, values in columns.items():
        flat = values.view(np.uint8) if name in _FLAGS else values.reshape(-1)
        ends = _array(np.array([0, len(flat)]))
        arrays[name] = pa.LargeListArray.from_arrays(ends, _array(flat))
    names = _texts(index.file_names.tolist())
    ends = _array(np.array([0, len(names)]))
    arrays["file_names"] = pa.LargeListArray.from_arrays(ends, names)
    meaning = {
        "class_names": index.class_names,
        "category_ids": index.category_ids,
        "coordinate_steps": steps,
        "frequencies": None if federation is None else federation.frequencies,
        "report": report.as_dict(),
    }
    table = pa.table(arrays).replace_schema_metadata({"maskwright": json.dumps(meaning)})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def map_index(path: Path, source: str) -> tuple[AnnotationIndex, ImportReport]:
    """Open an index that `write_index` wrote; its large columns stay in the file.

    Args:
        path: The file.
        source: What the annotations were read from, for messages.

    Raises:
        ValueError: It is not such a file (pyarrow's errors are ValueErrors, KeyErrors or
            OSErrors too).
    """
    import pyarrow as pa

    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_RANDOM"):
        pages.madvise(mmap.MADV_RANDOM)  # a picture's objects, then those of any other
    table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(pages))).read_all()
    meaning = json.loads(table.schema.metadata[b"maskwright"])
    columns = {name: _column(table, name) for name in _COLUMNS}
    names = table.column("file_names").chunk(0).values.to_pylist()
    index = AnnotationIndex(
        source=source,
        class_names=tuple(meaning["class_names"]),
        category_ids=tuple(meaning["category_ids"]),
        file_names=np.array(names, np.str_),
        coordinate_steps=meaning["coordinate_steps"],
        federation=_federation(table, meaning["frequencies"]),
        **columns,
    )
    return index.mapped_from(path), _report(meaning["report"], source)


def reopen_index(path: Path, source: str) -> AnnotationIndex:
    """Open an index in another process, instead of sending its arrays there."""
    return map_index(path, source)[0]


def _array(values: np.ndarray) -> Any:
    """Return an Arrow array over a column's memory; `pyarrow.array` would import pandas (0.2 s)."""
    import pyarrow as pa

    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.type_for_alias(values.dtype.name), len(values), [None, buffer])


def _texts(texts: list[str]) -> Any:
    """Return an Arrow array of texts, without `pyarrow.array` again."""
    import pyarrow as pa

    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(texts), buffers)


def _column(table: Any, name: str) -> np.ndarray:
    column = table.column(name).chunk(0).values
    dtype = np.dtype(np.float64 if str(column.type) == "double" else str(column.type))
    start, pages = dtype.itemsize * column.offset, column.buffers()[1]
    if pages is None or not len(column):
        values = np.empty(0, dtype)
    else:
        values = np.frombuffer(pages, dtype, count=len(column), offset=start)
    if name in _FLAGS:
        return values.view(np.bool_)
    return values.reshape(-1, _ROWS[name]) if name in _ROWS else values


def _federation(table: Any, frequencies: list[str] | None) -> Federation | None:
    if frequencies is None:
        return None
    columns = {name: _column(table, name) for name in _FEDERATION}
    return Federation(frequencies=tuple(frequencies), **columns)


def _in_steps(coordinates: np.ndarray, steps: int) -> tuple[np.ndarray, int]:
    """Return coordinates as 32-bit whole numbers and their steps per pixel, if that is exact."""
    if coordinates.dtype != np.float64:
        return coordinates, steps
    largest = max(coordinates.max(initial=0.0), -coordinates.min(initial=0.0))
    for candidate in _STEPS:
        if largest * candidate >= 2**31:
            break
        # A look at the first ones spares most passes over all of them.
        if _whole(coordinates[:1000], candidate) is None:
            continue
        whole = _whole(coordinates, candidate)
        if whole is not None:
            return whole, candidate
    return coordinates, 1


def _whole(coordinates: np.ndarray, steps: int) -> np.ndarray | None:
    """Return coordinates in whole steps, None unless dividing gives the same bits."""
    whole = np.empty(len(coordinates), np.int32)
    # In blocks that fit the processor's caches.
    for start in range(0, len(coordinates), _BLOCK):
        block = coordinates[start : start + _BLOCK]
        part = whole[start : start + _BLOCK]
        part[:] = np.rint(block * steps)
        # Bits are compared, for -0.0 equals 0.0.
        if not np.array_equal((part / steps).view(np.int64), block.view(np.int64)):
            return None
    return whole


def _report(values: dict[str, Any], source: str) -> ImportReport:
    findings = [
        Finding(**{**finding, "examples": tuple(finding["examples"])})
        for finding in values["findings"]
    ]
    return ImportReport(
        source=source,
        num_images=values["images"],
        num_images_without_objects=values["images_without_objects"],
        num_objects=values["objects"],
        num_crowd=values["crowd"],
        num_classes=values["classes"],
        findings=tuple(findings),
    )
