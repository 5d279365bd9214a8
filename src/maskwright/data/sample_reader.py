"""One picture of the stream of training: read, transformed, the same in whichever process."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Protocol, final

import numpy as np
from jaxtyping import UInt8
from torch.utils.data import Dataset as TorchDataset

from maskwright.data.dataset import Dataset
from maskwright.errors import ConfigError, MaskwrightError
from maskwright.structures import Sample, Size
from maskwright.transforms import Augmentation, Partner, Transform, resize_sample

__all__ = ["MixingTransform", "Place", "SampleReader", "UserTransform", "choose_transform"]

# Words of the seeds, so that no two kinds of generator share one; 1 is that of the order
# (`stream.py`), 4 to 6 are those of shards.
_SAMPLE, _BEFORE = 2, 3


@dataclass(frozen=True)
class Place:
    """What a worker must know of one place in the stream.

    Args:
        epoch: From 0.
        index: Position of the picture in the dataset.
        mixes: Whether other pictures may be mixed in.
        copy: How often the picture came before in this epoch.
    """

    epoch: int
    index: int
    mixes: bool
    copy: int = 0


@final
class UserTransform:
    """A transform of the user's, of which it is said once when it loses objects.

    Args:
        transform: What is called.
    """

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self._has_warned = False

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return what the transform makes of a sample.

        Raises:
            ConfigError: That is something else than a sample with masks.
        """
        changed = self._transform(sample, rng)
        if not isinstance(changed, Sample) or changed.targets.masks is None:
            raise ConfigError(
                f"a transform must return a Sample with masks, got {type(changed).__name__} "
                f"for {sample.name}: see docs/augmentation.md"
            )
        lost = len(sample.targets) - len(changed.targets)
        if lost > 0 and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"the transform loses objects, {lost} of {len(sample.targets)} in {sample.name}: "
                "as it should be if it cuts pictures (said once)",
                stacklevel=2,
            )
        return changed


@final
class SampleReader(TorchDataset):
    """Reads and transforms one picture of the stream; lives in the workers.

    Args:
        dataset: Pictures with their objects.
        transform: See `choose_transform`.
        before_resize: What every picture goes through first; None for nothing.
        seed: First word of every generator's seed.
        cache_bytes: Decoded pictures are kept up to this size.
    """

    def __init__(
        self,
        dataset: Dataset,
        transform: MixingTransform,
        *,
        before_resize: Transform | None = None,
        seed: int = 0,
        cache_bytes: int = 0,
    ) -> None:
        self._dataset = dataset
        self._transform = transform
        self._before_resize = None if before_resize is None else UserTransform(before_resize)
        self._seed = seed
        self._free_bytes = cache_bytes
        self._cache: dict[int, UInt8[np.ndarray, "h w 3"]] = {}

    def __getitem__(self, place: Place) -> tuple[Sample, Size] | MaskwrightError:
        try:
            return self.read(place)
        except MaskwrightError as error:
            # Handed over as a value: raised here, DataLoader would bury it in its own text.
            return error

    def read(self, place: Place) -> tuple[Sample, Size]:
        """Return the sample as a network meets it, and the size of its picture as it was read.

        Raises:
            DataError: A picture or its annotation cannot be read.
        """
        words = self._seed, place.epoch, place.index
        copy = (place.copy,) if place.copy else ()
        sample = self._read(place.index)
        original_size = sample.targets.image_size
        first = self._after_user(sample, np.random.default_rng((*words, _BEFORE, *copy)))
        rng = np.random.default_rng((*words, _SAMPLE, *copy))
        partner = self._draw_partner if place.mixes else None
        return self._transform(first, rng, partner=partner), original_size

    def _draw_partner(self, rng: np.random.Generator) -> Sample:
        return self._after_user(self._read(int(rng.integers(len(self._dataset)))), rng)

    def _after_user(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample if self._before_resize is None else self._before_resize(sample, rng)

    def _read(self, index: int) -> Sample:
        if index in self._cache:
            return self._dataset.sample(index, image=self._cache[index])
        sample = self._dataset.sample(index)
        if sample.image.nbytes <= self._free_bytes:
            self._free_bytes -= sample.image.nbytes
            sample.image.flags.writeable = False
            self._cache[index] = sample.image
        return sample


class MixingTransform(Protocol):
    """A transform that may ask for other pictures."""

    def __call__(
        self, sample: Sample, rng: np.random.Generator, *, partner: Partner | None
    ) -> Sample:
        """Return the sample transformed; see `Augmentation.apply`."""


def choose_transform(
    transform: Transform | None,
    augmentation: Augmentation | None,
    *,
    short_side: int,
    long_side: int,
    fixed_size: Size | None = None,
) -> MixingTransform:
    """Return what makes a sample one of a batch: the user's transform, ours, or a plain resize."""
    if transform is not None:
        return partial(_without_partners, UserTransform(transform))
    apply = _resize if augmentation is None else augmentation.apply
    return partial(apply, short_side=short_side, long_side=long_side, fixed_size=fixed_size)


def _without_partners(
    transform: UserTransform, sample: Sample, rng: np.random.Generator, *, partner: Partner | None
) -> Sample:
    del partner
    return transform(sample, rng)


def _resize(
    sample: Sample,
    rng: np.random.Generator,
    *,
    short_side: int,
    long_side: int,
    fixed_size: Size | None,
    partner: Partner | None,
) -> Sample:
    del rng, partner  # a transform is handed them; a resize needs none
    return resize_sample(sample, short_side=short_side, long_side=long_side, fixed_size=fixed_size)
