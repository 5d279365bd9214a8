from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.files import atomic_write


def test_a_finished_block_leaves_exactly_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    with atomic_write(path) as partial:
        assert partial.parent == path.parent
        assert partial.suffix == ".json"
        partial.write_text("one")
        assert not path.exists()
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]
    assert path.read_text() == "one"


def test_an_error_keeps_the_old_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk"), atomic_write(path) as partial:  # noqa: PT012
        partial.write_bytes(b"ne")
        raise OSError("disk full")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), atomic_write(path):
        pass
    assert path.read_bytes() == b"old"


def test_the_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with atomic_write(tmp_path / "a.bin") as partial:
        partial.touch(mode=0o600)  # as safetensors does
    assert (tmp_path / "a.bin").stat().st_mode == (tmp_path / "plain").stat().st_mode
