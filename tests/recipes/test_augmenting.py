from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import maskwright as mw
from maskwright.errors import ConfigError
from maskwright.recipes import Recipe, override_recipe, view_augmented
from maskwright.transforms import AUGMENTATIONS, Augmentation, Mosaic


def test_a_preset_by_its_dotted_name_goes_before_the_other_options() -> None:
    options = {"augmentation.hue": "0.1", "augmentation.preset": "driving", "batch-size": "2"}
    recipe = override_recipe(Recipe(), options)
    assert recipe.augmentation == replace(AUGMENTATIONS["driving"], hue=0.1)
    assert recipe.batch_size == 2
    assert override_recipe(Recipe(), options, augment="none").augmentation.mosaic.probability == 0


def test_an_augmentation_written_out_is_taken_as_it_is() -> None:
    chosen = Augmentation(mosaic=Mosaic(probability=0.2))
    assert override_recipe(Recipe(), augment=chosen).augmentation == chosen
    assert override_recipe(Recipe()) == Recipe()


def test_parts_of_an_augmentation_have_dotted_names() -> None:
    recipe = override_recipe(
        Recipe(),
        {"augmentation.copy-paste.probability": "0.3", "augmentation.jpeg.quality": "20,50"},
    )
    assert recipe.augmentation.copy_paste.probability == 0.3
    assert recipe.augmentation.jpeg.quality == (20, 50)
    with pytest.raises(ConfigError, match=r"augmentation.mosaic.probability: .*less than or equal"):
        override_recipe(Recipe(), {"augmentation.mosaic.probability": 2})
    with pytest.raises(ConfigError, match=r"unknown option .*'probability'"):
        override_recipe(Recipe(), {"augmentation.mosaic.probabilty": 0.5})


def test_a_view_of_what_a_model_would_see_has_a_row_per_picture(discs: Path) -> None:
    dataset = mw.open_dataset(discs)
    sheet = view_augmented(dataset, "strong", pictures=[0, 5], num_views=3)
    assert sheet.shape[1] == 8 + 4 * (320 + 8)
    again = view_augmented(dataset, "strong", pictures=[0, 5], num_views=3)
    assert (sheet == again).all()
    other = view_augmented(dataset, "strong", pictures=[0, 5], num_views=3, seed=1)
    assert sheet.shape != other.shape or (sheet != other).any()
    with pytest.raises(ConfigError, match="1 view or more, got 0"):
        view_augmented(dataset, num_views=0)
