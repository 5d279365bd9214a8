"""Every detector under every mask head can be asked why."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.data import open_dataset
from maskwright.explain import SaliencyOptions, explain_object, object_features
from maskwright.inference import Predictor
from maskwright.model import InstanceSegmenter
from maskwright.recipes import choose_recipe, data_facts, override_recipe, part_names


def _network(pair: str, data: Path) -> InstanceSegmenter:
    """A small one with random weights."""
    recipe = choose_recipe(
        data_facts(open_dataset(data)),
        model=pair,
        backbone="test_resnet",
        preset="tiny",
        weights="none",
        num_steps=1,
    )
    small = {"model.short_side": 64, "model.long_side": 64, "model.detector.score_threshold": 0.0}
    torch.manual_seed(0)
    return override_recipe(recipe, small).model.build(("disc", "ghost")).eval()


@pytest.mark.parametrize("pair", ["+".join(pair) for pair in product(*part_names())])
def test_gradients_reach_the_pixels_of_every_pair(pair: str, discs: Path) -> None:
    pytest.importorskip("captum", reason="gradients need the extra explain")
    model = _network(pair, discs)
    predictor, image = Predictor(model), open_dataset(discs).image(0)
    found = predictor.predict(image)[0]
    for target in ("class", "mask"):
        options = SaliencyOptions(
            method="gradients", target=target, num_steps=1, faithfulness=False
        )
        attribution = explain_object(predictor, image, found, options).attribution
        assert attribution.density.shape == image.shape[:2]
        assert np.isfinite(attribution.density).all()
        if target == "class":
            # the detection is one of its own candidates
            assert attribution.value > 0.99 * float(found.scores)
            assert np.abs(attribution.density).max() > 0
    features = object_features(model, image, found)
    assert np.linalg.norm(features, axis=1) == pytest.approx(1.0, abs=1e-5)
