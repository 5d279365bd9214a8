"""Error analysis: which mistakes there are, what they cost, and where to look.

`analyse_errors` reads once (`pairs.py`) and hands the same objects to every part: kinds of mistakes
and their cost (`tide.py`), confusions (`confusion.py`), curves (`curves.py`), sizes and crowding
(`breakdown.py`), lists (`mistakes.py`) and doubts about the annotation (`label_errors.py`).
`calibration.py` says whether scores are probabilities, `calibration_fit.py` makes them so. Nothing
here prints; `tables.py` and `plots.py` show the results, `exporting.py` writes lists.
"""

from __future__ import annotations

from maskwright.evaluation.analysis.breakdown import Breakdown, BreakdownBin
from maskwright.evaluation.analysis.calibration import (
    CalibrationReport,
    Reliability,
    ReliabilityBin,
    calibration_report,
    reliability,
)
from maskwright.evaluation.analysis.calibration_fit import calibrated_scores, fit_calibration
from maskwright.evaluation.analysis.confusion import ConfusionMatrix, confusion_matrix
from maskwright.evaluation.analysis.curves import Curve, CurvePoint, Curves, score_curves
from maskwright.evaluation.analysis.label_errors import label_suspects
from maskwright.evaluation.analysis.listed import ListedObject, listed_dataframe
from maskwright.evaluation.analysis.mistakes import (
    PictureScore,
    confident_mistakes,
    missed_objects,
    picture_scores,
    pictures_dataframe,
)
from maskwright.evaluation.analysis.pairs import FoundAndTrue, read_found_and_true
from maskwright.evaluation.analysis.report import ErrorAnalysis, analyse_errors, analyse_objects
from maskwright.evaluation.analysis.tide import (
    ERROR_KINDS,
    ErrorKind,
    TideErrors,
    TideNumbers,
    tide_errors,
)

__all__ = [
    "ERROR_KINDS",
    "Breakdown",
    "BreakdownBin",
    "CalibrationReport",
    "ConfusionMatrix",
    "Curve",
    "CurvePoint",
    "Curves",
    "ErrorAnalysis",
    "ErrorKind",
    "FoundAndTrue",
    "ListedObject",
    "PictureScore",
    "Reliability",
    "ReliabilityBin",
    "TideErrors",
    "TideNumbers",
    "analyse_errors",
    "analyse_objects",
    "calibrated_scores",
    "calibration_report",
    "confident_mistakes",
    "confusion_matrix",
    "fit_calibration",
    "label_suspects",
    "listed_dataframe",
    "missed_objects",
    "picture_scores",
    "pictures_dataframe",
    "read_found_and_true",
    "reliability",
    "score_curves",
    "tide_errors",
]
