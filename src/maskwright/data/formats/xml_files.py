"""XML read without the parts that are dangerous: document types, and so entities, are refused."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from maskwright.errors import AnnotationError

__all__ = ["load_xml", "number_in", "text_in"]


class _DocumentTypeError(Exception):
    pass


def load_xml(path: Path) -> Element:
    """Read an XML file and return its root.

    Raises:
        AnnotationError: It cannot be read, is not XML, or declares a document type: entities can
            be made to grow without bound or to read other files, and no annotation needs them.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(path.read_bytes(), True)
        return builder.close()
    except _DocumentTypeError:
        raise AnnotationError(f"{path}: declares a document type (DTD), which is refused") from None
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror})") from error
    except (expat.ExpatError, ValueError, LookupError, AssertionError) as error:
        raise AnnotationError(f"{path}: not XML ({error}); cut short?") from error


def text_in(element: Element, tag: str, where: str) -> str:
    """Return the text of a child that must be there."""
    text = (element.findtext(tag) or "").strip()
    if not text:
        raise AnnotationError(f"{where}: no <{tag}> in <{element.tag}>")
    return text


def number_in(text: str | None, where: str) -> float:
    """Return a finite number of an attribute or a child.

    Raises:
        AnnotationError: It is missing or none.
    """
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < 2**28:
        raise AnnotationError(f"{where} is {text!r:.60}, wanted a number")
    return value


def _refuse(*_: object) -> NoReturn:
    raise _DocumentTypeError
