"""Timm: any backbone of the library timm that gives feature maps, by its name.

PyTorch Image Models, Ross Wightman, Apache-2.0, https://github.com/huggingface/pytorch-image-models.
An extra: `pip install 'maskwright[timm]'`. Built with random weights and without a connection;
`maskwright.model.load_imagenet` brings trained ones.

Shapes: b pictures, (H, W) their padded size.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from maskwright.backbones.backbone import Backbone
from maskwright.backbones.freezing import keep_in_eval, modules_up_to, stop_gradients
from maskwright.backbones.norm import Norm, norm_layer
from maskwright.errors import ConfigError, MissingExtraError, nearest_name
from maskwright.structures import Features

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Timm", "import_timm"]

_FINEST_STRIDE = 4
"""Maps finer than this are left out: no part of maskwright reads them."""


class Timm(Backbone):
    """A network of timm, its last map at each stride from 4 on.

    Args:
        config: Name, normalisation, frozen stages.

    Raises:
        ConfigError: timm has no such network, or not as a backbone.
        MissingExtraError: timm is not installed.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of `Timm`.

        Args:
            model: timm's name of the network.
            norm: What stands in place of its batch normalisation, if it has any: itself, frozen,
                or group normalisation.
            freeze_stages: How many stages, counted from the picture, stay as they are in training;
                a stage ends where the resolution halves (timm's `feature_info`).
        """

        kind: Literal["timm"] = "timm"
        model: str = "tf_efficientnet_lite0"
        norm: Norm = "batch"
        freeze_stages: Annotated[int, Field(ge=0)] = 0

        def build(self) -> Timm:
            """Return the network with timm's random weights."""
            return Timm(self)

    def __init__(self, config: Timm.Config) -> None:
        super().__init__()
        self.model = config.model
        self.network = _create(config.model)
        _replace_batch_norm(self.network, config.norm)
        known = self.network.feature_info
        self._strides: list[int] = known.reduction()
        self.channels = {
            stride: width
            for stride, width in zip(self._strides, known.channels(), strict=True)
            if stride >= _FINEST_STRIDE
        }
        self._channels_last = str(getattr(self.network, "output_fmt", "NCHW")).endswith("NHWC")
        self.pixel_mean, self.pixel_std = _pixel_statistics(self.network)
        self.num_stages = len(known.module_name())
        self._frozen = self.first_stages(config.freeze_stages)
        stop_gradients(self._frozen)

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Features:
        """Return the maps at strides from 4 on; the deepest where several share a stride."""
        features = {}
        for stride, x in zip(self._strides, self.network(images), strict=True):
            if stride in self.channels:
                features[stride] = x.permute(0, 3, 1, 2) if self._channels_last else x
        return features

    def train(self, mode: bool = True) -> Timm:
        """Set training or evaluation; frozen stages always stay in evaluation."""
        super().train(mode)
        keep_in_eval(self._frozen)
        return self

    def first_stages(self, count: int) -> list[nn.Module]:
        """Return the modules up to the `count`-th stage that timm names."""
        names = self.network.feature_info.module_name()
        if count > len(names):
            raise ConfigError(
                f"freeze_stages={count}: {self.model} has {len(names)} stages ({', '.join(names)})"
            )
        if not count:
            return []
        modules = dict(self.network.named_modules())
        # networks that timm flattens spell stages.0 as stages_0
        last = modules.get(names[count - 1]) or modules[names[count - 1].replace(".", "_")]
        return modules_up_to(self.network, last)


def import_timm() -> ModuleType:
    """Import timm, or say how to install it."""
    # timm brings huggingface_hub, which reports its use unless told not to before it is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm", "timm", "build a backbone of timm") from error
    module: ModuleType = timm
    return module


def _create(name: str) -> Any:
    timm = import_timm()
    if not timm.is_model(name.split(".")[0]):
        near = nearest_name(name, timm.list_models())
        raise ConfigError(f"timm has no model {name!r}.{near} timm.list_models() names all")
    try:
        return timm.create_model(name, features_only=True, pretrained=False)
    except (RuntimeError, AssertionError, AttributeError) as error:
        raise ConfigError(
            f"timm's {name} gives no feature maps (features_only): {error}"
        ) from error


def _pixel_statistics(
    network: Any,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and standard deviation in 0..255; timm keeps them in 0..1."""
    mean, std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
    red, green, blue = (255.0 * value for value in mean)
    red_std, green_std, blue_std = (255.0 * value for value in std)
    return (red, green, blue), (red_std, green_std, blue_std)


def _replace_batch_norm(network: nn.Module, norm: Norm) -> None:
    """Put the chosen normalisation where the network has batch norm, if it has any."""
    if norm == "frozen_batch":
        import_timm().layers.freeze_batch_norm_2d(network)
    elif norm == "group":
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.BatchNorm2d):
                    parent.register_module(name, _group_norm_instead(child))


def _group_norm_instead(batch_norm: nn.BatchNorm2d) -> nn.Module:
    # timm's batch norm may carry dropout and the activation that follows it
    followers = [getattr(batch_norm, name, nn.Identity()) for name in ("drop", "act")]
    return nn.Sequential(norm_layer("group")(batch_norm.num_features), *followers)
