"""Pictures in, `Instances`, class maps and result files out."""

from __future__ import annotations

from maskwright.inference.class_map_run import (
    CLASS_MAP_OUTPUTS,
    ClassMapRun,
    class_maps_to_folder,
)
from maskwright.inference.folder_run import OUTPUTS, PredictionRun, predict_to_folder
from maskwright.inference.loading import load
from maskwright.inference.measure import measure
from maskwright.inference.postprocess import PostProcessing
from maskwright.inference.predictor import Predictor, Runtime, SemanticRuntime
from maskwright.inference.sources import find_sources

__all__ = [
    "CLASS_MAP_OUTPUTS",
    "OUTPUTS",
    "ClassMapRun",
    "PostProcessing",
    "PredictionRun",
    "Predictor",
    "Runtime",
    "SemanticRuntime",
    "class_maps_to_folder",
    "find_sources",
    "load",
    "measure",
    "predict_to_folder",
]
