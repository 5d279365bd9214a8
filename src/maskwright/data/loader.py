"""Batches for a network, from worker processes, the same whatever their number.

The pictures of all epochs form one stream: epoch 0 shuffled, epoch 1 shuffled anew, and so on.
Step k takes the pictures k * b to (k + 1) * b of it, so every batch is full, and training goes on
at any step without reading what came before. Each place of the stream has a random generator of its
own, seeded by (seed, epoch, picture, copy): nothing depends on which process reads it, or when.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from maskwright.data.dataset import Dataset
from maskwright.data.sample_reader import Place, SampleReader, choose_transform
from maskwright.data.stream import Stream, repeat_factors
from maskwright.errors import ConfigError, DataError, MaskwrightError
from maskwright.masks import Masks
from maskwright.structures import Batch, Instances, Sample, Size
from maskwright.transforms import Augmentation, Transform

__all__ = ["Loader", "Transform", "pack", "start_worker", "unpack"]


@final
class Loader:
    """Iterates over batches; every `iter` begins at `start_step`.

    Args:
        dataset: Pictures with their objects.
        batch_size: Pictures per step.
        short_side: Shorter side after the resize, see `maskwright.transforms.resized_size`.
        long_side: Most that the longer side may have after the resize.
        fixed_size: (height, width) after the resize of every picture, whatever its aspect; None
            keeps the aspect.
        augmentation: Random changes; None only resizes.
        transform: Takes the place of resize and augmentation.
        before_resize: A transform of yours that every picture goes through first, also those that
            mosaic, copy-paste and mixup draw. See docs/augmentation.md.
        is_mixing: Whether mosaic, copy-paste and mixup may happen in a step, asked in this
            process when the step is handed to the workers; None lets them always.
        seed: Decides order and augmentation.
        num_workers: Processes that read ahead; 0 reads in this one.
        shuffle: Whether each epoch has an order of its own.
        epochs: How often each picture comes; None goes on for ever.
        part: (rank, count): of each batch, only the places rank, rank + count and so on, as the
            processes of a distributed run share it; `batch_size` is that of all together.
        start_step: Steps to leave out at the beginning: the batches are those that a loader
            started at 0 gives from there on, bit for bit.
        size_divisor: Batches are padded (with 0, at the bottom and the right) to a multiple of
            this, the largest stride of the network.
        cache_bytes: Decoded pictures kept in memory up to this size, shared out among the
            workers, which spares decoding small datasets in every epoch.
        repeat_threshold: Pictures of classes that are on a smaller fraction of the pictures come
            more often, see `repeat_factors`; an epoch is longer then. None takes each once.
        aspect_batches: Put pictures of like aspect into one batch, so that less of it is padding.
            Each still comes as often.

    Raises:
        ConfigError: A number out of range.
        DataError: The dataset has no pictures.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        short_side: int = 800,
        long_side: int = 1333,
        fixed_size: Size | None = None,
        augmentation: Augmentation | None = None,
        transform: Transform | None = None,
        before_resize: Transform | None = None,
        is_mixing: Callable[[int], bool] | None = None,
        seed: int = 0,
        num_workers: int = 0,
        shuffle: bool = True,
        epochs: int | None = None,
        part: tuple[int, int] = (0, 1),
        start_step: int = 0,
        size_divisor: int = 32,
        cache_bytes: int = 0,
        repeat_threshold: float | None = None,
        aspect_batches: bool = False,
    ) -> None:
        if not len(dataset):
            raise DataError(f"{dataset!r} has no pictures to load")
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("size_divisor", size_divisor, 1),
            ("short_side", short_side, 1),
            ("long_side", long_side, 1),
            ("fixed_size", min(fixed_size or (1, 1)), 1),
            ("seed", seed, 0),
            ("num_workers", num_workers, 0),
            ("start_step", start_step, 0),
        ):
            if value < least:
                raise ConfigError(f"{name} must be at least {least}, got {value}")
        rank, count = part
        if not 0 <= rank < count or batch_size % count:
            raise ConfigError(
                f"a batch of {batch_size} pictures cannot be shared out evenly among {count} "
                f"processes (this is number {rank}): make batch_size a multiple of {count}"
            )
        if transform is not None and augmentation is not None:
            raise ConfigError("transform takes the place of augmentation: give one of them")
        self._dataset = dataset
        if repeat_threshold is not None and not 0 < repeat_threshold <= 1:
            raise ConfigError(
                f"repeat_threshold must be above 0, at most 1, got {repeat_threshold}"
            )
        if not shuffle and (aspect_batches or repeat_threshold is not None):
            raise ConfigError("repeat_threshold and aspect_batches need shuffle=True")
        self._before_resize = before_resize
        self._transform = choose_transform(
            transform,
            augmentation,
            short_side=short_side,
            long_side=long_side,
            fixed_size=fixed_size,
        )
        mixes = augmentation is not None and augmentation.mixes
        sizes = dataset.sizes
        self._stream = Stream(
            len(dataset),
            batch_size,
            seed,
            shuffle,
            epochs,
            start_step,
            factors=None if repeat_threshold is None else repeat_factors(dataset, repeat_threshold),
            aspects=sizes[:, 1] / sizes[:, 0] if aspect_batches else None,
            is_mixing=(is_mixing or _always) if mixes else None,
        )
        self._part = part
        self._num_workers = num_workers
        self._size_divisor = size_divisor
        self._seed = seed
        self._cache_bytes = cache_bytes

    def __len__(self) -> int:
        """Batches of one iteration.

        Raises:
            TypeError: The loader goes on for ever.
        """
        if self._stream.num_batches is None:
            raise TypeError("a loader with epochs=None has no length; see steps_per_epoch")
        return max(0, self._stream.num_batches - self._stream.start_step)

    @property
    def steps_per_epoch(self) -> int:
        """Steps after which every picture has come once or more."""
        return math.ceil(self._stream.places_per_epoch / self._stream.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches from `start_step` on.

        Raises:
            DataError: A picture or its annotation cannot be read.
        """
        loader = DataLoader(
            SampleReader(
                self._dataset,
                self._transform,
                before_resize=self._before_resize,
                seed=self._seed,
                cache_bytes=self._cache_bytes // max(1, self._num_workers),
            ),
            batch_sampler=_Share(self._stream, *self._part),
            num_workers=self._num_workers,
            collate_fn=partial(pack, size_divisor=self._size_divisor),
            worker_init_fn=start_worker,
            # Otherwise a loader would draw from, and change, the global generator.
            generator=torch.Generator().manual_seed(self._seed),
        )
        for packed in loader:
            if isinstance(packed, MaskwrightError):
                raise packed
            yield unpack(packed, self._dataset.class_names, self._dataset.category_ids)


class _Share:
    """Yields of each batch the places that one of several processes takes."""

    def __init__(self, stream: Stream, rank: int, count: int) -> None:
        self._stream, self._rank, self._count = stream, rank, count

    def __iter__(self) -> Iterator[list[Place]]:
        for batch in self._stream:
            yield batch[self._rank :: self._count]


@dataclass(frozen=True, eq=False)
class _PackedTargets:
    """True objects as NumPy arrays: a tensor would cost a shared-memory file each."""

    image_size: Size
    boxes: np.ndarray
    labels: np.ndarray
    is_crowd: np.ndarray
    masks: Masks


@dataclass(frozen=True, eq=False)
class _PackedBatch:
    batch: Batch
    targets: list[_PackedTargets]


def _always(step: int) -> bool:
    del step
    return True


def start_worker(worker: int) -> None:
    """Set a worker process up: one thread, and deaf to Ctrl-C."""
    del worker
    cv2.setNumThreads(0)
    # Ctrl-C reaches every process of the terminal: only the main one should answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def pack(
    items: Sequence[tuple[Sample, Size] | MaskwrightError], *, size_divisor: int
) -> _PackedBatch | MaskwrightError:
    """Pad samples to one batch, of arrays for the way between processes; an error stays one."""
    samples: list[Sample] = []
    original_sizes: list[Size] = []
    for item in items:
        if isinstance(item, MaskwrightError):
            return item
        samples.append(item[0])
        original_sizes.append(item[1])
    sizes = [(sample.image.shape[0], sample.image.shape[1]) for sample in samples]
    largest = np.max(sizes, axis=0)
    height, width = (-(-largest // size_divisor) * size_divisor).tolist()
    channels = samples[0].image.shape[2]
    # Numbers of 16 bits are exact in float32, and PyTorch knows few operations on uint16.
    values = np.uint8 if samples[0].image.dtype == np.uint8 else np.float32
    images = np.zeros((len(samples), channels, height, width), values)
    for padded, sample, (h, w) in zip(images, samples, sizes, strict=True):
        for channel, plane in zip(padded, cv2.split(sample.image), strict=True):
            channel[:h, :w] = plane
    batch = Batch(
        images=torch.from_numpy(images),
        image_sizes=tuple(sizes),
        original_sizes=tuple(original_sizes),
        names=tuple(sample.name for sample in samples),
    )
    return _PackedBatch(batch, [_pack_targets(sample.targets) for sample in samples])


def _pack_targets(targets: Instances) -> _PackedTargets:
    if targets.masks is None:
        raise ConfigError("a transform must return targets with masks, got boxes alone")
    is_crowd = targets.is_crowd
    return _PackedTargets(
        image_size=targets.image_size,
        boxes=targets.boxes.numpy(),
        labels=targets.labels.numpy(),
        is_crowd=np.zeros(len(targets), bool) if is_crowd is None else is_crowd.numpy(),
        masks=targets.masks,
    )


def unpack(
    packed: _PackedBatch, class_names: tuple[str, ...], category_ids: tuple[int, ...]
) -> Batch:
    """Return what `pack` packed as a batch of tensors."""
    targets = tuple(
        Instances(
            image_size=entry.image_size,
            boxes=torch.from_numpy(entry.boxes),
            labels=torch.from_numpy(entry.labels),
            masks=entry.masks,
            is_crowd=torch.from_numpy(entry.is_crowd),
            class_names=class_names,
            category_ids=category_ids,
        )
        for entry in packed.targets
    )
    return replace(packed.batch, targets=targets)
