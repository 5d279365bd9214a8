"""Whether an end-to-end graph finds what its model does, on pictures of noise."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.errors import MaskwrightError
from maskwright.inference.export.agreement import picture_agreement
from maskwright.inference.export.end_to_end.assembling import assemble
from maskwright.inference.export.end_to_end.runtime import EndToEndSegmenter
from maskwright.inference.export.folder import read_header
from maskwright.inference.export.sessions import open_session
from maskwright.model import InstanceSegmenter

__all__ = ["require_agreement"]

_LEAST = 0.9
"""Mean IoU of objects with their counterparts. On noise a model is sure of nothing, so which of
two boxes survives is sometimes rounding; a wrong operation leaves next to nothing alike."""

_SIZES = ((120, 160), (200, 90), (64, 64))


def require_agreement(network: InstanceSegmenter, parts: Path, out: Path) -> None:
    """Raise unless the graph finds what the model does, in a batch of pictures of many sizes.

    Trained models find nothing in noise, so both are made to report what they are least sure of.

    Args:
        network: The model, which stays as it is.
        parts: A folder of its graphs in ONNX.
        out: The folder that is not kept, for the message.

    Raises:
        MaskwrightError: They differ.
    """
    plain = copy.deepcopy(network)
    detector: Any = plain.detector
    detector.config = replace(detector.config, score_threshold=0.0)
    whole = _unsure(parts)
    pictures = _noise()
    agreements = [
        picture_agreement(found, expected)
        for found, expected in zip(
            whole.predict(whole.collate(pictures)),
            plain.predict(plain.collate(pictures)),
            strict=True,
        )
    ]
    if min(agreements) < _LEAST:
        listed = ", ".join(f"{each:.3f}" for each in agreements)
        raise MaskwrightError(
            f"the end-to-end graph does not find what the model does (agreement on noise {listed}, "
            f"of 1), so {out} was not kept: a model that is not trained gives all boxes one score, "
            "of which rounding picks some; with any other, export without --end-to-end"
        )


def _unsure(parts: Path) -> EndToEndSegmenter:
    """Return the graph as it would be if every score were above the threshold."""
    import onnx

    header = read_header(parts)
    assert isinstance(header.model, InstanceSegmenter.Config)
    model = replace(header.model, detector=replace(header.model.detector, score_threshold=0.0))
    header = replace(header, model=model, calibration=None)
    whole = assemble(parts, header, full_masks=False)
    path = parts / "unsure.onnx"
    onnx.save(whole, path)
    outputs = tuple(each.name for each in whole.graph.output)
    return EndToEndSegmenter(header, open_session("onnx", path, torch.device("cpu"), outputs))


def _noise() -> list[np.ndarray]:
    """Return pictures of blobs of colour."""
    rng = np.random.default_rng(0)
    pictures = []
    for height, width in _SIZES:
        coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
        blobs = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
        noise = rng.normal(0, 12, blobs.shape)
        pictures.append(np.clip(blobs + noise, 0, 255).astype(np.uint8))
    return pictures
