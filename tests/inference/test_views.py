"""Test-time augmentation and ensembles in front of a runtime without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.conftest import BlobRuntime
from maskwright.errors import ConfigError
from maskwright.inference import Ensemble, Predictor, View, parse_views
from maskwright.model import InstanceSegmenter
from maskwright.score_calibration import ScoreCalibration
from maskwright.structures import Batch, Instances


def _assert_same(one: Instances, other: Instances) -> None:
    assert one.masks == other.masks
    assert one.scores is not None
    assert other.scores is not None
    assert torch.equal(one.scores, other.scores)
    assert torch.equal(one.labels, other.labels)
    assert torch.equal(one.boxes, other.boxes)
    assert one.class_names == other.class_names
    assert one.category_ids == other.category_ids


@pytest.mark.parametrize("tta", ["flips", "vertical-flips", "flips+vertical-flips"])
def test_a_model_that_does_not_mind_flips_finds_the_same_with_them(
    predictor: Predictor, picture: np.ndarray, tta: str
) -> None:
    flipping = Predictor(BlobRuntime(), tta=tta)
    _assert_same(flipping.predict(picture), predictor.predict(picture))


def test_views_go_batch_by_batch_and_each_result_knows_its_picture(
    picture: np.ndarray, runtime: BlobRuntime
) -> None:
    flipping = Predictor(runtime, tta="flips")
    pictures = [picture, picture[:, :20], picture[:10]]
    results = flipping.predict(pictures, batch_size=2)
    assert runtime.batch_sizes == [2, 2, 1, 1]
    for found, image in zip(results, pictures, strict=True):
        assert isinstance(found.source, np.ndarray)
        assert np.array_equal(found.source, image)
        assert found.image_size == image.shape[:2]


class _OneSided(BlobRuntime):
    """Sees nothing in the left half of a picture, as it is shown."""

    def predict(self, batch: Batch) -> list[Instances]:
        results = []
        for found in super().predict(batch):
            centre = (found.boxes[:, 0] + found.boxes[:, 2]) / 2
            results.append(found[(centre > found.image_size[1] / 2).numpy()])
        return results


def test_what_only_the_mirror_image_shows_is_found_in_its_place_half_as_sure(
    picture: np.ndarray,
) -> None:
    whole = Predictor(BlobRuntime()).predict(picture)
    found = Predictor(_OneSided(), tta="flips").predict(picture)
    assert len(found) == len(whole) == 3
    assert found.masks is not None
    assert whole.masks is not None
    for i in range(3):
        j = int(np.flatnonzero(found.masks.iou(whole.masks[i])[:, 0] == 1)[0])
        assert found.scores is not None
        assert whole.scores is not None
        assert found.scores[j].item() == pytest.approx(whole.scores[i].item() / 2)


def test_views_are_calibrated_before_they_are_fused(picture: np.ndarray) -> None:
    calibration = ScoreCalibration(
        class_names=("coin", "nut"), temperatures=(2.0, 2.0), shifts=(0.1, 0.2), slopes=(0.0, 0.0)
    )
    plain = Predictor(BlobRuntime(), calibration).predict(picture)
    _assert_same(Predictor(BlobRuntime(), calibration, tta="flips").predict(picture), plain)


def test_tiles_go_through_views_too(picture: np.ndarray, predictor: Predictor) -> None:
    flipping = Predictor(BlobRuntime(), tta="flips")
    _assert_same(
        flipping.predict(picture, tiles=16, overlap=8),
        predictor.predict(picture, tiles=16, overlap=8),
    )


def test_scales_show_the_network_other_sizes_and_results_are_of_the_picture() -> None:
    config = InstanceSegmenter.Config(short_side=64, long_side=96)
    torch.manual_seed(0)
    model = InstanceSegmenter(config, ("coin",))
    image = np.zeros((50, 60, 3), np.uint8)
    batch = model.collate_scaled([image], 1.25)
    assert batch.image_sizes == ((80, 95),)
    assert batch.original_sizes == ((50, 60),)
    assert View(scale=0.5).collate(model, [image]).image_sizes == ((32, 38),)
    assert torch.equal(View().collate(model, [image]).images, model.collate([image]).images)


def test_a_runtime_of_one_size_refuses_scales_and_says_what_works(picture: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"one size only.*take --tta flips"):
        Predictor(BlobRuntime(), tta="scales").predict(picture)


def test_words_multiply_and_unknown_or_doubled_ones_are_refused() -> None:
    assert len(parse_views("flips+vertical-flips+scales")) == 12
    assert parse_views("flips+scales") == parse_views("scales+flips")
    assert parse_views("scales")[0] == View()
    with pytest.raises(ConfigError, match="Did you mean 'flips'"):
        parse_views("flip")
    with pytest.raises(ConfigError, match="twice"):
        parse_views("flips+flips")


def test_an_ensemble_of_one_and_of_twins_is_that_model(
    predictor: Predictor, picture: np.ndarray
) -> None:
    plain = predictor.predict([picture, picture[:10]])
    for members in ([predictor], [predictor, Predictor(BlobRuntime())]):
        found = Predictor(Ensemble(members)).predict([picture, picture[:10]], batch_size=2)
        for one, other in zip(found, plain, strict=True):
            _assert_same(one, other)


class _Swapped(BlobRuntime):
    """The same classes in the other order."""

    class_names = ("nut", "coin")

    def predict(self, batch: Batch) -> list[Instances]:
        return [
            replace(found, labels=1 - found.labels, class_names=("nut", "coin"))
            for found in super().predict(batch)
        ]


def test_classes_are_matched_by_name(picture: np.ndarray, predictor: Predictor) -> None:
    both = Predictor(Ensemble([BlobRuntime(), _Swapped()], weights=[1, 3]))
    _assert_same(both.predict(picture), predictor.predict(picture))


class _Other(BlobRuntime):
    class_names = ("coin", "fig")


def test_models_of_other_classes_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"against a, b lacks nut and has fig besides"):
        Ensemble([BlobRuntime(), _Other()], names=["a", "b"])
    with pytest.raises(ConfigError, match="one model or more"):
        Ensemble([])
    with pytest.raises(ConfigError, match="2 models need as many weights"):
        Ensemble([BlobRuntime(), BlobRuntime()], weights=[1])
    with pytest.raises(ConfigError, match="above 0"):
        Ensemble([BlobRuntime(), BlobRuntime()], weights=[1, -1])


class _Dim(BlobRuntime):
    """Half as sure as the other."""

    def predict(self, batch: Batch) -> list[Instances]:
        dimmed: list[Instances] = []
        for found in super().predict(batch):
            assert found.scores is not None
            dimmed.append(replace(found, scores=found.scores / 2))
        return dimmed


@pytest.mark.parametrize("weights", [[1, 1], [3, 1], [0.2, 0.8]])
def test_scores_of_an_ensemble_are_weighted_means(
    picture: np.ndarray, predictor: Predictor, weights: Sequence[float]
) -> None:
    found = Predictor(Ensemble([BlobRuntime(), _Dim()], weights=weights)).predict(picture)
    plain = predictor.predict(picture).scores
    assert plain is not None
    assert found.scores is not None
    expected = plain * (weights[0] + weights[1] / 2) / sum(weights)
    torch.testing.assert_close(found.scores, expected)
