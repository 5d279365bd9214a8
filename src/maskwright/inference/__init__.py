"""Pictures in, `Instances` and result files out."""

from __future__ import annotations

from maskwright.inference.folder_run import OUTPUTS, PredictionRun, predict_to_folder
from maskwright.inference.joining import join_tiles
from maskwright.inference.loading import load
from maskwright.inference.measure import measure
from maskwright.inference.postprocess import PostProcessing
from maskwright.inference.predictor import Predictor, Runtime
from maskwright.inference.sources import find_sources
from maskwright.inference.tiling import TilePlan, plan_tiles

__all__ = [
    "OUTPUTS",
    "PostProcessing",
    "PredictionRun",
    "Predictor",
    "Runtime",
    "TilePlan",
    "find_sources",
    "join_tiles",
    "load",
    "measure",
    "plan_tiles",
    "predict_to_folder",
]
