"""Scores: COCO's numbers for boxes, masks and boundaries, of our models and anybody's files.

`evaluate` reads truth (`truth.py`) and predictions (`predictions.py`) into columns
(`objects.py`), has a library count (`counting.py`, the only file that knows which), and sums up
(`metrics.py`). `evaluate_families` gives the other families of metrics beside COCO's, each with
intervals (`families.py`, `resampling.py`); `compare_predictions` says whether one set of
predictions is better than another (`paired.py`). `evaluate_semantic` (`semantic.py`) scores class
maps, pixel by pixel.
"""

from __future__ import annotations

from maskwright.evaluation.bootstrap import BootstrapInterval, bootstrap_interval
from maskwright.evaluation.cell_sums import CellCounts
from maskwright.evaluation.cells import CellMetrics, evaluate_cells
from maskwright.evaluation.counting import Kind
from maskwright.evaluation.families import (
    Family,
    FamilyResult,
    ScoringOptions,
    evaluate_families,
)
from maskwright.evaluation.family import FamilyMetrics
from maskwright.evaluation.metrics import ClassMetrics, Metrics, SizeMetrics
from maskwright.evaluation.paired import PairedComparison, PairedNumber, compare_predictions
from maskwright.evaluation.prediction_sources import (
    PredictionFormat,
    PredictionSource,
    coco_results,
)
from maskwright.evaluation.resampling import Resampling
from maskwright.evaluation.scoring import evaluate
from maskwright.evaluation.semantic import SemanticMetrics, evaluate_semantic
from maskwright.evaluation.truth import TruthSource

__all__ = [
    "BootstrapInterval",
    "CellCounts",
    "CellMetrics",
    "ClassMetrics",
    "Family",
    "FamilyMetrics",
    "FamilyResult",
    "Kind",
    "Metrics",
    "PairedComparison",
    "PairedNumber",
    "PredictionFormat",
    "PredictionSource",
    "Resampling",
    "ScoringOptions",
    "SemanticMetrics",
    "SizeMetrics",
    "TruthSource",
    "bootstrap_interval",
    "coco_results",
    "compare_predictions",
    "evaluate",
    "evaluate_cells",
    "evaluate_families",
    "evaluate_semantic",
]
