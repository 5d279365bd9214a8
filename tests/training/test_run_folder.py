from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from maskwright.errors import TrainingError
from maskwright.training import RunFolder

_HOLDER = """
    import os, signal, sys
    from maskwright.training import RunFolder
    run = RunFolder.create(sys.argv[1])
    if os.fork() == 0:  # as a loader's worker: it outlives its parent for a while
        signal.alarm(60)
        signal.pause()
    print("held", flush=True)
    signal.pause()
"""


def test_a_new_run_takes_a_new_or_an_empty_folder(tmp_path: Path) -> None:
    for folder in (tmp_path / "a" / "b", tmp_path / "empty"):
        with RunFolder.create(folder) as run:
            assert run.path.is_dir()
            assert run.state_path == folder / "state.safetensors"
        assert list(folder.iterdir()) == []
        with RunFolder.create(folder):
            pass


def test_a_folder_with_something_in_it_is_refused_and_stays_unlocked(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(b"precious")
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"not empty, it holds best.safetensors: resume"):
            RunFolder.create(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["best.safetensors"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be made"):
        RunFolder.create(tmp_path / "file" / "run")


def test_only_a_folder_with_a_state_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no run to resume"):
        RunFolder.resume(tmp_path / "nowhere")
    (tmp_path / "state.safetensors").write_bytes(b"")
    (tmp_path / ".state.12-34.partial.safetensors").write_bytes(b"cut off")
    with RunFolder.resume(tmp_path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["state.safetensors"]


def test_one_process_opens_a_folder_once(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path), pytest.raises(TrainingError, match="by this process already"):
        RunFolder.create(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="forks and kills as POSIX does")
def test_another_process_keeps_the_folder_until_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_HOLDER), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TrainingError, match=rf"by another process \(process id {holder.pid}\)"):
            RunFolder.create(folder)
        holder.kill()
        holder.wait()
        with RunFolder.create(folder):  # though the forked worker still runs
            pass
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()


def test_a_changed_configuration_is_shown_by_dotted_names(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as run:
        run.write_config({"model": {"depth": 18, "scales": (1, 2)}, "seed": 0, "empty": {}})
        assert run.read_config()["model"] == {"depth": 18, "scales": [1, 2]}
        run.require_config({"seed": 0, "model": {"scales": [1, 2], "depth": 18}, "empty": {}})
        with pytest.raises(TrainingError) as caught:
            run.require_config({"seed": None, "model": {"scales": [1, 2]}, "empty": {}})
    assert "model.depth: 18 then, absent now" in str(caught.value)
    assert "seed: 0 then, null now" in str(caught.value)
    assert "scales" not in str(caught.value)


def test_an_unreadable_configuration_is_an_error(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path) as run:
        with pytest.raises(TrainingError, match="cannot be read"):
            run.read_config()
        run.config_path.write_text("[1")
        with pytest.raises(TrainingError, match="cannot be read"):
            run.read_config()
        run.config_path.write_text("[1]")
        with pytest.raises(TrainingError, match="no JSON object"):
            run.read_config()
