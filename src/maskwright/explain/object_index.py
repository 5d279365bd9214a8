"""An index of annotated objects by what a network sees in them, kept in one file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float16, Float32, Float64, Int64

from maskwright.data import Dataset
from maskwright.errors import DataError
from maskwright.explain.object_features import object_features
from maskwright.files import atomic_write
from maskwright.model import InstanceSegmenter

__all__ = ["ObjectIndex", "build_object_index", "data_fingerprint", "model_fingerprint"]

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectIndex:
    """Features of the objects of a dataset, and where each object is.

    Args:
        features: (n, d) float16, each of length 1.
        annotation_ids: (n,) the data's id of each object.
        image_ids: (n,) the data's id of its picture.
        labels: (n,) by `class_names`.
        boxes: (n, 4) xyxy pixels.
        class_names: Names by label.
        num_objects: That the data has; more than n where a sample was taken.
        model: Fingerprint of the network the features are of.
        data: Fingerprint of the data.
        seed: Of the sample.
        limit: Objects it holds at most.
    """

    features: Float16[np.ndarray, "n d"]
    annotation_ids: Int64[np.ndarray, " n"]
    image_ids: Int64[np.ndarray, " n"]
    labels: Int64[np.ndarray, " n"]
    boxes: Float32[np.ndarray, "n 4"]
    class_names: tuple[str, ...]
    num_objects: int
    model: str
    data: str
    seed: int = 0
    limit: int = 20_000

    def __len__(self) -> int:
        return len(self.features)

    def nearest(
        self, features: Float32[np.ndarray, "q d"], count: int
    ) -> tuple[Int64[np.ndarray, "q m"], Float64[np.ndarray, "q m"]]:
        """Return the nearest objects of each vector, nearest first, and their distances.

        The distance is one less the cosine, 0 to 2. Equal distances keep the order of the index.

        Args:
            features: Of length 1, as `object_features` gives them.
            count: m; fewer where the index has fewer.
        """
        own = self.features.astype(np.float64)
        # asked for with the precision that is kept, so that an object is at 0 from itself
        asked = features.astype(np.float16).astype(np.float64)
        own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-12)
        asked /= np.maximum(np.linalg.norm(asked, axis=1, keepdims=True), 1e-12)
        distances = np.clip(1.0 - asked @ own.T, 0.0, 2.0)
        distances[distances < 1e-12] = 0.0  # rounding
        order = np.argsort(distances, axis=1, kind="stable")[:, :count]
        return order, np.take_along_axis(distances, order, axis=1)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file (.npz), whole or not at all."""
        with atomic_write(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                format=_FORMAT,
                **{name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__},
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ObjectIndex:
        """Read an index.

        Raises:
            DataError: The file is missing, damaged or of another version.
        """
        try:
            # opened here: of a damaged file np.load leaves its own open
            with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                if int(file["format"]) != _FORMAT:
                    raise DataError(
                        f"{path} is an index of format {int(file['format'])}, this version reads "
                        f"{_FORMAT}: delete it, and it is made anew"
                    )
                columns = {name: file[name] for name in cls.__dataclass_fields__}
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise DataError(
                f"{path} is no index of objects, or a damaged one ({error}): delete it, and it is "
                "made anew"
            ) from error
        for name in ("num_objects", "model", "data", "seed", "limit"):
            columns[name] = columns[name].item()
        columns["class_names"] = tuple(columns["class_names"].tolist())
        return cls(**columns)


def build_object_index(
    model: InstanceSegmenter,
    dataset: Dataset,
    *,
    limit: int = 20_000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ObjectIndex:
    """Go through the pictures once and return the index of their objects.

    Crowds and objects without a pixel are left out. A dataset without objects gives an empty one.

    Args:
        model: The network.
        dataset: With its pictures.
        limit: Of more objects a sample of so many is taken, all alike likely.
        seed: Of the sample.
        progress: Called with the pictures done and all that are looked at.

    Raises:
        ImageError: A picture cannot be read.
    """
    usable = np.flatnonzero(~dataset.is_crowd & ~dataset.is_empty)
    if len(usable) > limit:
        usable = np.sort(np.random.default_rng(seed).choice(usable, limit, replace=False))
    picture_of = dataset.object_image
    pictures = np.unique(picture_of[usable])
    # by the rank among the picture's objects that have pixels: `targets` leaves the others out
    rank = np.cumsum(~dataset.is_empty) - 1
    starts = np.concatenate(
        [[0], np.cumsum(np.bincount(picture_of[~dataset.is_empty], minlength=len(dataset)))]
    )
    features, boxes = [], []
    for done, picture in enumerate(pictures.tolist(), start=1):
        chosen = rank[usable[picture_of[usable] == picture]] - starts[picture]
        objects = dataset.targets(picture)[chosen]
        features.append(object_features(model, dataset.image(picture), objects).astype(np.float16))
        boxes.append(objects.boxes.numpy())
        if progress is not None:
            progress(done, len(pictures))
    return ObjectIndex(
        features=np.concatenate(features) if features else np.zeros((0, 1), np.float16),
        annotation_ids=dataset.annotation_ids[usable],
        image_ids=dataset.image_ids[picture_of[usable]],
        labels=dataset.labels[usable],
        boxes=np.concatenate(boxes) if boxes else np.zeros((0, 4), np.float32),
        class_names=dataset.class_names,
        num_objects=len(dataset.labels),
        model=model_fingerprint(model),
        data=data_fingerprint(dataset),
        seed=seed,
        limit=limit,
    )


def model_fingerprint(model: InstanceSegmenter) -> str:
    """Return a short text that differs between networks with different weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def data_fingerprint(dataset: Dataset) -> str:
    """Return a short text that differs between data with other pictures, objects or classes."""
    digest = hashlib.blake2b(
        repr((dataset.file_names, dataset.class_names)).encode(), digest_size=16
    )
    for column in (
        dataset.image_ids,
        dataset.object_image,
        dataset.annotation_ids,
        dataset.labels,
        dataset.boxes,
    ):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()
