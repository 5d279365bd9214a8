"""What is kept of the objects found in one picture, and in which form.

Pure functions `Instances -> Instances`; none of them needs the picture. Order is kept. Found
objects only: without scores there is nothing to threshold or to prefer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from maskwright.conversions import masks_of
from maskwright.errors import ConfigError, nearest_name
from maskwright.masks.pairs import common_areas, meeting_pairs
from maskwright.masks.runs import run_boxes
from maskwright.structures import Instances

__all__ = [
    "PostProcessing",
    "keep_classes",
    "keep_scores",
    "remove_overlaps",
    "remove_small",
    "require_classes",
    "suppress_duplicates",
    "tighten_boxes",
]


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """The steps after the model, in the order they run; the defaults change nothing.

    Thresholds commute with the rest: an object of low score never takes pixels or place from a
    surer one, so raising `score_threshold` afterwards gives the same objects.

    Args:
        score_threshold: Keep objects with at least this score, 0 to 1, or class by class with at
            least the score of its name; None keeps what the model gives (its own threshold is in
            its config).
        classes: Names of the classes to keep; None keeps all.
        nms_threshold: Of two objects of one class whose IoU is larger, keep the surer, 0 to 1;
            None leaves it to the model.
        nms_by: IoU of "masks" or of "boxes".
        remove_overlaps: Give a pixel of several objects to the surest, so that masks are disjoint.
        min_area: Smallest mask to keep, in pixels of the picture.
        tighten_boxes: Replace each box by its mask's.
    """

    score_threshold: float | Mapping[str, float] | None = None
    classes: tuple[str, ...] | None = None
    nms_threshold: float | None = None
    nms_by: Literal["masks", "boxes"] = "masks"
    remove_overlaps: bool = False
    min_area: float = 0
    tighten_boxes: bool = False

    def __post_init__(self) -> None:
        named: dict[str, float | None] = {"nms_threshold": self.nms_threshold}
        if isinstance(self.score_threshold, Mapping):
            named |= {f"score_threshold of {key}": one for key, one in self.score_threshold.items()}
        else:
            named["score_threshold"] = self.score_threshold
        for name, value in named.items():
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"{name} must be from 0 to 1, got {value}")
        if not self.min_area >= 0:
            raise ConfigError(f"min_area must be 0 or more pixels, got {self.min_area}")
        if isinstance(self.classes, str):
            raise ConfigError(f"classes must be a list of names, got the text {self.classes!r}")

    def __call__(self, instances: Instances) -> Instances:
        """Run the chosen steps on the objects of one picture.

        Raises:
            ConfigError: `classes` names one that the model does not know.
            MaskError: A step needs masks and there are none.
        """
        if self.score_threshold is not None:
            instances = keep_scores(instances, self.score_threshold)
        if self.classes is not None:
            instances = keep_classes(instances, self.classes)
        if self.nms_threshold is not None:
            instances = suppress_duplicates(instances, self.nms_threshold, by=self.nms_by)
        if self.remove_overlaps:
            instances = remove_overlaps(instances)
        if self.min_area > 0:
            instances = remove_small(instances, self.min_area)
        return tighten_boxes(instances) if self.tighten_boxes else instances


def require_classes(names: Collection[str], known: tuple[str, ...]) -> None:
    """Raise a ConfigError for the first of `names` that is not among the `known` classes."""
    for name in names:
        if name not in known:
            listed = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
            raise ConfigError(
                f"the model has no class {name!r}.{nearest_name(name, known)} Its classes: {listed}"
            )


def keep_scores(instances: Instances, threshold: float | Mapping[str, float]) -> Instances:
    """Keep the objects whose score is at least `threshold`, or that of their class's name.

    Raises:
        ConfigError: A class of the objects has no threshold.
    """
    if not isinstance(threshold, Mapping):
        return instances[np.flatnonzero(_scores(instances) >= np.float32(threshold))]
    lacking = [name for name in instances.class_names if name not in threshold]
    if lacking:
        raise ConfigError(f"no score threshold for the class {lacking[0]!r}: give one for each")
    least = np.array([threshold[name] for name in instances.class_names], np.float32)
    wanted = least[instances.labels.cpu().numpy()]
    return instances[np.flatnonzero(_scores(instances) >= wanted)]


def keep_classes(instances: Instances, names: Collection[str]) -> Instances:
    """Keep the objects of the named classes; none for no names.

    Raises:
        ConfigError: A name that `instances.class_names` does not hold.
    """
    known = instances.class_names
    require_classes(names, known)
    wanted = torch.tensor([known.index(name) for name in names], dtype=torch.int64)
    return instances[torch.isin(instances.labels.cpu(), wanted).numpy()]


def suppress_duplicates(
    instances: Instances, threshold: float, *, by: Literal["masks", "boxes"] = "masks"
) -> Instances:
    """Keep, of objects of one class whose IoU exceeds `threshold`, the surest.

    Greedy non-maximum suppression within each class. By masks, objects that merely share a box
    (crossed sticks, nested rings) all stay. Only objects whose boxes meet are compared, so that
    the many objects of a large picture take neither time nor memory with their square.

    Args:
        instances: The objects found in one picture.
        threshold: Largest IoU that two kept objects of a class may have, 0 to 1.
        by: IoU of "masks" or of "boxes".
    """
    order = np.argsort(-_scores(instances), kind="stable")
    labels = instances.labels.cpu().numpy()
    if by == "boxes":
        from torchvision.ops import batched_nms

        boxes, scores = instances.boxes.detach().cpu(), torch.from_numpy(_scores(instances))
        kept = batched_nms(boxes, scores, instances.labels.cpu(), threshold).numpy()
        return instances[np.sort(kept)]
    ranked = masks_of(instances, "non-maximum suppression by masks")[order]
    pairs = meeting_pairs(run_boxes(ranked.runs, ranked.offsets))
    pairs = pairs[labels[order][pairs[:, 0]] == labels[order][pairs[:, 1]]]
    common = common_areas(ranked.runs, ranked.offsets, pairs)
    united = ranked.area[pairs].sum(axis=1) - common
    alive = np.ones(len(instances), dtype=bool)
    # Sorted by the surer of the two: it is settled by then whether that one stays.
    for surer, other in pairs[common / np.maximum(united, 1) > threshold].tolist():
        if alive[surer]:
            alive[other] = False
    return instances[np.sort(order[alive])]


def remove_overlaps(instances: Instances) -> Instances:
    """Give each pixel of several objects to the surest of them.

    Boxes stay as they are. Objects with no pixel left are dropped; of equal scores the earlier
    object wins.
    """
    masks = masks_of(instances, "removal of overlaps")
    order = np.argsort(-_scores(instances), kind="stable")
    disjoint = masks[order].remove_overlaps()[np.argsort(order)]
    had_pixels = masks.area > 0
    cleared = replace(instances, masks=disjoint)
    return cleared[np.flatnonzero((disjoint.area > 0) | ~had_pixels)]


def remove_small(instances: Instances, min_area: float) -> Instances:
    """Drop the objects whose mask has fewer than `min_area` pixels."""
    return instances[np.flatnonzero(masks_of(instances, "a smallest area").area >= min_area)]


def tighten_boxes(instances: Instances) -> Instances:
    """Replace each box by the tight box of its mask; an object without a pixel keeps its own."""
    masks = masks_of(instances, "tightening boxes")
    tight = torch.from_numpy(np.ascontiguousarray(masks.boxes)).to(instances.boxes)
    has_pixels = torch.from_numpy(masks.area > 0).to(instances.boxes.device)
    return replace(instances, boxes=torch.where(has_pixels[:, None], tight, instances.boxes))


def _scores(instances: Instances) -> np.ndarray:
    """Scores as (n,) float32."""
    if instances.scores is None:
        raise ConfigError("these are true objects without scores: nothing to threshold or prefer")
    return instances.scores.detach().cpu().numpy()
