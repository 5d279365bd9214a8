"""Distillation: a model learns from its data and, beside it, from a larger trained model.

Two losses are added to the model's own, on every training picture as it is augmented:

features    At each stride that both have, the map after the neck shall look like the teacher's: one
            minus the Pearson correlation of each channel, mean over channels and strides. PKD, Cao
            et al. 2022, https://arxiv.org/abs/2207.02039, equations 5 and 6, which was made for
            teachers and students of different detectors. Where the channels differ in number a
            1 x 1 convolution, learnt and thrown away, brings the student's to the teacher's
            (FitNets, Romero et al. 2015, https://arxiv.org/abs/1412.6550, section 2.2).
detections  Where both say the same things of the same places, see `soft_detections.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskwright.errors import ConfigError
from maskwright.model import Model
from maskwright.model.picture_batches import batch_to_device
from maskwright.ops import NonNegative, Positive
from maskwright.structures import Batch, Features, Losses
from maskwright.training.soft_detections import common_parts, soft_detection_losses

__all__ = ["Distillation", "Distilled", "feature_loss"]

_EPS = 1e-12
"""Added to the variance of a channel, which may be 0: a millionth of deviation, as PKD's code."""


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """What a model learns from a teacher.

    Args:
        teacher: The teacher's model file.
        features: Weight of the loss on feature maps; 0 leaves it out. The paper's is 6 for losses
            of which one counts half of ours.
        detections: Weight of the losses on soft detections; 0 leaves them out.
        temperature: By which logits are divided before they are compared (Hinton et al. 2015).
    """

    teacher: str
    features: NonNegative = 3.0
    detections: NonNegative = 1.0
    temperature: Positive = 2.0


class Distilled(nn.Module):
    """A model whose losses include those of learning from a teacher; `fit` trains it.

    Args:
        model: Learns; its weights are the module's under "model.".
        teacher: Is asked on every batch and stays as it is. It sees the student's pictures, so at
            the student's resolution.
        config: Weights of the losses.

    Attributes:
        strides: Where features are compared.
        parts: Which soft detections are compared.

    Raises:
        ConfigError: Other classes or kinds of pictures, or nothing that both have.
    """

    def __init__(self, model: Model, teacher: Model, config: Distillation) -> None:
        super().__init__()
        _require_alike(model, teacher, config.teacher)
        self.model, self.config = model, config
        # in a tuple, so that it is no part of what is trained and saved
        self._teacher = (teacher.eval().requires_grad_(False),)
        own, other = _channels(model), _channels(teacher)
        self.strides = tuple(sorted(own.keys() & other.keys())) if config.features else ()
        self.adapters = nn.ModuleDict(
            {
                str(stride): nn.Conv2d(own[stride], other[stride], kernel_size=1)
                for stride in self.strides
                if own[stride] != other[stride]
            }
        )
        self.adapters.to(model.device)
        self.parts = common_parts(model, teacher) if config.detections else ()
        if not self.strides and not self.parts:
            raise ConfigError(
                f"the teacher {config.teacher} has maps at strides {sorted(other)}, this model at "
                f"{sorted(own)}, and they do not predict in the same places: there is nothing to "
                "learn from it; take one with a neck, or a weight above 0"
            )

    def forward(self, batch: Batch) -> Losses:
        """Return the model's losses, and `distilled_features` and those on soft detections."""
        batch = batch_to_device(batch, self.model.device)
        with _watch_features(self.model) as seen:
            losses = dict(self.model(batch))
        (features,) = seen
        (teacher,) = self._teacher
        with torch.no_grad():
            wanted = teacher.features(replace(batch, targets=None))
        if self.strides:
            losses["distilled_features"] = self.config.features * self._feature_loss(
                features, wanted
            )
        if self.parts:
            size = (batch.images.shape[-2], batch.images.shape[-1])
            with torch.no_grad():
                taught = teacher.dense(wanted, size)
            said = self.model.dense(features, size)
            soft = soft_detection_losses(
                self.parts, self.model, said, taught, self.config.temperature
            )
            losses |= {name: self.config.detections * loss for name, loss in soft.items()}
        return losses

    def _feature_loss(self, features: Features, wanted: Features) -> Tensor:
        found = []
        for stride in self.strides:
            own = features[stride]
            if str(stride) in self.adapters:
                own = self.adapters[str(stride)](own)
            found.append(feature_loss(own, wanted[stride]))
        return torch.stack(found).mean()


def feature_loss(
    own: Float[Tensor, "b c h w"], wanted: Float[Tensor, "b c h w"]
) -> Float[Tensor, ""]:
    """Return 1 - r, the mean over channels, r the correlation over all cells of the batch.

    From 0 (alike but for scale and shift) to 2 (opposite); a constant channel counts 1.

    >>> rising = torch.arange(6.0).reshape(1, 1, 2, 3)
    >>> [round(float(feature_loss(maps, rising)), 3) for maps in (2 * rising + 1, -rising)]
    [0.0, 2.0]
    """
    return 1.0 - (_standardised(own) * _standardised(wanted)).mean()


def _standardised(maps: Tensor) -> Float[Tensor, "c cells"]:
    flat = maps.float().transpose(0, 1).flatten(1)
    centred = flat - flat.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True) + _EPS).sqrt()


def _channels(model: Model) -> dict[int, int]:
    return model.backbone.channels if model.neck is None else model.neck.channels


@contextmanager
def _watch_features(model: Model) -> Iterator[list[Features]]:
    """Lend a list that holds the maps which the heads read, once the model has run."""
    seen: list[Features] = []
    last: nn.Module = model.backbone if model.neck is None else model.neck
    hook = last.register_forward_hook(lambda _layer, _given, maps: seen.append(maps))
    try:
        yield seen
    finally:
        hook.remove()


def _require_alike(model: Model, teacher: Model, name: str) -> None:
    if set(model.class_names) != set(teacher.class_names):
        missing = sorted(set(model.class_names) ^ set(teacher.class_names))
        raise ConfigError(
            f"the teacher {name} knows the classes {', '.join(teacher.class_names)}, the data has "
            f"{', '.join(model.class_names)}; they differ in {', '.join(missing)}: take a teacher "
            "that was trained on the same classes"
        )
    if model.pixel_format != teacher.pixel_format:
        raise ConfigError(
            f"the teacher {name} takes pictures of another kind than this model (channels, type, "
            "mean and deviation of pixels): train both with the same --pictures on the same data"
        )
