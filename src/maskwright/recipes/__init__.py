"""Wiring: from data to a recipe, from a recipe to a scored model."""

from __future__ import annotations

from maskwright.recipes.check_page import write_check_page
from maskwright.recipes.choose import DataFacts, choose_recipe, data_facts, part_names
from maskwright.recipes.comparison import ComparedModel, Comparison, compare
from maskwright.recipes.recipe import PRESETS, Preset, Recipe, TaskName
from maskwright.recipes.run import TrainedRun
from maskwright.recipes.scoring import predict_dataset, score_class_maps, score_model
from maskwright.recipes.training_runs import resume, train

__all__ = [
    "PRESETS",
    "ComparedModel",
    "Comparison",
    "DataFacts",
    "Preset",
    "Recipe",
    "TaskName",
    "TrainedRun",
    "choose_recipe",
    "compare",
    "data_facts",
    "part_names",
    "predict_dataset",
    "resume",
    "score_class_maps",
    "score_model",
    "train",
    "write_check_page",
]
