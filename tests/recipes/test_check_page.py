"""The doctor's page: whole in one file, safe with any name, pictures of what was found."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskwright.data import check_dataset
from maskwright.recipes import write_check_page


class _Tags(HTMLParser):
    """Collects tags, and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


@pytest.fixture
def content(discs: Path, tmp_path: Path) -> dict[str, Any]:
    for file in discs.parent.glob("*.png"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content: dict[str, Any] = json.loads(discs.read_text())
    for one in content["annotations"]:
        one["area"] *= 2
    return content


def _page(content: dict[str, Any], folder: Path, **options: Any) -> str:
    (folder / "annotations.json").write_text(json.dumps(content))
    write_check_page(check_dataset(folder / "annotations.json"), folder / "page.html", **options)
    return (folder / "page.html").read_text(encoding="utf-8")


def test_the_page_needs_no_other_file_and_its_pictures_can_be_seen(
    content: dict[str, Any], tmp_path: Path
) -> None:
    tags = _tags(_page(content, tmp_path, pictures_per_check=5))
    pictures = [attributes["src"] for tag, attributes in tags if tag == "img"]
    assert 5 <= len(pictures) <= 10
    for source in pictures:
        assert source is not None
        encoded = np.frombuffer(base64.b64decode(source.partition(",")[2]), np.uint8)
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert max(decoded.shape) <= 220
        assert len(np.unique(decoded)) > 1
    links = [attributes.get("href") or "" for _, attributes in tags]
    assert all(link.startswith("#") for link in links if link)
    assert not any(tag in ("script", "link") for tag, _ in tags)


def test_names_cannot_bring_their_own_html(content: dict[str, Any], tmp_path: Path) -> None:
    content["categories"].append({"id": 99, "name": "<script>alert(1)</script>"})
    page = _page(content, tmp_path)
    assert not any(tag == "script" for tag, _ in _tags(page))
    assert "&lt;script&gt;" in page


def test_clean_data_make_a_page_that_says_so(discs: Path, tmp_path: Path) -> None:
    found = check_dataset(discs, skip=["picture-without-objects", "class-imbalance"])
    write_check_page(found, tmp_path / "page.html")
    assert "Nothing was found" in (tmp_path / "page.html").read_text()


def test_long_lists_are_cut_and_say_so(content: dict[str, Any], tmp_path: Path) -> None:
    content["categories"] += [{"id": 100 + k, "name": f"phantom {k}"} for k in range(230)]
    page = _page(content, tmp_path)
    assert len(re.findall("phantom", page)) == 200
    assert "--json lists all" in page
