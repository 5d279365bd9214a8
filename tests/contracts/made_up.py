"""Made-up features and truth for the contracts, small enough for a processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from maskwright.masks import Masks
from maskwright.structures import Batch, Features, Instances, Size


def random_features(
    channels: Mapping[int, int], batch_size: int, padded: Size, seed: int = 0
) -> Features:
    """Noise of each level's shape."""
    generator = torch.Generator().manual_seed(seed)
    return {
        stride: torch.randn(
            (batch_size, width, -(-padded[0] // stride), -(-padded[1] // stride)),
            generator=generator,
        )
        for stride, width in channels.items()
    }


def ellipses(image_size: Size, boxes: Sequence[Sequence[int]], labels: Sequence[int]) -> Instances:
    """Objects that fill their boxes as ellipses; no boxes give no objects."""
    height, width = image_size
    y, x = np.mgrid[:height, :width] + 0.5
    dense = np.zeros((len(boxes), height, width), bool)
    for mask, (x1, y1, x2, y2) in zip(dense, boxes, strict=True):
        mask[:] = ((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 < 1
    masks = Masks.from_dense(dense) if len(boxes) else Masks.empty(image_size)
    return Instances(
        image_size=image_size,
        boxes=torch.from_numpy(np.array(masks.boxes, dtype=np.float32)).reshape(-1, 4),
        labels=torch.tensor(list(labels), dtype=torch.int64),
        masks=masks,
    )


def batch_of(targets: Sequence[Instances], padded: Size, seed: int = 0) -> Batch:
    """Noise pictures with this truth."""
    generator = torch.Generator().manual_seed(seed)
    sizes = tuple(target.image_size for target in targets)
    return Batch(
        images=torch.rand((len(targets), 3, *padded), generator=generator) * 255,
        image_sizes=sizes,
        original_sizes=sizes,
        targets=tuple(targets),
        names=tuple(f"{index}.png" for index in range(len(targets))),
    )


def drawn_batch_of(targets: Sequence[Instances], padded: Size, seed: int = 0) -> Batch:
    """Pictures on which each object has the colour of its class, a little noise over all."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.tensor([(220.0, 60.0, 40.0), (60.0, 200.0, 60.0), (40.0, 80.0, 230.0)])
    batch = batch_of(targets, padded)
    for image, target in zip(batch.images, targets, strict=True):
        assert target.masks is not None
        image[:] = 110.0
        for label, mask in zip(target.labels.tolist(), target.masks.to_dense(), strict=True):
            height, width = mask.shape
            image[:, :height, :width][:, torch.from_numpy(mask)] = colours[label][:, None]
        image.add_(8 * torch.rand(image.shape, generator=generator))
    return batch


def one_of(batch: Batch, index: int) -> Batch:
    """The batch with one of its pictures, in the same padding."""
    assert batch.targets is not None
    return Batch(
        images=batch.images[index : index + 1],
        image_sizes=batch.image_sizes[index : index + 1],
        original_sizes=batch.original_sizes[index : index + 1],
        targets=batch.targets[index : index + 1],
        names=batch.names[index : index + 1],
    )


def features_of(features: Features, index: int) -> Features:
    """The features of one picture of the batch."""
    return {stride: feature[index : index + 1] for stride, feature in features.items()}
