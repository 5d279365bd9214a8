"""Several models as one: each finds its objects, which are fused mask by mask (`fusing.py`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import UInt8

from maskwright.errors import ConfigError
from maskwright.inference.fusing import fuse_views
from maskwright.inference.loading import load
from maskwright.inference.pictures import Picture
from maskwright.inference.predictor import Predictor
from maskwright.inference.runtime import Runtime
from maskwright.structures import Batch, Instances

__all__ = ["Ensemble", "load_ensemble"]


class Ensemble:
    """A `Runtime` of several: `Predictor(Ensemble([a, b])).predict(...)`.

    Members keep their own sizes, calibrations and views. Labels and category ids are the first
    member's; classes are matched by name. An ensemble of one is that one.

    Args:
        members: What `load` returns, or runtimes.
        weights: Of each member, above 0; None takes all alike.
        names: Of the members, for messages; () calls them model 1, model 2 ...

    Raises:
        ConfigError: No members, members that know different classes or find no objects, or other
            weights than members.
    """

    def __init__(
        self,
        members: Sequence[Predictor | Runtime],
        *,
        weights: Sequence[float] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        if not members:
            raise ConfigError("an ensemble needs one model or more")
        self.members = tuple(
            member if isinstance(member, Predictor) else Predictor(member) for member in members
        )
        self.weights = _checked_weights(weights, len(members))
        named = tuple(names) or tuple(f"model {i + 1}" for i in range(len(members)))
        for member, name in zip(self.members, named, strict=True):
            if not member.finds_objects:
                raise ConfigError(f"{name} is a semantic model, which finds no objects to fuse")
            _require_same_classes(self.members[0], member, named[0], name)
            if member.pixel_format is not None:
                raise ConfigError(
                    f"{name} takes pictures as they are stored; an ensemble takes RGB of 8 bits"
                )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label: the first member's."""
        return self.members[0].class_names

    @property
    def picture_side(self) -> int | None:
        """The first member's: the size of tiles."""
        return self._first.picture_side

    @property
    def object_side(self) -> int | None:
        """The largest that a member knows: the overlap of tiles."""
        models = [member.model for member in self.members]
        sides = [model.object_side for model in models if isinstance(model, Runtime)]
        return max((side for side in sides if side is not None), default=None)

    @property
    def _first(self) -> Runtime:
        model = self.members[0].model
        assert isinstance(model, Runtime)
        return model

    def collate(self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Batch:
        """Pad RGB pictures to one size; every member resizes them itself."""
        sizes = tuple((image.shape[0], image.shape[1]) for image in images)
        room = (max(height for height, _ in sizes), max(width for _, width in sizes))
        padded = torch.zeros((len(images), 3, *room), dtype=torch.uint8)
        for place, image, (height, width) in zip(padded, images, sizes, strict=True):
            place[:, :height, :width] = torch.tensor(image).permute(2, 0, 1)
        return Batch(images=padded, image_sizes=sizes, original_sizes=sizes)

    def predict(self, batch: Batch) -> list[Instances]:
        """Find the objects of each picture, with masks, in the frame of the picture."""
        images = [
            picture[:, :height, :width].permute(1, 2, 0).contiguous().numpy()
            for picture, (height, width) in zip(batch.images, batch.image_sizes, strict=True)
        ]
        found = [self._find(member, images) for member in self.members]
        return [fuse_views(views, self.weights) for views in zip(*found, strict=True)]

    def _find(self, member: Predictor, images: Sequence[np.ndarray]) -> list[Instances]:
        """What one member finds, with the labels of the first."""
        known = self.class_names
        labels = torch.tensor([known.index(name) for name in member.class_names])
        pictures = (Picture(image=image) for image in images)
        # category ids of `views[0]`, the first member's, are kept by `fuse_views`
        return [
            replace(found, labels=labels[found.labels.cpu()], class_names=known)
            for found in member.run(pictures, batch_size=len(images))
        ]


def load_ensemble(
    names_or_paths: Sequence[str | os.PathLike[str]],
    *,
    weights: Sequence[float] | None = None,
    device: str | None = None,
    tta: str | None = None,
    runtime: str = "auto",
    precision: str = "fp32",
) -> Predictor:
    """Load several models to predict with as one.

    Args:
        names_or_paths: As for `load`.
        weights: Of each model, above 0; None takes all alike.
        device: As for `load`.
        tta: Views of each model, see `parse_views`.
        runtime: As for `load`.
        precision: As for `load`.

    Raises:
        CheckpointError: A file is missing, damaged or of another version.
        ConfigError: As `Ensemble` and `load`.
    """
    members = [
        load(each, device=device, tta=tta, runtime=runtime, precision=precision)
        for each in names_or_paths
    ]
    return Predictor(
        Ensemble(members, weights=weights, names=[os.fspath(each) for each in names_or_paths])
    )


def _checked_weights(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    chosen = (1.0,) * count if weights is None else tuple(float(weight) for weight in weights)
    if len(chosen) != count:
        raise ConfigError(f"{count} models need as many weights, got {len(chosen)}: {chosen}")
    if not all(np.isfinite(weight) and weight > 0 for weight in chosen):
        raise ConfigError(f"weights must be above 0, got {chosen}")
    return chosen


def _require_same_classes(first: Predictor, other: Predictor, name: str, other_name: str) -> None:
    missing = [each for each in first.class_names if each not in other.class_names]
    extra = [each for each in other.class_names if each not in first.class_names]
    if missing or extra:
        faults = [f"lacks {', '.join(missing)}"] if missing else []
        faults += [f"has {', '.join(extra)} besides"] if extra else []
        raise ConfigError(
            f"models of an ensemble must know the same classes: against {name}, {other_name} "
            f"{' and '.join(faults)}. Train them on the same classes"
        )
