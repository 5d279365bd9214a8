"""Pictures in, `Instances`, class maps and result files out."""

from __future__ import annotations

from maskwright.inference.folder_run import OUTPUTS, PredictionRun, predict_to_folder
from maskwright.inference.loading import load
from maskwright.inference.measure import measure
from maskwright.inference.postprocess import PostProcessing
from maskwright.inference.predictor import Predictor, Runtime, SemanticRuntime
from maskwright.inference.sources import find_sources

__all__ = [
    "OUTPUTS",
    "PostProcessing",
    "PredictionRun",
    "Predictor",
    "Runtime",
    "SemanticRuntime",
    "find_sources",
    "load",
    "measure",
    "predict_to_folder",
]
