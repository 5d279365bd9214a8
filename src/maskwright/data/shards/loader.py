"""Batches straight from shards, read in sequence, the same whatever the number of workers.

The shards are dealt out to lanes, and every lane is a stream of its own: its shards in an order of
the epoch, its samples through a shuffling buffer. Step k takes a batch from lane k modulo their
number. Lanes, and not workers, decide what comes, so batches depend neither on how many workers
read them nor on where a run was resumed; ranks take lanes in turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, final

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from maskwright.data.loader import pack, start_worker, unpack
from maskwright.data.pixel_format import PixelFormat
from maskwright.data.sample_reader import MixingTransform, UserTransform, choose_transform
from maskwright.data.shards.order import Member, lane_order
from maskwright.data.shards.reading import (
    RawSample,
    ShardSet,
    decode_sample,
    open_shards,
    read_shard,
)
from maskwright.errors import ConfigError, DataError, MaskwrightError
from maskwright.structures import Batch, Sample, Size
from maskwright.transforms import Augmentation, Transform

__all__ = ["ShardLoader"]

_SAMPLE, _BEFORE = 4, 5  # last words of seeds, see `maskwright.data.sample_reader`


@final
class ShardLoader:
    """Iterates over batches without end; every `iter` begins at `start_step`.

    Args:
        url: A folder that `write_shards` made: a path or a URL of fsspec (https://, s3://, ...).
        batch_size: Pictures per step and rank.
        short_side: As for `Loader`.
        long_side: As for `Loader`.
        fixed_size: As for `Loader`.
        augmentation: As for `Loader`, but nothing that mixes pictures: none is at hand but the one.
        transform: As for `Loader`.
        before_resize: As for `Loader`.
        pixels: How pictures are read, see `maskwright.data.PixelFormat`; None for RGB of 8 bits.
        seed: Decides order and augmentation.
        num_workers: Processes that read ahead; the lanes of a rank must be a multiple of it.
        lanes: Streams, a multiple of `world_size`, at most one per shard. Batches depend on it.
        buffer: Samples of a lane that wait, as bytes, to be drawn.
        rank: Of this process; ranks see different pictures.
        world_size: Number of ranks.
        start_step: Steps to leave out.
        size_divisor: As for `Loader`.
        tries: Requests for a part of a shard before it is given up.

    Raises:
        ConfigError: A number out of range, or numbers that do not go together.
        DataError: There are no shards, or fewer than lanes.
        MissingExtraError: fsspec is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        batch_size: int,
        short_side: int = 800,
        long_side: int = 1333,
        fixed_size: Size | None = None,
        augmentation: Augmentation | None = None,
        transform: Transform | None = None,
        before_resize: Transform | None = None,
        pixels: PixelFormat | None = None,
        seed: int = 0,
        num_workers: int = 0,
        lanes: int = 4,
        buffer: int = 200,
        rank: int = 0,
        world_size: int = 1,
        start_step: int = 0,
        size_divisor: int = 32,
        tries: int = 5,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("buffer", buffer), ("tries", tries)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if not 0 <= rank < world_size or start_step < 0 or num_workers < 0 or seed < 0:
            raise ConfigError(
                "wanted 0 <= rank < world_size, and start_step, num_workers and seed from 0, got "
                f"{rank}, {world_size}, {start_step}, {num_workers}, {seed}"
            )
        if lanes < 1 or lanes % (world_size * max(1, num_workers)):
            raise ConfigError(
                f"lanes must be a multiple of world_size x num_workers = {world_size} x "
                f"{max(1, num_workers)}, got {lanes}"
            )
        if transform is not None and augmentation is not None:
            raise ConfigError("transform takes the place of augmentation: give one of them")
        if augmentation is not None and augmentation.mixes:
            raise ConfigError(
                "mosaic, copy-paste and mixup need any picture at any time, shards are read in "
                "sequence: set their probability to 0, or train from files with Loader"
            )
        self.shards = open_shards(url, tries=tries)
        if len(self.shards.names) < lanes:
            raise DataError(
                f"{url}: {len(self.shards.names)} shards for {lanes} lanes: write more shards "
                "(fewer pictures in each), or take fewer lanes"
            )
        self._batches = _LaneBatches(
            self.shards,
            choose_transform(
                transform,
                augmentation,
                short_side=short_side,
                long_side=long_side,
                fixed_size=fixed_size,
            ),
            before_resize=before_resize,
            pixels=pixels,
            lanes=[lane for lane in range(lanes) if lane % world_size == rank],
            num_lanes=lanes,
            batch_size=batch_size,
            buffer=buffer,
            seed=seed,
            start_step=start_step,
            tries=tries,
        )
        self._num_workers = num_workers
        self._size_divisor = size_divisor
        self._seed = seed

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches from `start_step` on.

        Raises:
            DataError: A shard cannot be read or is damaged.
        """
        loader = DataLoader(
            self._batches,
            batch_size=None,
            num_workers=self._num_workers,
            collate_fn=partial(pack, size_divisor=self._size_divisor),
            worker_init_fn=start_worker,
            generator=torch.Generator().manual_seed(self._seed),
        )
        for packed in loader:
            if isinstance(packed, MaskwrightError):
                raise packed
            yield unpack(packed, self.shards.class_names, self.shards.category_ids)


class _LaneBatches(IterableDataset):
    """Yields lists of samples, those of the worker's share of the steps."""

    def __init__(
        self,
        shards: ShardSet,
        transform: MixingTransform,
        *,
        before_resize: Transform | None,
        pixels: PixelFormat | None,
        lanes: list[int],
        num_lanes: int,
        batch_size: int,
        buffer: int,
        seed: int,
        start_step: int,
        tries: int,
    ) -> None:
        self._shards = shards
        self._transform = transform
        self._before_resize = None if before_resize is None else UserTransform(before_resize)
        self._pixels = pixels
        self._lanes = lanes
        self._num_lanes = num_lanes
        self._batch_size = batch_size
        self._buffer = buffer
        self._seed = seed
        self._start_step = start_step
        self._tries = tries

    def __iter__(self) -> Iterator[list[Any]]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        streams: dict[int, Iterator[Any]] = {}
        step = self._start_step + first
        while True:
            rounds, turn = divmod(step, len(self._lanes))
            lane = self._lanes[turn]
            if lane not in streams:
                streams[lane] = self._lane(lane, rounds * self._batch_size)
            batch = []
            for _ in range(self._batch_size):
                batch.append(next(streams[lane]))
                if isinstance(batch[-1], MaskwrightError):
                    yield [batch[-1]]
                    return
            yield batch
            step += stride

    def _lane(self, lane: int, skipped: int) -> Iterator[Any]:
        """Yield (sample, original size) of a lane from a place on; an error as a value."""
        mine = list(range(lane, len(self._shards.names), self._num_lanes))
        per_epoch = sum(self._shards.counts[shard] for shard in mine)
        if not per_epoch:
            yield DataError(f"{self._shards.url}: the shards of a lane have no samples")
            return
        epoch, place = divmod(skipped, per_epoch)
        try:
            while True:
                order, members = lane_order(
                    mine,
                    self._shards.counts,
                    buffer=self._buffer,
                    seed=self._seed,
                    epoch=epoch,
                    lane=lane,
                )
                raws = _in_order(self._shards, order, members[place:], self._tries)
                for member, raw in zip(members[place:], raws, strict=True):
                    sample = decode_sample(self._shards, raw, pixels=self._pixels)
                    changed = self._transformed(sample, (self._seed, epoch, *member))
                    yield changed, sample.targets.image_size
                epoch, place = epoch + 1, 0
        except MaskwrightError as error:
            yield error

    def _transformed(self, sample: Sample, words: tuple[int, ...]) -> Sample:
        if self._before_resize is not None:
            sample = self._before_resize(sample, np.random.default_rng((*words, _BEFORE)))
        return self._transform(sample, np.random.default_rng((*words, _SAMPLE)), partner=None)


def _in_order(
    shards: ShardSet, order: list[int], members: list[Member], tries: int
) -> Iterator[RawSample]:
    """Yield the samples wanted, reading each shard once in sequence and skipping what is over."""
    wanted = set(members)
    needed = {shard for shard, _ in members}
    found = (
        ((shard, place), raw)
        for shard in order
        if shard in needed
        for place, raw in enumerate(read_shard(shards, shard, tries=tries))
        if (shard, place) in wanted
    )
    waiting: dict[Member, RawSample] = {}
    for member in members:
        while member not in waiting:
            place, raw = next(found)
            waiting[place] = raw
        yield waiting.pop(member)
