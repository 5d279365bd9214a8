"""Pictures in, `Instances`, class maps and result files out."""

from __future__ import annotations

from maskwright.inference.class_map_run import (
    CLASS_MAP_OUTPUTS,
    ClassMapRun,
    class_maps_to_folder,
)
from maskwright.inference.folder_run import OUTPUTS, PredictionRun, predict_to_folder
from maskwright.inference.joining import join_tiles
from maskwright.inference.loading import load
from maskwright.inference.measure import measure
from maskwright.inference.postprocess import PostProcessing
from maskwright.inference.predictor import Predictor, Runtime, SemanticRuntime
from maskwright.inference.runtimes import RUNTIMES, RuntimeKind
from maskwright.inference.sources import find_sources
from maskwright.inference.tiling import TilePlan, plan_tiles

__all__ = [
    "CLASS_MAP_OUTPUTS",
    "OUTPUTS",
    "RUNTIMES",
    "ClassMapRun",
    "PostProcessing",
    "PredictionRun",
    "Predictor",
    "Runtime",
    "RuntimeKind",
    "SemanticRuntime",
    "TilePlan",
    "class_maps_to_folder",
    "find_sources",
    "join_tiles",
    "load",
    "measure",
    "plan_tiles",
    "predict_to_folder",
]
