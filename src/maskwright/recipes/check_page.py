"""The doctor's findings as one HTML page with the offending pictures in it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
from jaxtyping import UInt8

from maskwright import __version__
from maskwright.data import encode_image, read_image
from maskwright.data.checks import CheckResult, Defect, Diagnosis, Place, Severity
from maskwright.draw.thumbnails import object_thumbnail, picture_thumbnail
from maskwright.errors import ImageError
from maskwright.files import atomic_write

__all__ = ["write_check_page"]

_SIDE = 220  # pixels of a thumbnail
_LISTED = 200
_DRAWN_AS_LINES = frozenset({"object-empty", "object-outside", "polygon-crossing"})
_WITH_BOX = frozenset({"box-differs", "box-outside"})


def write_check_page(
    diagnosis: Diagnosis, path: str | Path, *, pictures_per_check: int = 12
) -> None:
    """Write a page that needs no other file: counts, remedies, and pictures of what was found.

    Args:
        diagnosis: From `check_dataset`; the pictures are read again where they lie.
        path: The .html file.
        pictures_per_check: Defects of each check that are shown as pictures; 200 are listed.

    Raises:
        OSError: The file cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("maskwright.recipes", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    artist = _Artist(diagnosis)
    page = environment.get_template("check_page.html.jinja").render(
        parts=list(diagnosis.part_lines()),
        counts=[(severity, diagnosis.count(severity)) for severity in get_args(Severity)],
        headline=diagnosis.headline(),
        num_fixable=diagnosis.num_fixable,
        results=[_described(artist, one, pictures_per_check) for one in diagnosis.results],
        version=__version__,
    )
    with atomic_write(path) as partial:
        partial.write_text(page, encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class _Figure:
    """One picture of the page: data URLs beside each other, and words under them."""

    sources: tuple[str, ...]
    where: str
    detail: str


def _described(artist: _Artist, result: CheckResult, most: int) -> dict[str, Any]:
    defects = result.defects
    rows = [(artist.diagnosis.where(one), one.detail) for one in defects[:_LISTED]]
    return {
        "check": result.check,
        "count": len(defects),
        "num_fixable": result.num_fixable,
        "remedies": ", ".join(sorted({result.remedy_of(one) for one in defects} - {""})),
        "figures": list(artist.figures(result, most)),
        "rows": rows,
        "has_places": any(where for where, _ in rows),
        "num_more": max(0, len(defects) - _LISTED),
    }


class _Artist:
    """Draws defects; the last few pictures are kept, since many defects share one."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self.diagnosis = diagnosis
        self._image = lru_cache(maxsize=8)(self._read)

    def figures(self, result: CheckResult, most: int) -> Iterator[_Figure]:
        """Yield figures of the first defects that can be shown."""
        count = 0
        for defect in result.defects:
            if count == most:
                return
            sources = tuple(self._sources(result.check.name, defect))
            if sources:
                count += 1
                where = self.diagnosis.where(defect)
                yield _Figure(sources=sources, where=where, detail=defect.detail)

    def _sources(self, check: str, defect: Defect) -> Iterator[str]:
        place = defect.place
        if place is None:
            return
        for shown in (place, *defect.others[:1]):
            image, is_in_frame = self._image(shown)
            if image is None:
                continue
            if defect.items and is_in_frame and shown == place:
                yield _data_url(self._objects(image, check, defect, place))
            else:
                yield _data_url(picture_thumbnail(image, _SIDE))

    def _objects(
        self, image: UInt8[np.ndarray, "h w 3"], check: str, defect: Defect, place: Place
    ) -> UInt8[np.ndarray, "_ _ 3"]:
        index = self.diagnosis.survey.parts[place.part].inspected.index
        items = np.array(defect.items, np.int64)
        rings = [ring.reshape(-1, 2) for item in items.tolist() for ring in index.rings(item)]
        xywh = index.xywh[items]
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        return object_thumbnail(
            image,
            index.masks(image.shape[:2], items),
            side=_SIDE,
            rings=rings if check in _DRAWN_AS_LINES else (),
            boxes=boxes if check in _WITH_BOX else None,
        )

    def _read(self, place: Place) -> tuple[UInt8[np.ndarray, "h w 3"] | None, bool]:
        """Return the picture, and whether it is in the frame of its annotations."""
        part = self.diagnosis.survey.parts[place.part]
        path = part.pictures[place.picture].path
        height, width = part.inspected.index.sizes[place.picture].tolist()
        try:
            if part.pictures[place.picture].fits:
                return read_image(path, expected_size=(height, width)), True
            return read_image(path), False
        except ImageError:
            return None, False


def _data_url(image: UInt8[np.ndarray, "h w 3"]) -> str:
    encoded = base64.b64encode(encode_image(image, ".webp")).decode("ascii")
    return f"data:image/webp;base64,{encoded}"
