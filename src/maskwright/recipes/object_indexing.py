"""The index of a run's training objects: found, made where it is missing, and kept beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from maskwright.data import Dataset, open_dataset
from maskwright.errors import ConfigError, DataError
from maskwright.explain import (
    ObjectIndex,
    build_object_index,
    data_fingerprint,
    model_fingerprint,
)
from maskwright.inference import Predictor
from maskwright.inference.loading import model_file
from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter
from maskwright.recipes.scoring import match_classes

__all__ = ["IndexedObjects", "open_object_index", "training_data"]

_FILE = "objects.npz"
_LIMIT = 20_000
"""Objects of an index: 20 MB at 500 features, and a picture each costs a pass of the network."""


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexedObjects:
    """An index with the pictures that its objects are on.

    Args:
        index: The features.
        dataset: The data they are of.
        path: Where the index is kept; None where it is not.
    """

    index: ObjectIndex
    dataset: Dataset
    path: Path | None

    def file_name(self, place: int) -> str:
        """Return the picture's name of an object of the index."""
        return self.dataset.file_names[self._picture(place)]

    def picture_path(self, place: int) -> Path:
        """Return the picture's file."""
        return self.dataset.image_path(self._picture(place))

    def picture_and_mask(self, place: int) -> tuple[UInt8[np.ndarray, "h w 3"], Masks]:
        """Read the picture and the mask of an object of the index.

        Raises:
            ImageError: The picture cannot be read.
        """
        picture = self._picture(place)
        own = np.flatnonzero((self.dataset.object_image == picture) & ~self.dataset.is_empty)
        ids = self.dataset.annotation_ids[own]
        rank = int(np.flatnonzero(ids == self.index.annotation_ids[place])[0])
        masks = self.dataset.targets(picture).masks
        assert masks is not None
        return self.dataset.image(picture), masks[[rank]]

    def _picture(self, place: int) -> int:
        return int(np.flatnonzero(self.dataset.image_ids == self.index.image_ids[place])[0])


def open_object_index(
    predictor: Predictor,
    model: str | os.PathLike[str] | None,
    *,
    data: str | Path | None = None,
    images: str | Path | None = None,
    path: str | os.PathLike[str] | None = None,
    limit: int = _LIMIT,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[IndexedObjects | None, str]:
    """Return the index of the objects that a model was trained on, and a word where there is none.

    An index that is kept is taken if network, data and seed are those it was made of; otherwise
    it is made and replaces what was there.

    Args:
        predictor: The model.
        model: Where it was loaded from; None is not known.
        data: The training data; None takes that of the run beside the model.
        images: Folder of its pictures.
        path: File of the index; None for objects.npz beside the model file, and none is kept of
            models without a file.
        limit: Objects at most, a sample of the data's.
        seed: Of the sample.
        progress: Called with the pictures done and all.

    Raises:
        DataError: `data` cannot be read. (That of the run: a word.)
        EvaluationError: The data has objects of classes that the model does not know.
    """
    network = predictor.model
    if not isinstance(network, InstanceSegmenter):
        if data is not None:
            raise ConfigError(
                f"training objects are compared by the maps of a network in PyTorch, and this "
                f"model is {type(network).__name__}: explain the model it was exported from"
            )
        return None, "no training objects are shown: this model's inner maps cannot be read"
    file = None if model is None or not Path(model).exists() else model_file(model)
    if data is not None:
        dataset = open_dataset(data, images=images)
    else:
        try:
            dataset = training_data(None if file is None else file.parent, images)
        except DataError as error:
            return None, f"no training objects are shown: {error}"
    dataset = match_classes(predictor.class_names, dataset)
    kept = Path(path) if path is not None else file and file.parent / _FILE
    wanted = (model_fingerprint(network), data_fingerprint(dataset), seed, limit)
    if kept is not None and kept.is_file():
        index = ObjectIndex.load(kept)
        if (index.model, index.data, index.seed, index.limit) == wanted:
            return IndexedObjects(index=index, dataset=dataset, path=kept), ""
    index = build_object_index(network, dataset, limit=limit, seed=seed, progress=progress)
    if kept is not None:
        index.save(kept)
    if not len(index):
        return None, "no training objects are shown: the data has none"
    return IndexedObjects(index=index, dataset=dataset, path=kept), ""


def training_data(run: Path | None, images: str | Path | None = None) -> Dataset:
    """Return the pictures that a run learnt from.

    Args:
        run: The run folder; None is not known.
        images: Folder of the pictures, if they were moved.

    Raises:
        DataError: There is no run, or its data is no longer there or has changed.
    """
    if run is None or not (run / "config.json").is_file() or not (run / "split.json").is_file():
        raise DataError("the model lies in no run folder, so give its training data with --data")
    source = json.loads((run / "config.json").read_text(encoding="utf-8"))["source"]
    ids = json.loads((run / "split.json").read_text(encoding="utf-8"))["train"]
    dataset = open_dataset(source["data"], images=images or source["images"])
    place = {image_id: i for i, image_id in enumerate(dataset.image_ids.tolist())}
    if missing := [image_id for image_id in ids if image_id not in place]:
        raise DataError(
            f"{source['data']} lacks {len(missing)} of the {len(ids)} pictures that the run in "
            f"{run} learnt from: restore the data, or give it with --data"
        )
    return dataset.subset([place[image_id] for image_id in ids])
