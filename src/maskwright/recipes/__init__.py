"""Wiring: from data to a recipe, from a recipe to a scored model."""

from __future__ import annotations

from maskwright.recipes.augmenting import override_recipe, view_augmented
from maskwright.recipes.benchmark import Bench, bench
from maskwright.recipes.calibrating import Calibrated, calibrate_model, save_reliability_plot
from maskwright.recipes.card import ModelCard, model_card, push_model, save_for_hub
from maskwright.recipes.check_page import write_check_page
from maskwright.recipes.choose import DataFacts, choose_recipe, data_facts, part_names
from maskwright.recipes.comparison import ComparedModel, Comparison, compare
from maskwright.recipes.compression import Compression, compress, resume_compression
from maskwright.recipes.cross_validation import (
    cross_validate,
    is_cross_validation,
    resume_cross_validation,
)
from maskwright.recipes.error_folder import ErrorFolder, write_error_analysis
from maskwright.recipes.explaining import Explanation, explain
from maskwright.recipes.explanation_folder import write_explanation
from maskwright.recipes.exporting import Exported, export_model
from maskwright.recipes.fold_scores import CrossValidation
from maskwright.recipes.overfitting import check_training
from maskwright.recipes.paired_scoring import compare_paired
from maskwright.recipes.parity import Parity
from maskwright.recipes.recipe import PRESETS, Preset, Recipe, TaskName
from maskwright.recipes.report import EvaluationReport, report_model, report_predictions
from maskwright.recipes.robustness import (
    RobustnessOptions,
    fingerprint_of_model,
    measure_robustness,
)
from maskwright.recipes.robustness_plots import write_robustness_files
from maskwright.recipes.robustness_result import Robustness
from maskwright.recipes.run import TrainedRun
from maskwright.recipes.run_request import RunRequest
from maskwright.recipes.scoring import predict_dataset, score_class_maps, score_model
from maskwright.recipes.training_check import TrainingCheck
from maskwright.recipes.training_runs import resume, train, train_request
from maskwright.recipes.tuning import Study, tune

__all__ = [
    "PRESETS",
    "Bench",
    "Calibrated",
    "ComparedModel",
    "Comparison",
    "Compression",
    "CrossValidation",
    "DataFacts",
    "ErrorFolder",
    "EvaluationReport",
    "Explanation",
    "Exported",
    "ModelCard",
    "Parity",
    "Preset",
    "Recipe",
    "Robustness",
    "RobustnessOptions",
    "RunRequest",
    "Study",
    "TaskName",
    "TrainedRun",
    "TrainingCheck",
    "bench",
    "calibrate_model",
    "check_training",
    "choose_recipe",
    "compare",
    "compare_paired",
    "compress",
    "cross_validate",
    "data_facts",
    "explain",
    "export_model",
    "fingerprint_of_model",
    "is_cross_validation",
    "measure_robustness",
    "model_card",
    "override_recipe",
    "part_names",
    "predict_dataset",
    "push_model",
    "report_model",
    "report_predictions",
    "resume",
    "resume_compression",
    "resume_cross_validation",
    "save_for_hub",
    "save_reliability_plot",
    "score_class_maps",
    "score_model",
    "train",
    "train_request",
    "tune",
    "view_augmented",
    "write_check_page",
    "write_error_analysis",
    "write_explanation",
    "write_robustness_files",
]
