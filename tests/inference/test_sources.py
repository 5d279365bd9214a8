from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from maskwright.errors import DataError
from maskwright.inference.sources import find_sources, picture_ids, unique_stems


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "notes.txt", "deep/er/c.tif", ".hidden/d.png", "x[1].png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def _names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_pages_of_a_stack_are_named_by_number_or_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 4, 5), np.uint16), photometric="minisblack")
    pages = [tmp_path / f"a.tif[{page}]" for page in range(3)]
    assert find_sources([f"{path}[*]"]) == pages
    assert unique_stems([path, *pages]) == ["a", "a-0", "a-1", "a-2"]
    assert find_sources([f"{path}[1]", path]) == [pages[1], path]
    with pytest.raises(DataError, match="no picture matches"):
        find_sources([tmp_path / "b.tif[1]"])
    (tmp_path / "b.tif").write_text("no picture")
    with pytest.raises(DataError, match=r"b\.tif: no TIFF file whose pages"):
        find_sources([f"{tmp_path}/b.tif[*]"])


def test_a_folder_gives_its_pictures_sorted_and_without_hidden_ones(tree: Path) -> None:
    assert _names(find_sources([tree]), tree) == ["a.JPG", "b.png", "deep/er/c.tif", "x[1].png"]


def test_patterns_give_pictures_only(tree: Path) -> None:
    assert _names(find_sources([str(tree / "?.*")]), tree) == ["a.JPG", "b.png"]
    assert _names(find_sources([str(tree / "**" / "*.tif")]), tree) == ["deep/er/c.tif"]


def test_a_named_file_is_taken_whatever_its_name(tree: Path) -> None:
    named = [tree / "notes.txt", tree / "x[1].png"]
    assert find_sources(named) == named


def test_each_picture_comes_once_in_the_order_of_the_sources(tree: Path) -> None:
    found = find_sources([tree / "x[1].png", tree, tree / "b.png"])
    assert _names(found, tree) == ["x[1].png", "a.JPG", "b.png", "deep/er/c.tif"]


def test_no_sources_give_no_pictures() -> None:
    assert find_sources([]) == []


def test_sources_that_name_nothing_are_errors(tree: Path) -> None:
    (tree / "empty").mkdir()
    with pytest.raises(DataError, match=r"gone\.png: no such file or folder"):
        find_sources([tree / "gone.png"])
    with pytest.raises(DataError, match="empty: no picture in this folder or below it"):
        find_sources([tree / "empty"])
    with pytest.raises(DataError, match=r"\*\.webp: no picture matches"):
        find_sources([str(tree / "*.webp")])


def test_ids_are_coco_numbers_only_if_all_names_are_different_numbers() -> None:
    assert picture_ids([Path("000000000139.jpg"), Path("7.jpg")]) == [139, 7]
    assert picture_ids([Path("007.jpg"), Path("7.png")]) == [1, 2]
    assert picture_ids([Path("12.jpg"), Path("x.jpg")]) == [1, 2]
    assert picture_ids([]) == []


def test_names_of_outputs_never_meet() -> None:
    paths = [Path("x.jpg"), Path("a/x.png"), Path("x-2.png"), Path("X.tif"), Path("y.png")]
    names = unique_stems(paths)
    assert names[0] == "x"
    assert names[2] == "x-2"
    assert names[4] == "y"
    assert len({name.casefold() for name in names}) == len(names)
    assert unique_stems([]) == []
