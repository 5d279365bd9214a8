"""Text that is safe inside Markdown, whatever names of files and classes hold."""

from __future__ import annotations

import re

__all__ = ["markdown_alt", "markdown_cell", "markdown_text"]


def markdown_text(text: str) -> str:
    r"""Return the text with what Markdown or HTML would take as theirs escaped, on one line.

    >>> markdown_text("a_b <c>  is *d*")
    'a\\_b &lt;c> is \\*d\\*'
    """
    one_line = " ".join(text.split())
    escaped = re.sub(r"([\\`*_\[\]])", r"\\\1", one_line)
    return escaped.replace("&", "&amp;").replace("<", "&lt;")


def markdown_cell(text: str) -> str:
    """Return the text safe as a cell of a table."""
    return markdown_text(text).replace("|", "\\|")


def markdown_alt(text: str) -> str:
    """Return the text safe between the brackets of a picture, in a cell of a table as well."""
    return markdown_cell(text)
