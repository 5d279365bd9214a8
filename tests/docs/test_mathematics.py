"""The examples, formulas and links of docs/mathematics.md hold what they say."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "mathematics.md"
_WITHOUT_FORMULA = {"How to read this page", "Which detector", "Which mask head", "Papers"}
_WITHOUT_EXAMPLE = {"Papers"}
_EXPLAINED = (
    "convolution",
    "pooling",
    "relu",
    "softmax",
    "atrous convolution",
    "encoding and decoding",
    "iou of boxes",
    "iou of masks and crowds",
    "non-maximum suppression",
    "roi pooling",
    "roialign",
    "cross-entropy",
    "smooth l1",
    "mask loss",
    "thresholding",
    "pasting",
    "from detection to instances",
    "average precision",
    "boundary iou",
    "mean iou",
    "which detector",
    "which mask head",
)


def _sections() -> dict[str, tuple[int, str]]:
    """Heading -> (index of its first line, text) of every `##` section."""
    lines = _PAGE.read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("## ")]
    ends = [*starts[1:], len(lines)]
    return {
        lines[start][3:]: (start, "\n".join(lines[start:end]))
        for start, end in zip(starts, ends, strict=True)
    }


_SECTIONS = _sections()


def _split(text: str) -> tuple[str, str]:
    """Split markdown into (code, prose), each with the lines of the other left blank.

    Blank lines keep the line numbers of the page, and the one in the place of a closing fence
    ends the expected output of the last example before it.
    """
    code, prose, is_code = [], [], False
    for line in text.splitlines():
        is_fence = line.startswith("```")
        code.append(line if is_code and not is_fence else "")
        prose.append(line if not is_code and not is_fence else "")
        is_code ^= is_fence
    assert not is_code, "a code fence is never closed"
    return "\n".join(code), "\n".join(prose)


def _examples(heading: str, names: dict[str, Any]) -> doctest.DocTest:
    first_line, text = _SECTIONS[heading]
    code, _ = _split(text)
    return doctest.DocTestParser().get_doctest(code, names, heading, str(_PAGE), first_line)


@pytest.fixture(scope="module")
def reports() -> dict[str, str]:
    """Section -> what its examples got wrong, "" when all hold; the page runs once, in order."""
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    print_options = np.get_printoptions()
    names: dict[str, Any] = {}
    failures: dict[str, str] = {}
    try:
        for heading in _SECTIONS:
            said: list[str] = []
            test = _examples(heading, names)
            runner.run(test, out=said.append, clear_globs=False)
            names = test.globs
            failures[heading] = "".join(said)
    finally:
        np.set_printoptions(**print_options)
    return failures


@pytest.mark.parametrize("heading", _SECTIONS)
def test_the_examples_of_each_section_give_the_numbers_on_the_page(
    heading: str, reports: dict[str, str]
) -> None:
    assert not reports[heading], reports[heading]


@pytest.mark.parametrize("heading", [name for name in _SECTIONS if name not in _WITHOUT_EXAMPLE])
def test_each_section_has_an_example_whose_result_is_checked(heading: str) -> None:
    wanted = [example.want for example in _examples(heading, {}).examples]
    assert any(wanted) or heading == "How to read this page"


@pytest.mark.parametrize("heading", [name for name in _SECTIONS if name not in _WITHOUT_FORMULA])
def test_each_explained_operation_has_a_displayed_formula(heading: str) -> None:
    _, prose = _split(_SECTIONS[heading][1])
    assert re.search(r"^\$\$$", prose, flags=re.MULTILINE)


@pytest.mark.parametrize("topic", _EXPLAINED)
def test_each_topic_an_engineer_looks_for_has_a_section(topic: str) -> None:
    assert any(topic in heading.lower() for heading in _SECTIONS)


def test_no_example_is_left_outside_a_code_fence() -> None:
    for _, text in _SECTIONS.values():
        assert ">>>" not in _split(text)[1].replace("`>>>`", "")


def test_links_within_the_page_lead_to_a_heading() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _SECTIONS}
    links = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert links <= anchors, f"no such heading: {sorted(links - anchors)}"
    assert links, "the page has a table of contents"


# GitHub hands formulas through its markdown parser before it renders them. What that parser
# takes for markup never arrives: backslashes before punctuation, <, * and an underscore after
# punctuation.
_MISREAD_BY_GITHUB = re.compile(r"\\[^A-Za-z\s]|[<>*&]|[^\w\s\\]_|\s_|_\s")


def _formulas(prose: str) -> list[str]:
    displayed = re.findall(r"^\$\$\n(.*?)\n\$\$$", prose, flags=re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^\$\$\n.*?\n\$\$$", "", prose, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"\$([^$\n]+)\$", rest)
    assert re.sub(r"\$[^$\n]+\$", "", rest).count("$") == 0, "a $ without a partner"
    return [*displayed, *inline]


@pytest.mark.parametrize("heading", _SECTIONS)
def test_formulas_use_only_what_github_renders(heading: str) -> None:
    _, prose = _split(_SECTIONS[heading][1])
    for formula in _formulas(prose):
        assert not _MISREAD_BY_GITHUB.search(formula), formula
        assert formula.count("{") == formula.count("}"), formula
        assert formula.count(r"\left") == formula.count(r"\right"), formula
    rest = re.sub(r"^\$\$\n.*?\n\$\$$", "", prose, flags=re.MULTILINE | re.DOTALL)
    for before, formula, after in re.findall(r"(.?)\$([^$\n]+)\$(.?)", rest):
        assert before in ("", " ", "("), f"GitHub needs a space before ${formula}$"
        assert after in ("", " ", *".,;:)-"), f"GitHub needs a space after ${formula}$"
