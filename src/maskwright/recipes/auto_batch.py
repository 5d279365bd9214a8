"""How many pictures go through the network at a time: found by taking real steps.

A step's memory is a fixed part (weights, momentum, averages) and a part that grows with the
pictures. Steps are measured with 1, 2, 4 ... of the heaviest pictures of the data, and never with
more than a line through the last two measurements says will fit. The batch of the recipe stays: it
is taken in pieces, which gives the same gradients, so neither learning rate nor accuracy move.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from maskwright.data import Dataset, Loader
from maskwright.errors import ConfigError, OutOfMemoryError
from maskwright.recipes.moving_parts import Parts, trial_parts
from maskwright.recipes.recipe import Recipe
from maskwright.structures import Batch
from maskwright.training import MemoryMeter, choose_precision, fit, is_out_of_memory
from maskwright.transforms import resized_size

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["AutoBatch", "Trial", "find_pictures_at_once", "largest_that_fits"]

_SMALLER = (0.75, 0.5, 0.35, 0.25)
"""Shares of the short side that are tried where not even one picture fits."""

_STEPS = 2
"""The first step makes the optimiser's slots; the second is one like all others."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A measured step.

    Args:
        pictures: That went through the network together.
        short_side: Of them, in pixels.
        peak: The most bytes that the process held; None where memory ran out.
        seconds: Wall clock of one step.
    """

    pictures: int
    short_side: int
    peak: int | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AutoBatch:
    """What was measured and chosen.

    Args:
        batch_size: Pictures of a step of one process.
        at_once: The most of them that fit.
        limit: Bytes that the process may hold.
        trials: The steps that were measured, in order.
    """

    batch_size: int
    at_once: int
    limit: int
    trials: tuple[Trial, ...]

    @property
    def pictures_at_once(self) -> int | None:
        """What the recipe gets; None where the whole batch fits."""
        return None if self.at_once >= self.batch_size else self.at_once

    def sentence(self) -> str:
        """Return what was chosen.

        >>> AutoBatch(batch_size=8, at_once=2, limit=2**32, trials=()).sentence()
        'Batches of 8 pictures are taken 2 at a time, which gives the same gradients.'
        """
        if self.pictures_at_once is None:
            return f"Batches of {self.batch_size} pictures fit as a whole."
        pieces = f"Batches of {self.batch_size} pictures are taken {self.at_once} at a time"
        return f"{pieces}, which gives the same gradients."

    def to_table(self) -> Group:
        """Return the measured steps and the choice as a rich table, ready to be printed."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.table import Table

        table = Table(title=f"Memory of a step, of {_gib(self.limit)} GiB")
        for heading in ("pictures at once", "short side", "GiB", "seconds"):
            table.add_column(heading, justify="right")
        for trial in self.trials:
            held = "out of memory" if trial.peak is None else _gib(trial.peak)
            table.add_row(f"{trial.pictures}", f"{trial.short_side}", held, f"{trial.seconds:.2f}")
        return Group(table, Padding(self.sentence(), (0, 1)))


def find_pictures_at_once(
    recipe: Recipe, parts: Parts, device: torch.device, meter: MemoryMeter, *, processes: int = 1
) -> AutoBatch:
    """Measure steps of the recipe and return how many pictures fit at a time.

    Nothing of the run is touched: the network that is measured is another one. Training pictures
    are taken as they are, those with most objects first, padded as far as any batch of the data
    can be.

    Args:
        recipe: What the run would do.
        parts: Its pictures.
        device: Where it would train.
        meter: Measures memory, and says how much there is.
        processes: That share a batch.

    Raises:
        OutOfMemoryError: One picture alone does not fit; the message names a size that does.
    """
    share = math.ceil(recipe.batch_size / processes)
    limit, trials = meter.limit, []

    def measure(pictures: int, short_side: int) -> int | None:
        started = monotonic()
        peak = _measured(recipe, parts, device, meter, pictures, short_side)
        seconds = (monotonic() - started) / _STEPS
        trials.append(Trial(pictures=pictures, short_side=short_side, peak=peak, seconds=seconds))
        return peak

    side = recipe.model.short_side
    half = _rounded(recipe, side / 2)
    quarter = measure(1, half) if half < side and recipe.model.fixed_size is None else None
    at_once = largest_that_fits(
        lambda pictures: measure(pictures, side),
        share,
        limit,
        smaller=None if quarter is None else ((half / side) ** 2, quarter),
    )
    if at_once < 1:
        raise OutOfMemoryError(_no_room(recipe, trials, limit, measure))
    return AutoBatch(batch_size=share, at_once=at_once, limit=limit, trials=tuple(trials))


