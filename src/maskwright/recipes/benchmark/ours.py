"""maskwright's side of a benchmark: any model in any runtime, with its stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maskwright.detectors.two_stage import TwoStage
from maskwright.inference import Predictor, load
from maskwright.inference.pictures import as_picture
from maskwright.masks import Masks
from maskwright.model import InstanceSegmenter, SemanticSegmenter
from maskwright.recipes.benchmark.child import ENCODING, READING, Stages

__all__ = ["open_ours", "watch_network"]


def open_ours(side: dict[str, Any], stages: Stages) -> Callable[[str], list[dict[str, Any]]]:
    """Return what predicts a picture file, as `Predictor.predict` does, to COCO results.

    Args:
        side: "model", "runtime", "precision", "device", "threads" and "keeps_memory".
        stages: Told what each part takes.
    """
    if side["keeps_memory"]:
        from maskwright.kept_memory import keep_memory

        keep_memory()
    if side["threads"] is not None:
        import torch

        torch.set_num_threads(side["threads"])
    predictor = load(
        side["model"],
        device=side["device"],
        runtime=side["runtime"],
        precision=side["precision"],
    )
    _watch(predictor, stages)

    def predict(path: str) -> list[dict[str, Any]]:
        with stages.of(READING):
            picture = as_picture(path, predictor.pixel_format)
        if not predictor.finds_objects:
            next(predictor.run_class_maps(iter([picture])))
            return []
        found = next(predictor.run(iter([picture])))
        with stages.of(ENCODING):
            return found.to_coco()

    return predict


def _watch(predictor: Predictor, stages: Stages) -> None:
    runtime: Any = predictor.model
    stages.watch(runtime, "collate", "resize and normalise")
    stages.watch(Masks, "paste", "masks")
    network = getattr(runtime, "network", runtime)
    if isinstance(network, InstanceSegmenter | SemanticSegmenter):
        watch_network(network, stages)
        return
    for name, session in getattr(runtime, "sessions", {}).items():
        stages.watch(session, "run", _GRAPHS.get(name, f"graph {name}"))
    if predictor.finds_objects:
        stages.watch(runtime.detector, "detect_from", "detector")
        if runtime.mask_head is not None:
            stages.watch(runtime.mask_head, "crops_from", "mask head")


_GRAPHS = {
    "dense": "backbone, neck and all that reads them whole",
    "boxes": "detector",
    "crops": "detector",
    "masks": "mask head",
    "mixing": "mask head",
}
"""Stage of each graph of an exported model."""


def watch_network(network: InstanceSegmenter | SemanticSegmenter, stages: Stages) -> None:
    """Tell `stages` of every part of a network in PyTorch."""
    # without what is inside: normalisation
    stages.watch(network, "features", "resize and normalise")
    stages.watch(network.backbone, "forward", "backbone")
    if network.neck is not None:
        stages.watch(network.neck, "forward", "neck")
    if isinstance(network, SemanticSegmenter):
        stages.watch(network.head, "class_logits", "class map")
        return
    stages.watch(network.detector, "detect", "detector")
    if isinstance(network.detector, TwoStage):
        stages.watch(network.detector, "propose", "proposals")
    if network.mask_head is not None:
        stages.watch(network.mask_head, "crops", "mask head")
