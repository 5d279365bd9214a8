"""Proposals of a run whose detector leaves them to selective search: kept, and their recall told.

RUN/proposals/       boxes of pictures that come again as they are
RUN/proposals.json   how many of the validation objects they cover
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskwright.data import Dataset
from maskwright.detectors.selective_search import ProposalCache, proposal_recall
from maskwright.model import InstanceSegmenter
from maskwright.ops import scale_boxes

__all__ = ["keep_proposals", "measure_proposals", "proposals_sentence"]

_IOUS = (0.5, 0.7)


def keep_proposals(model: InstanceSegmenter, run: Path) -> None:
    """Let the detector remember in the run folder what it searched; others need nothing."""
    if model.detector.search is not None:
        model.detector.search.cache = ProposalCache(run / "proposals")


def measure_proposals(model: InstanceSegmenter, dataset: Dataset) -> dict[str, Any] | None:
    """Return how many of the objects the proposals cover, as `proposals.json` has it.

    Args:
        model: Whose detector searches.
        dataset: Pictures with their objects; crowds do not count.

    Returns:
        "recall" by IoU ("0.5", "0.7"; None without objects), "objects" and "boxes_per_image";
        None for a detector that does not search.
    """
    search = model.detector.search
    if search is None:
        return None
    proposals, true_boxes = [], []
    for index in range(len(dataset)):
        batch = model.collate([dataset.image(index)])
        (found,) = search(batch)
        size, original = batch.image_sizes[0], batch.original_sizes[0]
        proposals.append(scale_boxes(found.cpu(), size, original).numpy())
        target = dataset.targets(index)
        single = target if target.is_crowd is None else target[~target.is_crowd]
        true_boxes.append(single.boxes.numpy())
    count = sum(map(len, true_boxes))
    recall = {
        str(iou): round(proposal_recall(proposals, true_boxes, iou), 4) if count else None
        for iou in _IOUS
    }
    boxes = sum(map(len, proposals)) / max(len(dataset), 1)
    return {"recall": recall, "objects": count, "boxes_per_image": round(boxes, 1)}


def proposals_sentence(measured: dict[str, Any]) -> str:
    """Say what `measure_proposals` found.

    >>> proposals_sentence({"recall": {"0.5": 0.91, "0.7": 0.5}, "objects": 40,
    ...                     "boxes_per_image": 300.0})
    'selective search: 300 boxes a picture cover 91.0 % of 40 validation objects (IoU 0.5)'
    """
    recall = measured["recall"]["0.5"]
    if recall is None:
        return "selective search: the validation pictures have no objects to cover"
    return (
        f"selective search: {measured['boxes_per_image']:.0f} boxes a picture cover "
        f"{100 * recall:.1f} % of {measured['objects']} validation objects (IoU 0.5)"
    )
