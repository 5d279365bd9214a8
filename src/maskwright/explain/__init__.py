"""Why a model finds what it finds: saliency of single objects, and objects that look alike."""

from __future__ import annotations

from maskwright.explain.attribution import Attribution, Method, Shares, heat_of, shares_of
from maskwright.explain.detection_score import DetectionScore, Target
from maskwright.explain.faithfulness import Faithfulness, measure_faithfulness
from maskwright.explain.fills import Fill, filling_of
from maskwright.explain.gradients import gradient_attribution, integrated_gradients
from maskwright.explain.object_features import object_features
from maskwright.explain.object_index import (
    ObjectIndex,
    build_object_index,
    data_fingerprint,
    model_fingerprint,
)
from maskwright.explain.object_target import ObjectTarget
from maskwright.explain.occlusion import divide_picture, occlusion_attribution
from maskwright.explain.saliency import (
    ObjectSaliency,
    SaliencyOptions,
    WantedMethod,
    explain_object,
    method_for,
)
from maskwright.explain.windows import window_around

__all__ = [
    "Attribution",
    "DetectionScore",
    "Faithfulness",
    "Fill",
    "Method",
    "ObjectIndex",
    "ObjectSaliency",
    "ObjectTarget",
    "SaliencyOptions",
    "Shares",
    "Target",
    "WantedMethod",
    "build_object_index",
    "data_fingerprint",
    "divide_picture",
    "explain_object",
    "filling_of",
    "gradient_attribution",
    "heat_of",
    "integrated_gradients",
    "measure_faithfulness",
    "method_for",
    "model_fingerprint",
    "object_features",
    "occlusion_attribution",
    "shares_of",
    "window_around",
]
