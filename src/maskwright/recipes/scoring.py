"""A model's predictions on a dataset, and their score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from maskwright.data import Dataset
from maskwright.errors import EvaluationError, nearest_name
from maskwright.evaluation import (
    Kind,
    Metrics,
    SemanticMetrics,
    evaluate,
    evaluate_semantic,
)
from maskwright.inference import Predictor
from maskwright.inference.pictures import Picture
from maskwright.structures import Instances

__all__ = ["predict_dataset", "require_same_classes", "score_class_maps", "score_model"]


def predict_dataset(
    predictor: Predictor,
    dataset: Dataset,
    *,
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[int, Instances]]:
    """Yield the image id and the found objects of each picture of the dataset, in order.

    Args:
        predictor: The model.
        dataset: With its pictures.
        batch_size: Pictures that go through the network together.
        progress: Called after each picture with the pictures done and all.

    Raises:
        ImageError: A picture cannot be read.
    """
    pictures = _pictures(dataset.with_pixels(predictor.pixel_format))
    results = predictor.run(pictures, batch_size=batch_size)
    for done, (image_id, found) in enumerate(
        zip(dataset.image_ids.tolist(), results, strict=True), start=1
    ):
        yield image_id, found
        if progress is not None:
            progress(done, len(dataset))


def score_model(
    predictor: Predictor,
    dataset: Dataset,
    *,
    kinds: Sequence[Kind] = ("bbox", "segm", "boundary"),
    max_detections: int | None = None,
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Metrics:
    """Predict on every picture of the dataset and score the result at the original size.

    Raises:
        ImageError: A picture cannot be read.
        EvaluationError: The dataset and the model do not have the same classes; said before the
            first prediction.
    """
    require_same_classes(predictor.class_names, dataset)
    found = predict_dataset(predictor, dataset, batch_size=batch_size, progress=progress)
    return evaluate(list(found), dataset, kinds=kinds, max_detections=max_detections)


def score_class_maps(
    predictor: Predictor,
    dataset: Dataset,
    *,
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> SemanticMetrics:
    """Predict the class map of every picture of the dataset and score it at the original size.

    Raises:
        ImageError: A picture cannot be read.
        ConfigError: The model has no class map.
        EvaluationError: The dataset has objects of a class that the model does not know.
    """
    pictures = _pictures(dataset.with_pixels(predictor.pixel_format))
    maps = predictor.run_class_maps(pictures, batch_size=batch_size)

    def by_id() -> Iterator[tuple[int, np.ndarray]]:
        for done, (image_id, (_, found)) in enumerate(
            zip(dataset.image_ids.tolist(), maps, strict=True), start=1
        ):
            yield image_id, found
            if progress is not None:
                progress(done, len(dataset))

    return evaluate_semantic(by_id(), dataset, class_names=predictor.class_names)


def require_same_classes(known: tuple[str, ...], dataset: Dataset) -> None:
    """Check that a model of these classes can be scored on the dataset.

    Raises:
        EvaluationError: A class that only one of the two has.
    """
    for name in dataset.class_names:
        if name not in known:
            raise EvaluationError(
                f"the data has a class {name!r}, which the model does not know; it knows: "
                f"{', '.join(known)}.{nearest_name(name, known)}"
            )
    for name in known:
        if name not in dataset.class_names:
            raise EvaluationError(
                f"the model finds objects of a class {name!r}, which the data does not list; the "
                f"data lists: {', '.join(dataset.class_names)}. Add the class to the data's "
                "categories (it needs no objects) and the model's finds count as wrong"
            )


def _pictures(dataset: Dataset) -> Iterator[Picture]:
    for i in range(len(dataset)):
        yield Picture(image=dataset.image(i), path=dataset.image_path(i))
