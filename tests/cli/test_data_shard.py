from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.cli.app import run
from maskwright.data import ShardLoader


def test_shards_are_written_and_trained_from(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shards"
    assert run(["data", "shard", str(discs), "--out", str(out), "--pictures-per-shard", "5"]) == 0
    assert "3 shards and index.json" in capsys.readouterr().out
    assert sorted(path.suffix for path in out.iterdir()) == [".json", ".tar", ".tar", ".tar"]
    loader = ShardLoader(str(out), batch_size=4, lanes=3, short_side=32, long_side=32)
    batch = next(iter(loader))
    assert batch.images.shape == (4, 3, 32, 32)
    assert run(["data", "shard", str(discs), "--out", str(out)]) == 2
    assert "not an empty folder" in capsys.readouterr().err
