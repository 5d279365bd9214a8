"""A report as one HTML page, as Markdown with its pictures in a folder, and as JSON."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from maskwright.data import encode_image
from maskwright.files import atomic_write, write_json
from maskwright.recipes.pages import data_url, write_page
from maskwright.recipes.report.document import Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from maskwright.recipes.report.report import EvaluationReport

__all__ = ["write_html", "write_markdown", "write_report_json"]

_LARGEST_SVG = 200_000
"""Bytes; a plot with more is a PNG, whose size does not follow the number of points."""

_LARGEST_PICTURE = 100_000
"""Bytes of one side of a pair. 12 pairs, 6 more and 36 objects then stay below 10 MB."""

_LARGEST_CROP = 20_000

_QUALITIES = (85, 70, 50, 30, 10)


def write_html(report: EvaluationReport, path: Path) -> None:
    """Write a page that needs no other file."""
    sources: dict[str, str] = {}
    for section in report.sections:
        for plot in section.plots():
            sources[plot.name] = _plot_url(plot.figure)
        for name, picture, is_crop in section.pictures():
            limit = _LARGEST_CROP if is_crop else _LARGEST_PICTURE
            sources[name] = data_url(encode_within(picture, ".webp", limit), "webp")
    write_page(path, "report.html.jinja", **_values(report, sources))


def write_markdown(report: EvaluationReport, path: Path) -> list[Path]:
    """Write the text, and plots (PNG) and pictures (JPEG) into `NAME_files` beside it.

    Returns:
        What was written, the text first.
    """
    folder = path.with_name(f"{path.stem}_files")
    written, sources = [path], {}
    for name, encode in _files(report.sections):
        with atomic_write(folder / name) as partial:
            partial.write_bytes(encode())
        sources[Path(name).stem] = f"{folder.name}/{name}".replace(" ", "%20")
        written.append(folder / name)
    write_page(path, "report.md.jinja", **_values(report, sources))
    return written


def write_report_json(report: EvaluationReport, path: Path) -> None:
    """Write every number of the report."""
    write_json(path, report.numbers)


def encode_within(picture: UInt8[np.ndarray, "h w 3"], suffix: str, limit: int) -> bytes:
    """Return a picture file of the best quality that fits the limit, or of the lowest."""
    encoded = b""
    for quality in _QUALITIES:
        encoded = encode_image(picture, suffix, quality=quality)
        if len(encoded) <= limit:
            break
    return encoded


def _values(report: EvaluationReport, sources: dict[str, str]) -> dict[str, Any]:
    return {
        "title": report.title,
        "subtitle": report.subtitle,
        "headlines": report.headlines,
        "notes": report.notes,
        "sections": report.sections,
        "sources": sources,
        "date": datetime.now(tz=UTC).date().isoformat(),
    }


def _files(sections: tuple[Section, ...]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield the name of each plot and picture, and what encodes it."""
    for section in sections:
        for plot in section.plots():
            yield f"{plot.name}.png", lambda figure=plot.figure: _saved(figure, "png")  # type: ignore[misc]
        for name, picture, _ in section.pictures():
            yield (
                f"{name}.jpg",
                lambda picture=picture: encode_image(picture, ".jpg", quality=90),  # type: ignore[misc]
            )


def _plot_url(figure: Figure) -> str:
    """Return a plot as SVG without a ground of its own, or as PNG where that is smaller."""
    drawn = _saved(figure, "svg")
    if len(drawn) <= _LARGEST_SVG:
        return data_url(drawn, "svg+xml")
    return data_url(_saved(figure, "png"), "png")


def _saved(figure: Figure, kind: str) -> bytes:
    import matplotlib as mpl

    drawn = io.BytesIO()
    # Without a salt the names inside an SVG would differ from run to run.
    with mpl.rc_context({"svg.hashsalt": "maskwright", "svg.fonttype": "path"}):
        metadata = {"Date": None, "Creator": None} if kind == "svg" else None
        figure.savefig(drawn, format=kind, transparent=kind == "svg", metadata=metadata)
    text = drawn.getvalue()
    return (
        re.sub(rb"<metadata>.*?</metadata>", b"", text, flags=re.DOTALL) if kind == "svg" else text
    )
