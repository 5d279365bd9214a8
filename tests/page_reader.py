"""Reads pages as a browser does, strictly, for tests of what is in them."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = ("meta", "img", "input", "br", "link", "hr")


class PageReader(HTMLParser):
    """Collects tags with their attributes and the text between them, and checks the nesting."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in ("style", "script") and data.strip():
            self.texts.append(data.strip())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every tag of that name."""
        return [attributes for name, attributes in self.tags if name == tag]