def largest_that_fits(
    measure: Callable[[int], int | None],
    most: int,
    limit: int,
    *,
    smaller: tuple[float, int] | None = None,
) -> int:
    """Return the largest count up to `most` whose measured memory is within the limit; 0 for none.

    Counts are doubled while a line through the last two measurements promises that they fit; then
    the promised count between the last and the next is measured.

    Args:
        measure: Count -> bytes; None where memory ran out.
        most: The largest count that is of use, at least 1.
        limit: Bytes.
        smaller: The bytes of a part of one (0.25, of a picture of half the side): without this
            two are measured only if twice the bytes of one fit.

    >>> largest_that_fits(lambda count: 100 + 30 * count, most=16, limit=300)
    6
    >>> largest_that_fits(lambda count: 100 + 30 * count, most=4, limit=300)
    4
    >>> largest_that_fits(lambda count: 100 + 30 * count, most=4, limit=120)
    0
    >>> largest_that_fits(lambda count: 100 + 30 * count, most=4, limit=170, smaller=(0.25, 107))
    2
    """
    known: dict[float, int] = dict([smaller] if smaller is not None else [])
    if smaller is not None and smaller[1] > limit:
        return 0
    count = 1
    while True:
        peak = measure(count)
        if peak is None or peak > limit:
            return int(max(known, default=0))
        known[count] = peak
        if count >= most:
            return count
        wanted = min(2 * count, most)
        promised = min(wanted, max(count, _promised(known, limit)))
        if promised == count:
            return count
        count = promised


def _promised(known: dict[float, int], limit: int) -> int:
    """The count at which a line through the last two measurements meets the limit."""
    last = max(known)
    before = max((count for count in known if count < last), default=None)
    if before is None:  # one measurement: twice the pictures take at most twice as much
        return int(last * limit / known[last])
    each = max(1.0, (known[last] - known[before]) / (last - before))
    return int(last + (limit - known[last]) / each)


def _measured(
    recipe: Recipe,
    parts: Parts,
    device: torch.device,
    meter: MemoryMeter,
    pictures: int,
    short_side: int,
) -> int | None:
    """Take real steps and return the most bytes held; None where memory ran out."""
    batch = _heaviest(parts.train.with_pixels(recipe.model.pixels), recipe, pictures, short_side)
    precision = choose_precision(device) if recipe.precision == "auto" else recipe.precision
    with trial_parts(parts, recipe, device) as training:

        def work() -> None:
            steps = fit(
                training.model,
                [batch] * _STEPS,
                training.optimizer,
                _standing_still,
                ema=training.ema,
                clip_norm=recipe.clip_norm,
                precision=precision,
                device=device,
            )
            for _ in steps:
                pass

        try:
            return meter.peak(work)
        except (OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not isinstance(error, OutOfMemoryError) and not is_out_of_memory(error):
                raise
        finally:
            gc.collect()
    return None


def _standing_still(step: int) -> float:
    """A schedule of no learning: what is measured must not drift into losses without bound."""
    del step
    return 0.0


def _heaviest(dataset: Dataset, recipe: Recipe, count: int, short_side: int) -> Batch:
    """Load the pictures with most objects, again and again if there are fewer than `count`.

    They are padded to the tallest and the widest of all pictures, which may meet in one batch.
    """
    model = recipe.model
    long_side = max(short_side, round(model.long_side * short_side / model.short_side))
    objects = np.bincount(dataset.object_image, minlength=len(dataset))
    order = np.argsort(-objects, kind="stable")
    loader = Loader(
        dataset.subset(np.resize(order, count)),
        batch_size=count,
        short_side=short_side,
        long_side=long_side,
        fixed_size=model.fixed_size,
        size_divisor=model.size_multiple,
        shuffle=False,
        epochs=1,
    )
    batch = next(iter(loader))
    if model.fixed_size is not None:
        return batch
    sizes = [
        resized_size((height, width), short_side=short_side, long_side=long_side)
        for height, width in np.unique(dataset.sizes, axis=0).tolist()
    ]
    largest = np.max(sizes, axis=0)
    height, width = (-(-largest // model.size_multiple) * model.size_multiple).tolist()
    bottom = max(0, height - batch.images.shape[-2])
    right = max(0, width - batch.images.shape[-1])
    return replace(batch, images=F.pad(batch.images, (0, right, 0, bottom)))


def _no_room(
    recipe: Recipe,
    trials: list[Trial],
    limit: int,
    measure: Callable[[int, int], int | None],
) -> str:
    """Say that one picture does not fit, and at which size it does."""
    side = recipe.model.short_side
    needed = next((trial.peak for trial in trials if trial.short_side == side), None)
    needs = "more than that" if needed is None else f"{_gib(needed)} GiB"
    text = f"a step of one picture with a short side of {side} pixels needs {needs}, and "
    text += f"{_gib(limit)} GiB may be used: "
    for smaller in _smaller_sides(recipe):
        peak = measure(1, smaller)
        if peak is not None and peak <= limit:
            return text + f"--model.short-side {smaller} fits ({_gib(peak)} GiB)"
    return text + "take a smaller network (--preset tiny), or --memory if there is more"


def _smaller_sides(recipe: Recipe) -> Iterator[int]:
    if recipe.model.fixed_size is not None:
        return
    for share in _SMALLER:
        if (side := _rounded(recipe, share * recipe.model.short_side)) < recipe.model.short_side:
            yield side


def _rounded(recipe: Recipe, side: float) -> int:
    """A side that is not padded; twice the coarsest stride at least, for the batch norms there."""
    multiple = recipe.model.size_multiple
    return multiple * max(2, int(side / multiple))


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f}"


def limit_in_bytes(gigabytes: float | None) -> int | None:
    """Return a limit of so many gigabytes (10^9 bytes) in bytes.

    Raises:
        ConfigError: It is not over 0.
    """
    if gigabytes is None:
        return None
    if not gigabytes > 0:
        raise ConfigError(f"memory must be over 0 gigabytes, got {gigabytes}")
    return int(gigabytes * 1e9)
