"""Saliency by gradients and by covering, against decisions whose reasons are known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from maskwright.errors import ConfigError
from maskwright.explain import (
    DetectionScore,
    SaliencyOptions,
    divide_picture,
    explain_object,
    filling_of,
    gradient_attribution,
    heat_of,
    integrated_gradients,
    measure_faithfulness,
    shares_of,
    window_around,
)
from maskwright.inference import Predictor
from maskwright.masks import Masks
from maskwright.structures import Instances
from planting.cue import BOX, CUE, SIDE, CueRuntime, cue_mask, cue_network, cue_picture


def _predictor(method: str) -> Predictor:
    if method == "gradients":
        pytest.importorskip("captum", reason="gradients need the extra explain")
        return Predictor(cue_network())
    return Predictor(CueRuntime())


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_the_map_points_at_the_planted_cue_and_not_at_the_object(method: str) -> None:
    image, predictor = cue_picture(), _predictor(method)
    found = predictor.predict(image)
    result = explain_object(predictor, image, found, SaliencyOptions(method=method))
    assert result.attribution.method == method
    at_cue = shares_of(result.attribution.density, cue_mask())
    assert at_cue.is_peak_inside
    # a patch of occlusion may cover more than the cue, a pixel's gradient cannot
    assert at_cue.inside > (0.999 if method == "gradients" else 0.5)
    assert result.shares.inside == pytest.approx(0.0, abs=1e-6)
    assert result.shares.elsewhere > 0.85
    assert not result.shares.is_peak_inside


@pytest.mark.parametrize("fill", ["mean", "blur"])
def test_gradients_of_a_linear_score_are_its_weights_times_the_way(fill: str) -> None:
    pytest.importorskip("captum", reason="gradients need the extra explain")
    image, model = cue_picture(), cue_network()
    found = Predictor(model).predict(image)
    filling = filling_of(image, fill)
    got = gradient_attribution(model, image, filling, found, num_steps=3)
    x1, y1, x2, y2 = CUE
    way = (image.astype(np.float64) - filling).sum(axis=2) / 255 / (3 * (x2 - x1) * (y2 - y1))
    wanted = np.where(cue_mask().to_dense()[0], way, 0.0)
    np.testing.assert_allclose(got.density, wanted, atol=1e-7)
    assert got.gap == pytest.approx(0.0, abs=1e-5)
    assert got.density.sum() == pytest.approx(got.value - got.covered_value, abs=1e-5)
    assert got.value == pytest.approx(float(found.scores), abs=1e-6)
    again = gradient_attribution(model, image, filling, found, num_steps=3)
    np.testing.assert_array_equal(again.density, got.density)


def test_integrated_gradients_of_a_cube_are_the_difference() -> None:
    pytest.importorskip("captum", reason="gradients need the extra explain")
    images = torch.rand((1, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    pixels, gap = integrated_gradients(
        lambda x: (x**3).sum(dim=(1, 2, 3)), images, torch.zeros_like(images), num_steps=8
    )
    torch.testing.assert_close(pixels, images**3)  # the integral of 3 x^2 along x
    assert gap == pytest.approx(0.0, abs=1e-5)


def test_explaining_leaves_the_network_as_it_was() -> None:
    pytest.importorskip("captum", reason="gradients need the extra explain")
    model, image = cue_network(), cue_picture()
    model.train()
    frozen = next(model.parameters()).requires_grad_(False)
    before = [(p.requires_grad, p.grad) for p in model.parameters()]
    found = Predictor(model).predict(image)
    explain_object(Predictor(model), image, found, SaliencyOptions(faithfulness=False))
    assert [(p.requires_grad, p.grad) for p in model.parameters()] == before
    assert not frozen.requires_grad
    assert all(module.training for module in model.modules())


def test_patches_divide_the_whole_picture_and_are_fine_about_the_object() -> None:
    patches = divide_picture((90, 120), (30.0, 30.0, 42.0, 42.0), fine=12, coarse=6)
    counts = np.bincount(patches.ravel())
    assert counts.sum() == 90 * 120
    assert counts.min() > 0
    left, top, right, bottom = window_around((30.0, 30.0, 42.0, 42.0), (90, 120))
    inside = patches[top:bottom, left:right]
    assert len(np.unique(inside)) == 144
    assert not np.isin(patches[:top], inside).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3)])
def test_pictures_of_a_few_pixels_are_divided_too(size: tuple[int, int]) -> None:
    patches = divide_picture(size, (0.0, 0.0, 1.0, 1.0))
    assert patches.shape == size
    assert set(np.unique(patches)) == set(range(patches.max() + 1))


def test_the_score_is_the_best_product_of_score_and_overlap_of_the_class() -> None:
    size = (10, 10)
    boxes = [(0, 0, 4, 4), (0, 0, 4, 2), (0, 0, 4, 4)]
    result = Instances(
        image_size=size,
        boxes=torch.tensor(boxes, dtype=torch.float32),
        labels=torch.tensor([0, 0, 1]),
        scores=torch.tensor([0.4, 0.9, 1.0]),
        masks=Masks.from_boxes(boxes, size),
    )

    class Fixed(CueRuntime):
        def predict(self, batch):
            return [result] * len(batch)

    image = np.zeros((10, 10, 3), np.uint8)
    for target, wanted in (("object", 0.45), ("class", 0.45), ("mask", 1.0)):
        score = DetectionScore(Predictor(Fixed()), result[0], target)
        assert score([image, image]).tolist() == pytest.approx([wanted, wanted])
        assert score([]).shape == (0,)


def test_a_copy_on_which_nothing_is_found_scores_nothing() -> None:
    class Blind(CueRuntime):
        def predict(self, batch):
            return [Instances.empty((SIDE, SIDE), scores=torch.zeros(0))] * len(batch)

    found = Predictor(CueRuntime()).predict(cue_picture())
    blind = Predictor(Blind())
    assert DetectionScore(blind, found, "object")([cue_picture()]).tolist() == [0.0]
    result = explain_object(blind, cue_picture(), found)
    assert result.faithfulness is None
    assert (result.shares.inside, result.shares.around, result.shares.elsewhere) == (0, 0, 0)
    assert result.heat.max() == 0.0


def test_shares_of_an_even_map_are_areas() -> None:
    mask = Masks.from_boxes([(20, 20, 40, 40)], (SIDE, SIDE))
    shares = shares_of(np.ones((SIDE, SIDE), np.float32), mask)
    assert shares.inside == pytest.approx(400 / SIDE**2)
    assert shares.inside + shares.around + shares.elsewhere == pytest.approx(1.0)
    # half the side wide: 4 strips of 20 x 10 pixels, and 4 corners of those within 10 of theirs
    corner = sum(i * i + j * j <= 100 for i in range(1, 11) for j in range(1, 11))
    assert shares.around == pytest.approx((800 + 4 * corner) / SIDE**2)


def test_what_speaks_against_an_object_is_in_no_share() -> None:
    density = np.full((SIDE, SIDE), -1.0, np.float32)
    density[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 0.5
    shares = shares_of(density, Masks.from_boxes([BOX], (SIDE, SIDE)))
    assert shares.inside == 1.0
    assert heat_of(density, 400.0).min() == 0.0


def test_a_true_map_beats_chance_and_a_wrong_one_does_not() -> None:
    image = cue_picture()
    filling = filling_of(image, "mean")
    predictor = Predictor(CueRuntime())
    score = DetectionScore(predictor, predictor.predict(image), "object")
    true = cue_mask().to_dense()[0].astype(np.float32)
    window = (0, 0, SIDE, SIDE)
    good = measure_faithfulness(score, image, filling, true, window)
    bad = measure_faithfulness(score, image, filling, 1 - true, window)
    assert good.deletion < good.chance_deletion < bad.deletion
    assert good.insertion > good.chance_insertion > bad.insertion
    assert good == measure_faithfulness(score, image, filling, true, window)


def test_deletion_of_a_score_that_falls_evenly_is_one_half() -> None:
    def brightness(pictures: Iterable[np.ndarray]) -> np.ndarray:
        return np.array([picture.mean() / 255 for picture in pictures])

    image, filling = np.full((12, 12, 3), 255, np.uint8), np.zeros((12, 12, 3), np.uint8)
    heat = np.random.default_rng(0).random((12, 12), np.float32)
    got = measure_faithfulness(brightness, image, filling, heat, (0, 0, 12, 12))
    assert (got.deletion, got.insertion) == (pytest.approx(0.5), pytest.approx(0.5))


def test_gradients_of_a_runtime_without_any_are_refused() -> None:
    predictor = Predictor(CueRuntime())
    found = predictor.predict(cue_picture())
    with pytest.raises(ConfigError, match="take method occlusion"):
        explain_object(predictor, cue_picture(), found, SaliencyOptions(method="gradients"))


def test_the_mask_of_a_model_without_masks_is_refused() -> None:
    predictor = Predictor(cue_network())
    found = predictor.predict(cue_picture())
    with pytest.raises(ConfigError, match="take target class"):
        explain_object(predictor, cue_picture(), found, SaliencyOptions(target="mask"))


def test_options_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_steps must be 1 or more, got 0"):
        SaliencyOptions(num_steps=0)
