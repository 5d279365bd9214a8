"""What a person is told before a training begins."""

from __future__ import annotations

from maskwright.data import Dataset
from maskwright.model import ModelConfig, SemanticSegmenter
from maskwright.recipes.auto_batch import AutoBatch
from maskwright.recipes.data_notes import data_notes
from maskwright.recipes.recipe import Recipe
from maskwright.recipes.run import Parts

__all__ = ["announce"]


def announce(parts: Parts, recipe: Recipe, measured: AutoBatch | None = None) -> None:
    """Print, to standard error, what the imports did, the parts of the data and the recipe.

    Args:
        parts: The pictures.
        recipe: What will be done.
        measured: How the number of pictures at a time was found, if it was.
    """
    from rich.console import Console

    console = Console(stderr=True)
    console.print(parts.train.report)
    # Parts of one split share the report of the whole import.
    if parts.validation.report is not parts.train.report:
        console.print(parts.validation.report)
    named = {"training": parts.train, "validation": parts.validation, "test": parts.test}
    counts = [f"{name} {_count(part)}" for name, part in named.items() if part is not None]
    console.print("; ".join(counts), highlight=False)
    for note in data_notes(parts):
        console.print(f"Note: {note}", highlight=False)
    if measured is not None:
        console.print(measured.to_table())
    console.print(describe(recipe), highlight=False)


def describe(recipe: Recipe) -> str:
    """Return one sentence on the network, its input and the length of the run."""
    model = recipe.model
    backbone = getattr(model.backbone, "model", None) or model.backbone.kind
    depth = getattr(model.backbone, "depth", "")
    length = [f"{recipe.num_steps} steps"] if recipe.num_steps else []
    length += [f"{recipe.minutes:g} minutes"] if recipe.minutes else []
    size = f"short side {model.short_side} pixels"
    if model.fixed_size is not None:
        size = "{} x {} pixels".format(*model.fixed_size)
    frozen = _frozen(recipe)
    pixels = "" if model.pixels is None else f"; {model.pixels.describe()}"
    return (
        f"{_parts(model)} on "
        f"{backbone}{depth} ({_start(recipe)}), {size}, "
        f"{recipe.batch_size} pictures a step, {' or '.join(length)}{frozen}{pixels}"
    )


def _start(recipe: Recipe) -> str:
    """Say what a run starts from and who teaches it."""
    known = f"weights: {recipe.weights}" if recipe.start is None else f"from {recipe.start}"
    if recipe.distillation is not None:
        known += f", taught by {recipe.distillation.teacher}"
    return known + (", rounding to int8" if recipe.fake_int8 else "")


def _frozen(recipe: Recipe) -> str:
    freezing = recipe.freezing
    if not freezing.freezes:
        return ""
    what = "backbone" if freezing.stages is None else f"first {freezing.stages} stages"
    times = [f"{freezing.steps} steps"] if freezing.steps else []
    times += [f"{freezing.share:.0%} of the run"] if freezing.share else []
    thawing = ", thawing stage by stage" if freezing.gradual else ""
    return f"; {what} frozen for {' and at least '.join(times)}{thawing}"


def _parts(model: ModelConfig) -> str:
    if isinstance(model, SemanticSegmenter.Config):
        return f"{model.head.kind} (semantic)"
    head = "no masks" if model.mask_head is None else model.mask_head.kind
    return f"{model.detector.kind} + {head}".replace("_", "-")


def _count(part: Dataset) -> str:
    return f"{len(part)} pictures, {len(part.labels)} objects"
