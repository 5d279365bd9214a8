"""Every reader on damaged files: a dataset, or our error that names the file. Never anything else.

`MASKWRIGHT_FUZZ=5000 pytest tests/data/formats/test_fuzz.py` looks longer.
"""

from __future__ import annotations

import os
import random
import shutil
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.formats.mutating import damage, write_small
from maskwright.data import open_dataset
from maskwright.data.formats.table import FORMATS
from maskwright.errors import DataError

_EXAMPLES = int(os.environ.get("MASKWRIGHT_FUZZ", "25"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small dataset of every format."""
    folder = tmp_path_factory.mktemp("small")
    for one in FORMATS:
        write_small(one.name, folder / one.name, folder)
    return folder


@pytest.mark.filterwarnings("ignore")  # Pillow and tifffile warn of damaged files
@pytest.mark.parametrize("name", [one.name for one in FORMATS])
@settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_files_give_a_dataset_or_an_error_that_names_them(
    name: str, seed: int, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)  # mutated sizes cost time
    folder = tmp_path / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(small / name, folder)
    rng = random.Random(seed)
    done = [damage(folder, rng) for _ in range(rng.choice((1, 1, 2)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = open_dataset(folder, format=rng.choice((name, None)))
            for i in range(len(dataset)):
                assert dataset.targets(i).image_size == tuple(dataset.sizes[i])
                dataset.image(i)
            dataset.to_coco()
        except DataError as error:
            problem = str(error)
            is_named = str(folder) in problem
        else:
            return
    assert is_named, f"{done}: names no file: {problem}"
