"""A model's predictions on a dataset, and their score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from maskwright.data import Dataset
from maskwright.errors import AnnotationError, EvaluationError
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
from maskwright.training import Processes

__all__ = ["match_classes", "predict_dataset", "score_class_maps", "score_model"]


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
    processes: Processes | None = None,
) -> Metrics:
    """Predict on every picture of the dataset and score the result at the original size.

    Of several `processes` each predicts its share of the pictures, and all return the same score.
    Classes are matched by name; those that the data does not list count as without objects.

    Raises:
        ImageError: A picture cannot be read.
        EvaluationError: Objects of classes that the model does not know; said before the first
            prediction.
    """
    dataset = match_classes(predictor.class_names, dataset)
    processes = processes or Processes()
    own = _share(dataset, processes)
    found = list(predict_dataset(predictor, own, batch_size=batch_size, progress=progress))
    by_id = dict(pair for part in processes.gather(found) for pair in part)
    everything = [(image_id, by_id[image_id]) for image_id in dataset.image_ids.tolist()]
    return evaluate(everything, dataset, kinds=kinds, max_detections=max_detections)


def score_class_maps(
    predictor: Predictor,
    dataset: Dataset,
    *,
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
    processes: Processes | None = None,
) -> SemanticMetrics:
    """Predict the class map of every picture of the dataset and score it at the original size.

    Of several `processes` each predicts its share of the pictures, and all return the same score.

    Raises:
        ImageError: A picture cannot be read.
        ConfigError: The model has no class map.
        EvaluationError: The dataset has objects of a class that the model does not know.
    """
    processes = processes or Processes()
    own = _share(dataset, processes).with_pixels(predictor.pixel_format)
    maps = predictor.run_class_maps(_pictures(own), batch_size=batch_size)

    def by_id() -> Iterator[tuple[int, np.ndarray]]:
        for done, (image_id, (_, found)) in enumerate(
            zip(own.image_ids.tolist(), maps, strict=True), start=1
        ):
            yield image_id, found
            if progress is not None:
                progress(done, len(own))

    metrics = evaluate_semantic(by_id(), own, class_names=predictor.class_names)
    return SemanticMetrics.merge(processes.gather(metrics))


def match_classes(known: Sequence[str], dataset: Dataset) -> Dataset:
    """Return the dataset with the labels of a model that knows these classes, by name.

    Classes that the data does not list are without objects in it.

    Raises:
        EvaluationError: Objects of classes that the model does not know; names all of them.
    """
    try:
        return dataset.with_classes(known)
    except AnnotationError as error:
        raise EvaluationError(
            f"the model does not know all classes of the data: {error}"
        ) from error


def _share(dataset: Dataset, processes: Processes) -> Dataset:
    """The pictures that this process predicts on."""
    if processes.count == 1:
        return dataset
    return dataset.subset(range(processes.rank, len(dataset), processes.count))


def _pictures(dataset: Dataset) -> Iterator[Picture]:
    for i in range(len(dataset)):
        yield Picture(image=dataset.image(i), path=dataset.image_path(i))
