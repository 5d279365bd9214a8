"""`maskwright data check` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from maskwright.cli.app import run
from maskwright.data.checks import CHECKS


def _run(capsys: pytest.CaptureFixture[str], *tokens: object) -> tuple[int, str, str]:
    code = run(["data", *[str(token) for token in tokens]])
    output = capsys.readouterr()
    return code, output.out, output.err


@pytest.fixture
def spoilt(discs: Path, tmp_path: Path) -> Path:
    """Discs of which one has a wrong area and one picture is missing."""
    for file in discs.parent.glob("*.png"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    content: dict[str, Any] = json.loads(discs.read_text())
    content["annotations"][0]["area"] *= 2
    (tmp_path / "3.png").unlink()
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_clean_data_end_with_code_0_and_errors_with_1(
    discs: Path, spoilt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, "check", discs)
    assert code == 0
    assert "12 pictures" in out
    code, out, err = _run(capsys, "check", spoilt)
    assert code == 1
    assert "picture-missing" in out
    assert "--fix --out FOLDER" in err


def test_warnings_alone_end_with_code_1_only_where_strict(
    spoilt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["check", spoilt, "--skip", "picture-missing, picture-without-objects"]
    assert _run(capsys, *command)[0] == 0
    assert _run(capsys, *command, "--strict")[0] == 1


def test_json_is_the_findings_and_nothing_else(
    spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["check", spoilt, "--json", "--fix", "--out", tmp_path / "mended"]
    code, out, err = _run(capsys, *command)
    found = json.loads(out)
    assert code == 1
    assert found["errors"] == 1
    assert {one["check"] for one in found["results"]} >= {"picture-missing", "area-differs"}
    assert found["fixed"]["images"] == 11
    assert not err
    assert (tmp_path / "mended" / "annotations.json").is_file()


def test_the_page_is_written_where_it_is_wanted(
    spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(capsys, "check", spoilt, "--html", tmp_path / "page.html")
    assert code == 1
    assert str(tmp_path / "page.html") in out
    assert "data:image/webp" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--fix"], "--fix and --out FOLDER belong together"),
        (["--out", "folder"], "--fix and --out FOLDER belong together"),
        (["--skip", "picture-mising"], "Did you mean 'picture-missing'"),
        (["--group-pattern", "("], "no regular expression"),
    ],
)
def test_mistakes_end_with_code_2_and_a_message(
    tokens: list[str], message: str, discs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, "check", discs, *tokens)
    assert code == 2
    assert message in err
    assert not out


def test_all_checks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, "checks", "--json")
    assert code == 0
    assert [one["check"] for one in json.loads(out)] == [check.name for check in CHECKS]
    code, out, _ = _run(capsys, "checks")
    assert code == 0
    assert "object-doubled" in out
