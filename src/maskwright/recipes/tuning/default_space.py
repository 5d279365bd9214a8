"""What a study varies when nobody says what, by the data and the budget."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from maskwright.model import SemanticSegmenter, config_to_dict
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.tuning.search_space import Choices, Range, SearchSpace, Value

__all__ = ["INPUT_SCALE", "NAMED", "default_space", "default_values"]

NAMED = ("preset", "model", "backbone", "weights", "augment")
"""What `train` takes by a name of its own; everything else is an option of the recipe."""

INPUT_SCALE = "input_scale"
"""Multiplies the input size that the recipe chose."""


def default_space(
    recipe: Recipe, *, fixed: Collection[str] = (), has_gpu: bool = False
) -> SearchSpace:
    """Return the options that decide most, around what the recipe chose by the data.

    Learning rate and weight decay go by ratio, since what they do does. What makes a step slower
    (preset, input, batch, detector) is only varied where the budget is in minutes: at equal steps
    the slowest would win for its slowness. Freezing and the backbone's own rate only matter where
    it starts from weights.

    Args:
        recipe: What `train` would do; the first trial does it.
        fixed: Options that the user has set; they are not varied, nor is what stands for them.
        has_gpu: Whether a GPU will train.
    """
    rate, batch = recipe.optimizer.learning_rate, recipe.batch_size
    space: SearchSpace = {
        "optimizer.learning_rate": Range(low=rate / 10, high=2.5 * rate, log=True),
        "warmup": Range(low=0.01, high=0.2),
        "optimizer.weight_decay": Range(low=1e-5, high=1e-3, log=True),
        "augment": Choices(values=("default", "strong", "robust")),
        "ema_decay": Choices(values=("none", 0.99, 0.998)),
    }
    if recipe.weights != "none":
        space["optimizer.backbone_factor"] = Range(low=0.1, high=1.0, log=True)
        space["model.backbone.freeze_stages"] = Choices(values=(0, 1, 2))
    if recipe.minutes is not None:
        if recipe.weights == "none":  # of presets with other backbones one would lose its weights
            space["preset"] = Choices(values=("fast", "best") if has_gpu else ("tiny", "fast"))
        space |= {
            "model": Choices(values=_models(recipe)),
            INPUT_SCALE: Choices(values=(0.75, 1.0, 1.25)),
            "batch_size": Choices(values=tuple(sorted({max(1, batch // 2), batch, 2 * batch}))),
        }
    return {name: wanted for name, wanted in space.items() if not _is_fixed(name, fixed)}


def default_values(recipe: Recipe, space: SearchSpace, preset: str) -> dict[str, Value]:
    """Return where the recipe itself lies in a space, as far as it lies in it.

    >>> space = {"warmup": Range(low=0.01, high=0.2), "batch_size": Choices(values=(1, 2))}
    >>> default_values(Recipe(), space, "fast")
    {'warmup': 0.05}
    """
    plain = config_to_dict(recipe)
    known: dict[str, object] = {
        "preset": preset,
        "model": _model_name(recipe),
        "augment": "default",
        INPUT_SCALE: 1.0,
    }
    found: dict[str, Value] = {}
    for name, wanted in space.items():
        value = known[name] if name in known else _option(plain, name)
        value = "none" if value is None else value
        if isinstance(value, bool | int | float | str) and wanted.holds(value):
            found[name] = value
    return found


def _models(recipe: Recipe) -> tuple[str, str]:
    if isinstance(recipe.model, SemanticSegmenter.Config):
        return "deeplab", "fcn"
    return "faster-rcnn+mask-rcnn", "yolo+prototypes"


def _model_name(recipe: Recipe) -> str:
    """The model as `train` takes it."""
    model = recipe.model
    if isinstance(model, SemanticSegmenter.Config):
        return model.head.kind.replace("_", "-")
    head = "none" if model.mask_head is None else model.mask_head.kind
    return f"{model.detector.kind}+{head}".replace("_", "-")


def _option(plain: Any, name: str) -> object:
    """The value of a dotted name in nested dictionaries; () where there is none."""
    for step in name.split("."):
        if not isinstance(plain, dict) or step not in plain:
            return ()
        plain = plain[step]
    value: object = plain
    return value


def _is_fixed(name: str, fixed: Collection[str]) -> bool:
    """Whether an option, or one that would undo or be undone by it, is among the fixed ones."""
    of_pairs = ("model.detector", "model.mask_head", "model.head")
    stands_for = {
        "augment": ("augmentation",),
        "model": of_pairs,  # parts have options of their own
        INPUT_SCALE: ("model.short_side", "model.long_side", "model.fixed_size"),
    }
    mine = stands_for.get(name, () if name in NAMED else (name,))
    return name in fixed or any(_are_nested(each, one) for each in fixed for one in mine)


def _are_nested(one: str, other: str) -> bool:
    """Whether two options of the recipe are the same, or one is a part of the other."""
    if one in NAMED or other in NAMED:
        return False
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
