"""Scores: COCO's numbers for boxes, masks and boundaries, of our models and anybody's files.

`evaluate` reads truth (`truth.py`) and predictions (`predictions.py`) into columns
(`objects.py`), has a library count (`counting.py`, the only file that knows which), and sums up
(`metrics.py`). `evaluate_semantic` (`semantic.py`) scores class maps, pixel by pixel.
"""

from __future__ import annotations

from maskwright.evaluation.bootstrap import BootstrapInterval, bootstrap_interval
from maskwright.evaluation.cell_sums import CellCounts
from maskwright.evaluation.cells import CellMetrics, evaluate_cells
from maskwright.evaluation.counting import Kind
from maskwright.evaluation.metrics import ClassMetrics, Metrics
from maskwright.evaluation.predictions import PredictionSource, coco_results
from maskwright.evaluation.scoring import evaluate
from maskwright.evaluation.semantic import SemanticMetrics, evaluate_semantic
from maskwright.evaluation.truth import TruthSource

__all__ = [
    "BootstrapInterval",
    "CellCounts",
    "CellMetrics",
    "ClassMetrics",
    "Kind",
    "Metrics",
    "PredictionSource",
    "SemanticMetrics",
    "TruthSource",
    "bootstrap_interval",
    "coco_results",
    "evaluate",
    "evaluate_cells",
    "evaluate_semantic",
]
