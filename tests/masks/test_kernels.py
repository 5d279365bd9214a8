"""Compiled code: cached where that is possible, compiled where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
from maskwright.masks.kernels import kernel

@kernel
def outer(x):
    return inner(x) + 1

@kernel
def inner(x):
    return 2 * x
"""


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(folder)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "doubling.py").write_text(SOURCE)
    return tmp_path


def test_kernels_call_each_other_and_are_cached_beside_the_source(folder: Path) -> None:
    done = run("import doubling; assert doubling.outer(4) == 9", folder)
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in (folder / "__pycache__").iterdir()} >= {".nbi", ".nbc"}


def test_processes_that_fill_the_cache_at_once_agree(folder: Path) -> None:
    code = "import doubling; assert doubling.outer(4) == 9"
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(folder)})
        for _ in range(3)
    ]
    assert [process.wait() for process in started] == [0, 0, 0]


def test_code_that_cannot_be_cached_is_compiled_anew_and_says_so(tmp_path: Path) -> None:
    done = run(SOURCE + "assert outer(4) == 9", tmp_path)  # `python -c` has no file to cache beside
    assert done.returncode == 0, done.stderr
    assert "NUMBA_CACHE_DIR" in done.stderr
