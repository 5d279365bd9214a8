"""Prediction on Ray: the files of one process, whoever dies and whenever it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from contracts.tiny_models import soft_pictures, tiny_model
from maskwright.errors import MaskwrightError
from maskwright.inference import ModelChoice, PartOptions, load, predict_on_ray, predict_to_folder
from maskwright.model import save_checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    # Ray's own: files and processes that it leaves to the end of the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
_COUNT = 32


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As workers with a core each: sums then have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_checkpoint(tiny_model("yolo", "prototypes"), path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    soft = soft_pictures()
    for i in range(_COUNT):
        cv2.imwrite(str(folder / f"p{i:02d}.png"), soft[i % len(soft)][:, :: 1 if i % 2 else -1])
    (folder / "p07.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def whole(
    model: Path, pictures: Path, one_thread: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    predict_to_folder(load(model), [pictures], out)
    return out


def _contents(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_results_are_those_of_one_process_though_it_was_stopped_and_a_worker_died(
    cluster: Any, kill_workers: Callable[[str], int], model: Path, pictures: Path, whole: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    out = tmp_path / "out"
    options = PartOptions(model=ModelChoice(model=str(model)))

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_on_ray([pictures], out, options, parallel=1, progress=stop)
    assert not (out / "results.json").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (out / ".parts").glob("*.json")}
    assert len(kept) >= 2  # the plan, and a part or more

    seen: list[int] = []

    def kill(done: int, total: int) -> None:
        seen.append(done)
        assert total == _COUNT
        if len(seen) == 2:
            assert kill_workers("ray::MapWorker") == 1

    run = predict_on_ray([pictures], out, options, parallel=1, progress=kill)
    assert 0 < seen[0] < _COUNT  # what was done is not done again
    assert seen[-1] == _COUNT
    assert _contents(out) == _contents(whole)
    assert [failure.path.name for failure in run.failures] == ["p07.png"]
    assert run.num_images == _COUNT - 1


def test_what_fails_in_a_worker_is_our_error_without_rays_trace(
    cluster: Any, model: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.json").mkdir()  # where a file must go
    (out / "labelmap").write_text("a file where a folder must go")
    options = PartOptions(model=ModelChoice(model=str(model)), outputs=("labelmap",))
    with pytest.raises(MaskwrightError, match=r"^part \d+: .*labelmap"):
        predict_on_ray([pictures], out, options, parallel=1)


def test_the_command_starts_ray_ends_it_and_is_quiet(
    model: Path, pictures: Path, whole: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-m", "maskwright", "predict", str(model), str(pictures), "--out",
        str(tmp_path / "out"), "--write", "coco", "--parallel", "1", "--json", "--ray",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"},
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=200)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
    assert process.returncode == 1, errors  # a picture was left out
    assert json.loads(output)["pictures"] == _COUNT - 1
    [line] = errors.splitlines()
    assert line.startswith("maskwright: left out")
    name = "results.json"
    assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()
