"""A side as a process of its own: what it says, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maskwright.errors import MaskwrightError
from maskwright.recipes.benchmark.process import SideProcess

_PEER = """
import os, sys, time

def load():
    print("a library talks", flush=True)
    def predict(path):
        print("and talks", flush=True)
        if path == "bad.png":
            raise ValueError("cannot read bad.png")
        if path == "end.png":
            print("out of memory", file=sys.stderr, flush=True)
            os._exit(9)
        if path == "stuck.png":
            time.sleep(60)
        return [{"score": 1.0, "bbox": [1, 2, 3, 4]}]
    return predict
"""


@pytest.fixture
def side(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "some_peer.py").write_text(_PEER)
    return {
        "name": "peer",
        "kind": "own",
        "function": "some_peer:load",
        "folder": str(tmp_path),
        "threads": None,
    }


def test_a_process_predicts_whatever_its_library_prints(side: dict[str, Any]) -> None:
    with SideProcess(side) as process:
        answer = process.predict("a.png", wants_results=True)
        assert answer["results"] == [{"score": 1.0, "bbox": [1, 2, 3, 4]}]
        assert answer["seconds"] >= 0
        pid = process._process.pid
    assert process._process.returncode == 0
    assert not Path(f"/proc/{pid}").exists()


def test_an_error_of_a_side_names_the_side(side: dict[str, Any]) -> None:
    with (
        SideProcess(side) as process,
        pytest.raises(MaskwrightError, match=r"^peer: ValueError: cannot read bad\.png"),
    ):
        process.predict("bad.png")


def test_the_last_words_of_a_side_that_ends_are_told(side: dict[str, Any]) -> None:
    with (
        SideProcess(side) as process,
        pytest.raises(MaskwrightError, match=r"peer ended: out of memory \(exit code 9\)"),
    ):
        process.predict("end.png")


def test_a_side_that_does_not_answer_is_ended(
    side: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with SideProcess(side) as process:
        monkeypatch.setattr("maskwright.recipes.benchmark.process._PICTURE_SECONDS", 0.2)
        with pytest.raises(MaskwrightError, match="did not answer within 0 s and was ended"):
            process.predict("stuck.png")
    assert process._process.returncode is not None


def test_a_peer_that_is_not_installed_says_where_it_may_be(side: dict[str, Any]) -> None:
    with pytest.raises(MaskwrightError, match=r"No module named 'absent_peer'.*--peer-python"):
        SideProcess({**side, "function": "absent_peer:load"})
    with pytest.raises(MaskwrightError, match="the interpreter /no/python cannot be started"):
        SideProcess(side, python="/no/python")
