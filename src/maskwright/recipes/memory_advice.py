"""What to do when a step ran out of memory: tried on the batch that did not fit."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from maskwright.masks import Masks
from maskwright.model import Model
from maskwright.recipes.recipe import Recipe
from maskwright.structures import Batch, Instances, Size
from maskwright.training import is_out_of_memory, total_loss
from maskwright.training.fit import StepOutOfMemoryError

__all__ = ["memory_advice"]

_SCALES = (0.75, 0.5, 0.35, 0.25)


def memory_advice(error: StepOutOfMemoryError, model: Model, recipe: Recipe) -> str:
    """Return the message of the error with the batch size and the resolution that do fit.

    Both are found by trying: forward and backward passes on the pictures of the batch, fewer of
    them and smaller ones. The gradients of the model are thrown away.

    Args:
        error: What `fit` raised.
        model: The bare model, not its DDP wrapper.
        recipe: What the run does.
    """
    batch, message = error.batch, str(error)
    # The traceback and what it came from hold the activations of the step.
    error.__traceback__ = error.__context__ = None
    at_once = min(recipe.pictures_at_once or len(batch), len(batch))
    ways = [*_fewer(model, batch, at_once), *_smaller(model, batch, at_once, recipe)]
    ways = ways or [
        "not even one picture at a quarter of its size fits: take a smaller network "
        "(--preset tiny) or more memory"
    ]
    ways.append("--auto-batch measures before a run what fits")
    return message + ":\n  " + "\n  ".join(ways)


def _fewer(model: Model, batch: Batch, at_once: int) -> Iterator[str]:
    count = at_once // 2
    while count >= 1:
        if _fits(model, _first(batch, count)):
            yield (
                f"{count} at a time fit: --set pictures-at-once={count} (the gradients stay the "
                f"same), or --set batch-size={count}"
            )
            return
        count //= 2


def _smaller(model: Model, batch: Batch, at_once: int, recipe: Recipe) -> Iterator[str]:
    multiple, side = recipe.model.size_multiple, recipe.model.short_side
    if recipe.model.fixed_size is not None:
        return
    for scale in _SCALES:
        smaller = multiple * max(2, int(scale * side / multiple))
        if smaller < side and _fits(model, _scaled(_first(batch, at_once), smaller / side)):
            yield f"all {at_once} fit at a smaller size: --model.short-side {smaller}"
            return


def _fits(model: Model, batch: Batch) -> bool:
    """Whether forward and backward of the batch go through; leaves no gradients."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    model.train()
    try:
        total_loss(model(batch)).backward()  # type: ignore[no-untyped-call]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        model.zero_grad(set_to_none=True)
    return True


def _first(batch: Batch, count: int) -> Batch:
    return replace(
        batch,
        images=batch.images[:count],
        image_sizes=batch.image_sizes[:count],
        original_sizes=batch.original_sizes[:count],
        targets=None if batch.targets is None else batch.targets[:count],
        names=batch.names[:count],
    )


def _scaled(batch: Batch, scale: float) -> Batch:
    """Return the batch at a smaller size, padded to a multiple of 32 as it was."""
    height, width = (max(32, 32 * -(-round(s * scale) // 32)) for s in batch.images.shape[-2:])
    images = F.interpolate(batch.images.float(), size=(height, width), mode="bilinear")
    ratios = (height / batch.images.shape[-2], width / batch.images.shape[-1])
    sizes = tuple(
        (max(1, round(h * ratios[0])), max(1, round(w * ratios[1]))) for h, w in batch.image_sizes
    )
    targets = None
    if batch.targets is not None:
        pairs = zip(batch.targets, sizes, strict=True)
        targets = tuple(_scaled_targets(target, size, ratios) for target, size in pairs)
    return replace(batch, images=images, image_sizes=sizes, targets=targets)


def _scaled_targets(target: Instances, size: Size, ratios: tuple[float, float]) -> Instances:
    assert target.masks is not None
    matrix = np.array([[ratios[1], 0.0, 0.0], [0.0, ratios[0], 0.0]])
    masks: Masks = target.masks.warp_affine(matrix, size)
    scaled = replace(
        target, image_size=size, boxes=torch.from_numpy(masks.boxes.copy()), masks=masks
    )
    return scaled[np.flatnonzero(masks.area > 0)]
