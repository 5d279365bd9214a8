"""Templates into text, and pictures into data URLs."""

from __future__ import annotations

import base64
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from maskwright import __version__
from maskwright.files import atomic_write
from maskwright.recipes.pages.markdown import markdown_alt, markdown_cell, markdown_text

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["data_url", "render", "write_page"]


def render(template: str, **values: Any) -> str:
    """Return a template of this package, filled in.

    HTML templates escape every value; `version` is maskwright's own.

    Args:
        template: Its file's name.
        values: What it asks for; a name that it asks for and does not get is an error.
    """
    return _environment().get_template(template).render(version=__version__, **values)


def write_page(path: str | os.PathLike[str], template: str, **values: Any) -> None:
    """Write a filled-in template, whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    text = render(template, **values)
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")


def data_url(encoded: bytes, kind: str) -> str:
    """Return a picture file's bytes as a URL that holds them.

    >>> data_url(b"abc", "png")
    'data:image/png;base64,YWJj'
    """
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("maskwright.recipes", "pages"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"text": markdown_text, "cell": markdown_cell, "alt": markdown_alt}
    return environment
