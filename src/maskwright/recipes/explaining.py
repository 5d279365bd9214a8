"""Why a model finds the objects of a picture: `maskwright explain`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from maskwright.errors import ConfigError
from maskwright.explain import (
    Fill,
    ObjectSaliency,
    SaliencyOptions,
    Target,
    WantedMethod,
    explain_object,
    object_features,
)
from maskwright.inference import Predictor, load
from maskwright.inference.pictures import PictureSource, as_picture
from maskwright.model import InstanceSegmenter
from maskwright.recipes.object_indexing import IndexedObjects, open_object_index
from maskwright.structures import Instances

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["ExplainedObject", "Explanation", "Neighbour", "explain"]


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A training object that the network sees much as it sees an explained one.

    Args:
        place: In the index.
        distance: One less the cosine of their features, 0 to 2.
        class_name: Its true class.
        file_name: Of its picture.
        annotation_id: The data's id of it.
        is_same_picture: Whether it is on the very picture that is explained.
    """

    place: int
    distance: float
    class_name: str
    file_name: str
    annotation_id: int
    is_same_picture: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class ExplainedObject:
    """One object and why it was found.

    Args:
        number: From 1, by falling score, among what was found.
        class_name: Of the object.
        score: Of the object.
        area: Pixels of its mask, or of its box where there is no mask.
        saliency: Where the evidence lies.
        neighbours: The nearest training objects; () where they were not looked for.
    """

    number: int
    class_name: str
    score: float
    area: float
    saliency: ObjectSaliency
    neighbours: tuple[Neighbour, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        saliency = self.saliency
        gap = saliency.attribution.gap
        return {
            "object": self.number,
            "class": self.class_name,
            "score": self.score,
            "area": self.area,
            "method": saliency.attribution.method,
            "value": saliency.attribution.value,
            "covered_value": saliency.attribution.covered_value,
            "integration_error": gap,
            "shares": asdict(saliency.shares),
            "faithfulness": saliency.faithfulness and asdict(saliency.faithfulness),
            "neighbours": [
                {
                    "distance": each.distance,
                    "class": each.class_name,
                    "picture": each.file_name,
                    "annotation_id": each.annotation_id,
                    "same_picture": each.is_same_picture,
                }
                for each in self.neighbours
            ],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Why the objects of a picture were found.

    Args:
        image: The picture.
        picture: Its file; None for pictures from memory.
        found: All that was found on it, in the order of their numbers.
        options: How it was explained.
        objects: Those that were explained.
        indexed: The training objects that neighbours are of; None where they were not looked for.
        notes: What the user should know.
    """

    image: UInt8[np.ndarray, "h w 3"]
    picture: Path | None
    found: Instances
    options: SaliencyOptions
    objects: tuple[ExplainedObject, ...]
    indexed: IndexedObjects | None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "picture": None if self.picture is None else str(self.picture),
            "found": len(self.found),
            "options": asdict(self.options),
            "indexed_objects": None if self.indexed is None else len(self.indexed.index),
            "objects": [each.as_dict() for each in self.objects],
            "notes": list(self.notes),
        }

    def to_table(self) -> Table:
        """A table for the terminal: where the evidence lies, whether that is so, what is alike."""
        from maskwright.recipes.explanation_table import explanation_table

        return explanation_table(self)


def explain(
    model: str | os.PathLike[str] | Predictor,
    picture: PictureSource,
    *,
    objects: Sequence[int] = (),
    top: int = 3,
    score_threshold: float | str | None = 0.5,
    method: WantedMethod = "auto",
    target: Target = "object",
    fill: Fill = "mean",
    num_steps: int = 32,
    patches: int = 12,
    faithfulness: bool = True,
    batch_size: int = 4,
    neighbours: int = 5,
    data: str | Path | None = None,
    images: str | Path | None = None,
    index: str | os.PathLike[str] | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    index_progress: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Return why the model finds objects of a picture.

    Two answers. Saliency: what in the picture speaks for the object, and how much of that lies in
    its mask. Neighbours: the training objects that look most like it to the network.

    Args:
        model: A model file, a run folder, torchvision/NAME, or a predictor.
        picture: A file, or whatever `Predictor.predict` takes as one picture.
        objects: Numbers of the objects to explain, from 1 by falling score.
        top: Without `objects`, the surest so many.
        score_threshold: Lowest score of objects that are numbered.
        method: See `SaliencyOptions`, as for the next five.
        target: What is explained.
        fill: What stands where something is taken away.
        num_steps: Of integrated gradients.
        patches: Of occlusion, per side of the window about an object.
        faithfulness: Whether deletion and insertion are measured.
        batch_size: Copies of the picture together in the network.
        neighbours: How many training objects to show of each; 0 looks for none.
        data: The training data; None takes that of the run the model lies in.
        images: Folder of its pictures, if it is not where it is looked for.
        index: The file that keeps the features; None keeps `objects.npz` beside a model file.
        seed: Of the sample of training objects and the order by chance.
        device: As for `load`.
        progress: Called after each object with the objects done and all.
        index_progress: Called with the training pictures done and all, where they are indexed.

    Raises:
        ConfigError: A number that no object has, or an option that does not fit.
        MissingExtraError: Gradients were asked for and captum is not installed.
        DataError: The picture or `data` cannot be read.
    """
    options = SaliencyOptions(
        method=method,
        target=target,
        fill=fill,
        num_steps=num_steps,
        patches=patches,
        faithfulness=faithfulness,
        batch_size=batch_size,
        seed=seed,
    )
    if neighbours < 0 or top < 1:
        raise ConfigError(f"neighbours must be 0 or more and top 1 or more: {neighbours}, {top}")
    predictor = (
        model if isinstance(model, Predictor) else load(model, device=device, runtime="eager")
    )
    taken = as_picture(picture)
    found = predictor.predict(
        taken.image if taken.path is None else taken.path, score_threshold=score_threshold
    )
    chosen = _chosen(objects, top, found)
    indexed, notes = None, []
    if neighbours and chosen:
        indexed, note = open_object_index(
            predictor,
            None if isinstance(model, Predictor) else model,
            data=data,
            images=images,
            path=index,
            seed=seed,
            progress=index_progress,
        )
        notes += [note] if note else []
    if not len(found):
        notes.append("nothing is found on this picture: lower --score-threshold")
    explained = []
    for done, number in enumerate(chosen, start=1):
        one = found[number - 1]
        explained.append(
            ExplainedObject(
                number=number,
                class_name=one.names[0],
                score=float(one.scores[0]) if one.scores is not None else 1.0,
                area=_area(one),
                saliency=explain_object(predictor, taken.image, one, options),
                neighbours=_neighbours(
                    predictor, taken.image, taken.path, one, indexed, neighbours
                ),
            )
        )
        if progress is not None:
            progress(done, len(chosen))
    return Explanation(
        image=taken.image,
        picture=taken.path,
        found=found,
        options=options,
        objects=tuple(explained),
        indexed=indexed,
        notes=tuple(notes),
    )


def _chosen(objects: Sequence[int], top: int, found: Instances) -> list[int]:
    """Return the numbers of the objects to explain, each once, in the order asked for."""
    if not objects:
        return list(range(1, min(top, len(found)) + 1))
    if wrong := [number for number in objects if not 1 <= number <= len(found)]:
        raise ConfigError(
            f"there is no object {wrong[0]}: {len(found)} were found on this picture, numbered "
            "from 1 by falling score; a lower score threshold finds more"
        )
    return list(dict.fromkeys(objects))


def _area(one: Instances) -> float:
    if one.masks is not None:
        return float(one.masks.area[0])
    x1, y1, x2, y2 = one.boxes[0].tolist()
    return float((x2 - x1) * (y2 - y1))


def _neighbours(
    predictor: Predictor,
    image: UInt8[np.ndarray, "h w 3"],
    path: Path | None,
    one: Instances,
    indexed: IndexedObjects | None,
    count: int,
) -> tuple[Neighbour, ...]:
    if indexed is None:
        return ()
    assert isinstance(predictor.model, InstanceSegmenter)
    places, distances = indexed.index.nearest(object_features(predictor.model, image, one), count)
    found = []
    for place, distance in zip(places[0].tolist(), distances[0].tolist(), strict=True):
        file = indexed.picture_path(place)
        found.append(
            Neighbour(
                place=place,
                distance=distance,
                class_name=indexed.index.class_names[indexed.index.labels[place]],
                file_name=indexed.file_name(place),
                annotation_id=int(indexed.index.annotation_ids[place]),
                is_same_picture=path is not None and file.resolve() == path.resolve(),
            )
        )
    return tuple(found)
