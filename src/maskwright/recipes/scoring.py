"""A model's predictions on a dataset, and their score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from maskwright.data import Dataset
from maskwright.evaluation import Kind, Metrics, evaluate
from maskwright.inference import Predictor
from maskwright.inference.pictures import Picture
from maskwright.structures import Instances

__all__ = ["predict_dataset", "score_model"]


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
    pictures = (
        Picture(image=dataset.image(i), path=dataset.image_path(i)) for i in range(len(dataset))
    )
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
        EvaluationError: The dataset has classes that the model does not know.
    """
    found = predict_dataset(predictor, dataset, batch_size=batch_size, progress=progress)
    return evaluate(list(found), dataset, kinds=kinds, max_detections=max_detections)
