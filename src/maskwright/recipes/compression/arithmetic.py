"""The multiply-adds of a model, layer by layer, and one pass that goes through all its layers.

What a model computes depends on what it finds: parts of two-stage detectors and mask heads run once
per box. Two models are therefore compared at fixed numbers of boxes, so that one does not seem
cheaper because it finds less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.data import Dataset
from maskwright.detectors import RCNN, FasterRCNN, FastRCNN
from maskwright.mask_heads import MaskRCNNHead, Prototypes
from maskwright.model import InstanceSegmenter, Model, SemanticSegmenter
from maskwright.model.narrowing import layer_counts
from maskwright.model.picture_batches import evaluating
from maskwright.recipes.operations import OperationCounter
from maskwright.structures import Features, Size
from maskwright.transforms import resized_size

__all__ = [
    "EveryLayer",
    "LayerCost",
    "Workload",
    "layer_costs",
    "measure_multiply_adds",
    "total_multiply_adds",
    "workload_of",
]

_Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a model is given while its multiply-adds are counted.

    Args:
        size: (height, width) of the padded picture in the network.
        proposals: Boxes that a second stage classifies.
        objects: Boxes that are given masks.
    """

    size: Size
    proposals: int
    objects: int


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """What decides the multiply-adds of a layer.

    Args:
        places: How often its kernel is applied: cells of its map (of a transposed convolution's
            input), times the boxes it runs for.
        kernel: Weights per pair of an input and an output of a group.
        inputs: Channels read.
        outputs: Channels given.
        groups: Of channels convolved apart.
    """

    places: int
    kernel: int
    inputs: int
    outputs: int
    groups: int

    @property
    def multiply_adds(self) -> int:
        """Products summed up."""
        return self.places * self.kernel * self.inputs * self.outputs // self.groups


def workload_of(model: Model, data: Dataset) -> Workload:
    """Return what the middle one of these pictures is to the model."""
    config, multiple = model.config, model.config.size_multiple
    heights, widths = data.sizes.T.tolist()
    middle = (sorted(heights)[len(data) // 2], sorted(widths)[len(data) // 2])
    size = resized_size(
        middle,
        short_side=config.short_side,
        long_side=config.long_side,
        fixed_size=config.fixed_size,
    )
    height, width = (multiple * -(-side // multiple) for side in size)
    objects = max(1, round(len(data.labels) / len(data)))
    return Workload(size=(height, width), proposals=_proposals(model), objects=objects)


def measure_multiply_adds(model: Model, work: Workload) -> int:
    """Return the multiply-adds of convolutions and linear layers for one picture."""
    return total_multiply_adds(layer_costs(model, work))


def total_multiply_adds(costs: Mapping[str, LayerCost]) -> int:
    """Return the sum over layers."""
    return sum(each.multiply_adds for each in costs.values())


def layer_costs(model: Model, work: Workload) -> dict[str, LayerCost]:
    """Return what each convolution and linear layer of a model costs, by its name."""
    costs: dict[str, LayerCost] = {}
    names: dict[nn.Module, str] = {
        layer: name for name, layer in model.named_modules() if isinstance(layer, _Layer)
    }
    times = _times(model, work)
    counter = OperationCounter()
    begun = 0

    def begin(_layer: nn.Module, _given: object) -> None:
        nonlocal begun
        begun = counter.multiply_adds

    def record(layer: nn.Module, _given: object, _found: object) -> None:
        name = names[layer]
        cost = _cost(layer, times(name) * (counter.multiply_adds - begun))
        if name in costs:  # shared by levels
            cost = replace(cost, places=costs[name].places + cost.places)
        costs[name] = cost

    hooks = [layer.register_forward_pre_hook(begin) for layer in names]
    hooks += [layer.register_forward_hook(record) for layer in names]
    try:
        with evaluating(model), torch.no_grad(), counter:
            EveryLayer(model)(_picture(model, work.size))
    finally:
        for hook in hooks:
            hook.remove()
    return costs


class EveryLayer(nn.Module):
    """Runs every layer of a model once, in a way that gradients and channels can be followed.

    In place of boxes it pools from the whole map of each level, by averaging, which keeps channels
    where RoI pooling has them.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps, and what the parts say, of pictures (b, c, H, W) of raw pixels."""
        model = self.model
        features = model.backbone((images - model.pixel_mean) / model.pixel_std)
        if model.neck is not None:
            features = model.neck(features)
        # the maps too, for nothing may read some of them
        found = list(features.values())
        found += model.dense(features, (images.shape[-2], images.shape[-1])).values()
        if isinstance(model, SemanticSegmenter):
            return found
        if isinstance(model.detector, FasterRCNN | FastRCNN):
            head = model.detector.box_head
            found += head.classify(_pool(features, head.strides, head.config.pool_size))
        elif isinstance(model.detector, RCNN):
            network = model.detector.network
            found.append(network.describe_crops(images.new_zeros(1, 3, *[network.warp_size] * 2)))
        if isinstance(model.mask_head, MaskRCNNHead):
            mask_head = model.mask_head
            pooled = _pool(features, mask_head.strides, mask_head.config.pool_size)
            labels = torch.zeros(len(pooled), dtype=torch.int64, device=pooled.device)
            found.append(mask_head.draw(pooled, labels))
        elif isinstance(model.mask_head, Prototypes):
            mixing = model.mask_head
            found.append(
                mixing.coefficients(_pool(features, mixing.strides, mixing.config.pool_size))
            )
        return [each for each in found if each.requires_grad or not torch.is_grad_enabled()]


def _pool(features: Features, strides: Sequence[int], size: int) -> Tensor:
    """Return (b, c, size, size): the sum over levels, so that they share their channels."""
    levels = [F.adaptive_avg_pool2d(features[stride], size) for stride in strides]
    return torch.stack(levels).sum(dim=0)


def _picture(model: Model, size: Size) -> Tensor:
    return model.pixel_mean.new_zeros((1, model.pixel_mean.shape[0], *size))


def _proposals(model: Model) -> int:
    if isinstance(model, InstanceSegmenter):
        match model.detector:
            case FasterRCNN() as detector:
                return detector.config.rpn.post_nms_test
            case FastRCNN() | RCNN() as detector:
                return detector.config.search.max_proposals
    return 0


def _times(model: Model, work: Workload) -> Callable[[str], int]:
    """Return what says of a layer's name how often it runs for one picture."""
    per_object: tuple[str, ...] = ()
    if isinstance(model, InstanceSegmenter):
        if isinstance(model.mask_head, MaskRCNNHead):
            per_object = ("mask_head.",)
        elif isinstance(model.mask_head, Prototypes):
            per_object = ("mask_head.coefficients.",)

    def times(name: str) -> int:
        if name.startswith(("detector.box_head.", "detector.network.")):
            return work.proposals
        return work.objects if name.startswith(per_object) else 1

    return times


def _cost(layer: nn.Module, multiply_adds: int) -> LayerCost:
    """Return what makes up the multiply-adds that a layer took."""
    inputs, outputs, groups = layer_counts(layer)
    kernel = 1
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        kernel = layer.kernel_size[0] * layer.kernel_size[1]
    places = multiply_adds * groups // (kernel * inputs * outputs)
    return LayerCost(places=places, kernel=kernel, inputs=inputs, outputs=outputs, groups=groups)
