"""What fits into memory: found by real steps under limits that are made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskwright.errors import ConfigError, OutOfMemoryError
from maskwright.model import InstanceSegmenter, apply_overrides
from maskwright.recipes import RunRequest, train
from maskwright.recipes.auto_batch import (
    find_pictures_at_once,
    largest_that_fits,
    limit_in_bytes,
)
from maskwright.recipes.choose import choose_recipe, data_facts
from maskwright.recipes.memory_advice import memory_advice
from maskwright.recipes.opened_parts import open_parts
from maskwright.recipes.recipe import Recipe
from maskwright.structures import Batch, Losses
from maskwright.training import MemoryMeter
from maskwright.training.fit import StepOutOfMemoryError
from small_recipe import SMALL

_CPU = torch.device("cpu")


class _PixelMeter(MemoryMeter):
    """Memory that is 1000 bytes and the pixels of the batch; real steps run."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.steps: list[int] = []

    @property
    def limit(self) -> int:
        return self._limit

    def peak(self, work: Callable[[], None]) -> int:
        seen: list[int] = []

        def note(module: torch.nn.Module, inputs: tuple[object, ...]) -> None:
            images = inputs[0]
            if not (isinstance(module, torch.nn.Conv2d) and isinstance(images, torch.Tensor)):
                return
            if images.shape[1] == 3:  # the first layer sees the batch itself
                seen.append(images.shape[0] * images.shape[-2] * images.shape[-1])

        handle = torch.nn.modules.module.register_module_forward_pre_hook(note)
        try:
            work()
        finally:
            handle.remove()
        self.steps.append(max(seen))
        return 1000 + max(seen)


@pytest.fixture(scope="module")
def recipe(discs: Path) -> Recipe:
    parts = open_parts(RunRequest(data=discs).source())
    chosen = choose_recipe(data_facts(parts.train), preset="tiny", weights="none", num_steps=2)
    size = {"model.short_side": 128, "model.long_side": 128}
    return apply_overrides(chosen, SMALL | size | {"batch_size": 6})


def _found(discs: Path, recipe: Recipe, limit: int) -> tuple[int, int | None, list[int]]:
    meter = _PixelMeter(limit)
    parts = open_parts(RunRequest(data=discs).source())
    found = find_pictures_at_once(recipe, parts, _CPU, meter)
    return found.at_once, found.pictures_at_once, meter.steps


def test_the_most_pictures_that_fit_are_found_without_a_step_beyond_the_limit(
    discs: Path, recipe: Recipe
) -> None:
    pixels = 128 * 128
    at_once, pieces, steps = _found(discs, recipe, 1000 + 3 * pixels)
    assert (at_once, pieces) == (3, 3)
    assert max(steps) <= 3 * pixels
    assert _found(discs, recipe, 1000 + 6 * pixels)[:2] == (6, None)


def test_a_picture_that_does_not_fit_alone_is_told_with_a_size_that_does(
    discs: Path, recipe: Recipe
) -> None:
    with pytest.raises(OutOfMemoryError, match=r"short side of 128 .*--model\.short-side 96 fits"):
        _found(discs, recipe, 1000 + 100 * 100)
    with pytest.raises(OutOfMemoryError, match="smaller network"):
        _found(discs, recipe, 10)


@settings(max_examples=80, deadline=None)
@given(
    fixed=st.integers(0, 1000),
    each=st.integers(1, 300),
    most=st.integers(1, 40),
    limit=st.integers(1, 8000),
)
def test_of_memory_that_grows_evenly_the_exact_count_is_found(
    fixed: int, each: int, most: int, limit: int
) -> None:
    seen: list[int] = []

    def measure(count: int) -> int:
        seen.append(count)
        return fixed + each * count

    smaller = (0.25, fixed + each // 4)
    expected = min(most, max(0, (limit - fixed) // each))
    found = largest_that_fits(measure, most, limit, smaller=smaller)
    assert abs(found - expected) <= 1  # a quarter is rounded down
    assert all(fixed + each * count <= limit for count in seen[1:] if count > found + 1)
    assert seen == sorted(seen)


def test_a_limit_in_gigabytes_is_one_in_bytes() -> None:
    assert limit_in_bytes(1.5) == 1_500_000_000
    assert limit_in_bytes(None) is None
    with pytest.raises(ConfigError, match="must be over 0"):
        limit_in_bytes(0.0)


def test_a_run_takes_its_batches_in_pieces_and_stores_that(
    discs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(
        discs,
        out=tmp_path / "run",
        preset="tiny",
        weights="none",
        num_steps=1,
        overrides=SMALL,
        auto_batch=True,
        memory=1000.0,
    )
    assert run.recipe.pictures_at_once is None
    assert "Batches of 2 pictures fit as a whole." in capsys.readouterr().err
    with pytest.raises(OutOfMemoryError, match="GiB may be used"):
        train(
            discs,
            out=tmp_path / "other",
            preset="tiny",
            weights="none",
            num_steps=1,
            overrides=SMALL,
            auto_batch=True,
            memory=0.01,
            quiet=True,
        )
    assert not (tmp_path / "other").exists()
    stored = json.loads((run.path / "config.json").read_text())["recipe"]
    assert stored["pictures_at_once"] is None


class _Limited(InstanceSegmenter):
    """Has room for so many pixels."""

    room = 0

    def forward(self, batch: Batch) -> Losses:
        if batch.images.shape[0] * batch.images.shape[2] * batch.images.shape[3] > self.room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        losses: Losses = super().forward(batch)
        return losses


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (2 * 128 * 128, ["2 at a time fit: --set pictures-at-once=2", "--model.short-side 64"]),
        (40 * 40, ["not even one picture"]),
    ],
)
def test_advice_is_what_was_tried_on_the_batch_that_did_not_fit(
    discs: Path, recipe: Recipe, room: int, expected: list[str]
) -> None:
    from maskwright.recipes.overfitting import _load

    parts = open_parts(RunRequest(data=discs).source())
    batch = _load(parts.train.subset([0, 1, 2, 3]), recipe)
    assert isinstance(recipe.model, InstanceSegmenter.Config)
    model = _Limited(recipe.model, parts.train.class_names)
    model.room = room
    error = StepOutOfMemoryError("step 7: out of memory with 4 pictures", batch)
    told = memory_advice(error, model, replace(recipe, batch_size=4))
    assert told.startswith("step 7: out of memory with 4 pictures:")
    for words in expected:
        assert words in told
    assert "--auto-batch" in told
    assert all(parameter.grad is None for parameter in model.parameters())
