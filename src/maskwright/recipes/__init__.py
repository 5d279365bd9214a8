"""Wiring: from data to a recipe, from a recipe to a scored model."""

from __future__ import annotations

from maskwright.recipes.augmenting import override_recipe, view_augmented
from maskwright.recipes.calibrating import Calibrated, calibrate_model, save_reliability_plot
from maskwright.recipes.check_page import write_check_page
from maskwright.recipes.choose import DataFacts, choose_recipe, data_facts, part_names
from maskwright.recipes.comparison import ComparedModel, Comparison, compare
from maskwright.recipes.error_folder import ErrorFolder, write_error_analysis
from maskwright.recipes.exporting import Exported, export_model
from maskwright.recipes.paired_scoring import compare_paired
from maskwright.recipes.parity import Parity
from maskwright.recipes.recipe import PRESETS, Preset, Recipe, TaskName
from maskwright.recipes.run import TrainedRun
from maskwright.recipes.scoring import predict_dataset, score_class_maps, score_model
from maskwright.recipes.training_runs import resume, train

__all__ = [
    "PRESETS",
    "Calibrated",
    "ComparedModel",
    "Comparison",
    "DataFacts",
    "ErrorFolder",
    "Exported",
    "Parity",
    "Preset",
    "Recipe",
    "TaskName",
    "TrainedRun",
    "calibrate_model",
    "choose_recipe",
    "compare",
    "compare_paired",
    "data_facts",
    "export_model",
    "override_recipe",
    "part_names",
    "predict_dataset",
    "resume",
    "save_reliability_plot",
    "score_class_maps",
    "score_model",
    "train",
    "view_augmented",
    "write_check_page",
    "write_error_analysis",
]
