"""Pictures of a dataset, corrupted, with the truth that goes with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import UInt8

from maskwright.data import Dataset
from maskwright.draw.contact import contact_sheet
from maskwright.structures import Instances, Sample
from maskwright.transforms.corruptions import (
    OCCLUSIONS,
    REFERENCE_SIDE,
    STRENGTHS,
    corrupt,
    corruption_names,
)
from maskwright.transforms.corruptions.table import generator_for

__all__ = ["corrupted_sample", "corruption_sheet", "truth_of"]

_DONOR_TRIES = 20


def corrupted_sample(
    dataset: Dataset,
    i: int,
    corruption: str,
    strength: int,
    *,
    seed: int = 0,
    reference_side: int | None = REFERENCE_SIDE,
) -> Sample:
    """Return picture `i`, corrupted, with its truth.

    What it looks like depends on the picture's file name and the seed. Objects that are pasted
    over it come from the other pictures of the dataset, so they depend on those too.

    Raises:
        ConfigError: No such corruption or strength.
        ImageError: A picture cannot be read.
    """
    sample = dataset.sample(i)
    if corruption not in OCCLUSIONS:
        damaged = corrupt(
            sample.image,
            corruption,
            strength,
            picture=sample.name,
            seed=seed,
            reference_side=reference_side,
        )
        return replace(sample, image=damaged)

    def donor(rng: np.random.Generator) -> Sample | None:
        for _ in range(_DONOR_TRIES if len(dataset) > 1 else 0):
            j = (i + 1 + int(rng.integers(len(dataset) - 1))) % len(dataset)
            targets = dataset.targets(j)
            if len(targets) and not (targets.is_crowd is not None and bool(targets.is_crowd.all())):
                return replace(sample, image=dataset.image(j), targets=targets)
        return None

    occlusion = OCCLUSIONS[corruption]
    rng = generator_for(seed, corruption, sample.name)
    return occlusion.apply(sample, occlusion.levels[strength - 1], rng, donor)


def truth_of(dataset: Dataset, targets: Sequence[tuple[int, Instances]]) -> dict[str, Any]:
    """Return a COCO dictionary of the dataset's pictures with other true objects.

    Args:
        dataset: Its pictures and classes.
        targets: Image id and objects of each picture.
    """
    images = [
        {"id": image_id, "file_name": name, "height": height, "width": width}
        for image_id, name, (height, width) in zip(
            dataset.image_ids.tolist(), dataset.file_names, dataset.sizes.tolist(), strict=True
        )
    ]
    entries = [entry for image_id, one in targets for entry in one.to_coco(image_id)]
    categories = [
        {"id": category_id, "name": name}
        for category_id, name in zip(dataset.category_ids, dataset.class_names, strict=True)
    ]
    return {
        "images": images,
        "annotations": [entry | {"id": number} for number, entry in enumerate(entries, start=1)],
        "categories": categories,
    }


def corruption_sheet(
    dataset: Dataset,
    *,
    corruptions: Sequence[str] = (),
    seed: int = 0,
    reference_side: int | None = REFERENCE_SIDE,
    cell: tuple[int, int] = (150, 200),
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw one picture under every corruption, a row each, at the five strengths.

    The picture is the first with objects; without any, the first.

    Args:
        dataset: With its pictures.
        corruptions: Names; () takes all.
        seed: As for `corrupted_sample`.
        reference_side: As for `corrupted_sample`.
        cell: Room for one picture, (height, width) in pixels.
    """
    shown = int(dataset.object_image[0]) if len(dataset.object_image) else 0
    names = [name for name in corruption_names() if not corruptions or name in corruptions]
    rows = [
        [
            corrupted_sample(
                dataset, shown, name, strength, seed=seed, reference_side=reference_side
            ).image
            for strength in STRENGTHS
        ]
        for name in names
    ]
    headings = [f"strength {strength}" for strength in STRENGTHS]
    return contact_sheet(rows, headings=headings, captions=names, cell=cell)
