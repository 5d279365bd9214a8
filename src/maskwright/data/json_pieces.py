"""A large JSON object read in pieces, so that its long lists never stand in memory as a whole.

A file of COCO's size makes several gigabytes of Python values when it is parsed at once. Here a
compiled scan finds the members of the outermost object and where their lists may be cut; each
piece is then parsed by the same parser as a small file, when it is asked for. So what comes out is
equal value by value, and text that is no JSON is still refused.
"""

from __future__ import annotations

import gc
import mmap
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
from pydantic_core import from_json

from maskwright.errors import AnnotationError
from maskwright.masks.kernels import kernel

__all__ = ["JsonList", "paused_collection", "pieces_of", "read_in_pieces", "sketch_of"]

_PIECE = 2**18  # its values fit the processor's caches: a quarter faster than 4 MB
_MAX_MEMBERS = 1000
_VALUES = 4096


@contextmanager
def paused_collection() -> Iterator[None]:
    """Put the cycle collector off: it walks over all parsed values again and again.

    Parsing 470 MB of COCO took 12 s of processor time with it and 2.6 s without.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class JsonList(Sequence[Any]):
    """A long list of a JSON file, parsed anew, piece by piece, whenever it is walked over.

    Args:
        path: The file, for messages.
        text: Its bytes.
        cuts: Positions of the list's opening bracket, of some commas between its values, and of
            its closing bracket.

    Raises:
        AnnotationError: When a piece is parsed that is not JSON.
    """

    def __init__(self, path: Path, text: mmap.mmap, cuts: Sequence[int]) -> None:
        self._path = path
        self._text = text
        self._cuts = cuts
        self._length: int | None = None

    def __iter__(self) -> Iterator[Any]:
        for values in self.pieces():
            yield from values

    def pieces(self) -> Iterator[list[Any]]:
        """Yield the values in lists of a few thousand."""
        length = 0
        for piece in range(len(self._cuts) - 1):
            values = self._parsed(piece)
            length += len(values)
            yield values
        self._length = length

    def __bool__(self) -> bool:
        return True  # an empty list is too short for this class

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(1 for _ in self)
        return self._length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Return values by position; all but the first take a walk over the list."""
        if index == 0:
            return self._parsed(0)[0]
        if index == slice(1):
            return self._parsed(0)[:1]
        return list(self)[index]

    def _parsed(self, piece: int) -> list[Any]:
        begin, end = self._cuts[piece] + 1, self._cuts[piece + 1]
        try:
            with paused_collection():
                values: list[Any] = from_json(
                    b"[" + self._text[begin:end] + b"]", cache_strings="keys"
                )
            if not values:
                raise ValueError("a comma too many")
        except ValueError as error:
            raise AnnotationError(
                f"{self._path}: not JSON ({error}, counted from byte {begin}); damaged?"
            ) from error
        return values


def pieces_of(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield a list in pieces, those that a `JsonList` has anyway."""
    if isinstance(values, JsonList):
        yield from values.pieces()
        return
    for start in range(0, len(values), _VALUES):
        yield values[start : start + _VALUES]


def sketch_of(content: Any) -> Any:
    """Return an object with its lists cut to their first value, anything else as it is."""
    if not isinstance(content, dict):
        return content
    return {
        key: list(value[:1]) if isinstance(value, list | JsonList) else value
        for key, value in content.items()
    }


def read_in_pieces(path: Path, *, piece: int = _PIECE) -> dict[str, Any] | None:
    """Read a JSON object whose long lists become `JsonList`s.

    Args:
        path: The file; it stays mapped while a list of it is held.
        piece: Lists of fewer bytes are parsed at once.

    Returns:
        None if it is no object with members, or no JSON as far as seen: read it at once then.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        try:
            text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file
            return None
    start = len(BOM_UTF8) if text[:3] == BOM_UTF8 else 0
    values = np.frombuffer(text, np.uint8)
    room = _MAX_MEMBERS + len(values) // piece
    kinds, places = np.empty(room, np.uint8), np.empty(room, np.int64)
    count = _scan(values, start, piece, kinds, places)
    if count <= 0:
        return None
    try:
        return _members(path, text, start, kinds[:count].tolist(), places[:count].tolist())
    except ValueError:
        return None


def _members(
    path: Path, text: mmap.mmap, start: int, kinds: Sequence[int], places: Sequence[int]
) -> dict[str, Any]:
    """Make the object of what `_scan` noted.

    Raises:
        ValueError: It is not JSON.
    """
    if text[start : places[0]].strip() or text[places[-1] + 1 :].strip():
        raise ValueError("something beside an object")
    found: dict[str, Any] = {}
    cuts: list[int] = []
    begin, key = places[0] + 1, None
    for kind, place in zip(kinds[1:], places[1:], strict=True):
        if kind == _CUT:
            cuts.append(place)
            continue
        if kind == _COLON_AFTER_KEY and key is None:
            key = from_json(text[begin:place])
        elif kind == _MEMBER_END and isinstance(key, str):
            if key in found:  # the first may be damaged, and nobody would parse it
                raise ValueError("a name twice")
            found[key], key = _value(path, text, begin, place, cuts), None
        else:
            raise ValueError("not a member")
        begin, cuts = place + 1, []
    return found


def _value(path: Path, text: mmap.mmap, begin: int, end: int, cuts: list[int]) -> Any:
    if not cuts:
        with paused_collection():
            return from_json(text[begin:end], cache_strings="keys")
    opening, closing = text.find(b"[", begin, end), text.rfind(b"]", begin, end)
    if text[begin:opening].strip() or text[closing + 1 : end].strip():
        raise ValueError("something beside a list")
    return JsonList(path, text, [opening, *cuts, closing])


_OBJECT, _COLON_AFTER_KEY, _CUT, _MEMBER_END = 0, 1, 2, 3


@kernel
def _scan(text: np.ndarray, start: int, piece: int, kinds: np.ndarray, places: np.ndarray) -> int:
    """Note the opening brace, the colons and ends of members, and the cuts of long lists.

    Returns how many were noted; 0 where the text is not one object that closes all it opens, and
    -1 where there is no room for more. What lies between them is for the parser to judge.
    """
    count, depth, last_cut, is_list = 0, 0, np.int64(0), False
    # Unsigned positions spare the test for Python's negative ones: five times as fast.
    position, size, one = np.uint64(start), np.uint64(len(text)), np.uint64(1)
    while position < size:
        byte = text[position]
        if byte < 46 or byte > 57:  # nearly all is digits
            kind = 0
            if byte == 34:  # a string: over to its closing quote
                position += one
                while position < size and text[position] != 34:
                    if text[position] == 92:  # a backslash: over what it escapes
                        position += one
                    position += one
            elif byte == 123 or byte == 91:
                if depth == 0 and (byte == 91 or count):
                    return 0
                if depth == 0:
                    kinds[0], places[0], count = 0, np.int64(position), 1
                elif depth == 1:
                    is_list, last_cut = byte == 91, np.int64(position)
                depth += 1
            elif byte == 125 or byte == 93:
                depth -= 1
                if depth < 0 or (depth == 0 and byte == 93):
                    return 0
                kind = 3 if depth == 0 else 0
            elif depth == 1 and (byte == 44 or byte == 58):
                kind = 1 if byte == 58 else 3
            elif depth == 2 and byte == 44 and is_list:
                kind = 2 if np.int64(position) - last_cut >= piece else 0
            if kind:
                if count == len(places):
                    return -1
                kinds[count], places[count] = kind, np.int64(position)
                last_cut = np.int64(position)
                count += 1
        position += one
    return count if depth == 0 else 0
