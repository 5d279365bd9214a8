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
from jaxtyping import UInt8
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from maskwright.data.dataset import Dataset
from maskwright.data.stream import Place, Stream, repeat_factors
from maskwright.errors import ConfigError, DataError, MaskwrightError
from maskwright.masks import Masks
from maskwright.structures import Batch, Instances, Sample, Size
from maskwright.transforms import Augmentation, resize_sample

__all__ = ["Loader", "Transform", "make_transform", "pack", "start_worker", "unpack"]

Transform = Callable[[Sample, np.random.Generator], Sample]
"""What makes a sample of the dataset into one of a batch; randomness from the generator only."""

# Words of the seeds, so that no two kinds of generator share one (orders have `stream.SHUFFLE`).
# They are not 0, for NumPy takes missing words of a seed for zeros.
_SAMPLE = 2


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
        seed: Decides order and augmentation.
        num_workers: Processes that read ahead; 0 reads in this one.
        shuffle: Whether each epoch has an order of its own.
        epochs: How often each picture comes; None goes on for ever.
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
        seed: int = 0,
        num_workers: int = 0,
        shuffle: bool = True,
        epochs: int | None = None,
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
        if transform is not None and augmentation is not None:
            raise ConfigError("transform takes the place of augmentation: give one of them")
        self._dataset = dataset
        self._transform = transform or make_transform(
            augmentation, short_side, long_side, fixed_size
        )
        if repeat_threshold is not None and not 0 < repeat_threshold <= 1:
            raise ConfigError(
                f"repeat_threshold must be above 0, at most 1, got {repeat_threshold}"
            )
        if not shuffle and (aspect_batches or repeat_threshold is not None):
            raise ConfigError("repeat_threshold and aspect_batches need shuffle=True")
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
        )
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
            _Reader(
                self._dataset,
                self._transform,
                self._seed,
                self._cache_bytes // max(1, self._num_workers),
            ),
            batch_sampler=self._stream,
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


class _Reader(TorchDataset):
    """Reads and transforms one picture of the stream; lives in the workers."""

    def __init__(self, dataset: Dataset, transform: Transform, seed: int, cache_bytes: int) -> None:
        self._dataset = dataset
        self._transform = transform
        self._seed = seed
        self._free_bytes = cache_bytes
        self._cache: dict[int, UInt8[np.ndarray, "h w 3"]] = {}

    def __getitem__(self, place: Place) -> tuple[Sample, Size] | MaskwrightError:
        epoch, index, copy = place
        words = (self._seed, epoch, index, _SAMPLE, copy)
        rng = np.random.default_rng(words if copy else words[:-1])
        try:
            sample = self._read(index)
            return self._transform(sample, rng), sample.targets.image_size
        except MaskwrightError as error:
            # Handed over as a value: raised here, DataLoader would bury it in its own text.
            return error

    def _read(self, index: int) -> Sample:
        if index in self._cache:
            return self._dataset.sample(index, image=self._cache[index])
        sample = self._dataset.sample(index)
        if sample.image.nbytes <= self._free_bytes:
            self._free_bytes -= sample.image.nbytes
            sample.image.flags.writeable = False
            self._cache[index] = sample.image
        return sample


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


def make_transform(
    augmentation: Augmentation | None, short_side: int, long_side: int, fixed_size: Size | None
) -> Transform:
    """Return the transform that resizes, and augments if asked to."""
    apply = _resize if augmentation is None else augmentation.apply
    return partial(apply, short_side=short_side, long_side=long_side, fixed_size=fixed_size)


def _resize(
    sample: Sample,
    rng: np.random.Generator,
    *,
    short_side: int,
    long_side: int,
    fixed_size: Size | None,
) -> Sample:
    del rng  # a transform is handed one; a resize needs none
    return resize_sample(sample, short_side=short_side, long_side=long_side, fixed_size=fixed_size)


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
    images = np.zeros((len(samples), 3, height, width), np.uint8)
    for padded, sample, (h, w) in zip(images, samples, sizes, strict=True):
        for channel in range(3):
            padded[channel, :h, :w] = sample.image[:, :, channel]
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
