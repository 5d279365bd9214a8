"""Pictures in, `Instances`, class maps and result files out."""

from __future__ import annotations

from maskwright.inference.class_map_run import (
    CLASS_MAP_OUTPUTS,
    ClassMapRun,
    class_maps_to_folder,
)
from maskwright.inference.ensemble import Ensemble, load_ensemble
from maskwright.inference.folder_run import OUTPUTS, PredictionRun, predict_to_folder
from maskwright.inference.fusing import fuse_views
from maskwright.inference.joining import join_tiles
from maskwright.inference.loading import load
from maskwright.inference.measure import measure
from maskwright.inference.model_choice import ModelChoice
from maskwright.inference.parts import PartOptions
from maskwright.inference.postprocess import PostProcessing
from maskwright.inference.predictor import Predictor
from maskwright.inference.ray_run import predict_on_ray
from maskwright.inference.runtime import Runtime, SemanticRuntime
from maskwright.inference.runtimes import RUNTIMES, RuntimeKind
from maskwright.inference.sources import find_sources
from maskwright.inference.tiling import TilePlan, plan_tiles
from maskwright.inference.views import ScalingRuntime, View, parse_views

__all__ = [
    "CLASS_MAP_OUTPUTS",
    "OUTPUTS",
    "RUNTIMES",
    "ClassMapRun",
    "Ensemble",
    "ModelChoice",
    "PartOptions",
    "PostProcessing",
    "PredictionRun",
    "Predictor",
    "Runtime",
    "RuntimeKind",
    "ScalingRuntime",
    "SemanticRuntime",
    "TilePlan",
    "View",
    "class_maps_to_folder",
    "find_sources",
    "fuse_views",
    "join_tiles",
    "load",
    "load_ensemble",
    "measure",
    "parse_views",
    "plan_tiles",
    "predict_on_ray",
    "predict_to_folder",
]
