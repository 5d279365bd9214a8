"""Models without training that find objects, for where only the time matters.

What a network computes does not depend on its weights, but what comes after it does: a model as it
is built gives all boxes one score and finds nothing, or everything.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from maskwright.model import InstanceSegmenter, Model
from maskwright.model.config import apply_overrides
from maskwright.model.lively import make_lively

__all__ = ["finding_objects", "with_options"]

_CANDIDATES_PER_OBJECT = 20
"""Boxes above the threshold for each object wanted; most are duplicates."""


def with_options(model: Model, overrides: Mapping[str, object]) -> Model:
    """Return a model with the same weights and other options, by dotted names."""
    if not overrides:
        return model
    config = apply_overrides(model.config, overrides)
    changed: Model = config.build(model.class_names, model.category_ids)
    changed.load_state_dict(model.state_dict())
    return changed.eval()


def finding_objects(model: Model, picture: np.ndarray, count: int) -> Model:
    """Return the random model, made lively, with a score threshold that lets objects be found.

    Args:
        model: As it was built; its weights are changed.
        picture: (h, w, c), as the model takes it.
        count: Objects that it shall find at most, and about.
    """
    model.eval()
    make_lively(model, picture)
    if not isinstance(model, InstanceSegmenter):
        return model
    batch = model.collate([picture])
    with torch.no_grad():
        ((_, scores),) = model.detector.candidates(model.features(batch), batch)
    ranked = scores.flatten().sort(descending=True).values
    overrides: dict[str, object] = {"detector.detections_per_image": count}
    if len(ranked):
        last = float(ranked[min(_CANDIDATES_PER_OBJECT * count, len(ranked)) - 1])
        usual: float = model.config.detector.score_threshold
        overrides["detector.score_threshold"] = min(usual, max(0.0, last))
    return with_options(model, overrides)
