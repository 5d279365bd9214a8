from __future__ import annotations

import numpy as np
import torch

from contracts.tiny_models import TINY_DETECTORS, TINY_HEADS
from maskwright.backbones import FPN, ResNet
from maskwright.model import InstanceSegmenter, SemanticSegmenter
from maskwright.ops import scale_boxes
from maskwright.recipes.benchmark.counting import count_by_part
from maskwright.recipes.benchmark.random_models import finding_objects
from maskwright.recipes.costs import count_gflops
from maskwright.structures import Instances


def _model() -> InstanceSegmenter:
    torch.manual_seed(0)
    config = InstanceSegmenter.Config(
        backbone=ResNet.Config(depth=18),
        neck=FPN.Config(channels=16),
        detector=TINY_DETECTORS["faster_rcnn"],
        mask_head=TINY_HEADS["mask_rcnn"],
        short_side=96,
        long_side=128,
    )
    return config.build(("a", "b")).eval()


def _picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


def test_parts_add_up_to_the_whole_and_a_random_model_finds_what_is_asked_for() -> None:
    model = finding_objects(_model(), _picture(), 6)
    batch = model.collate([_picture()])
    (found,) = model.predict(batch)
    assert 1 <= len(found) <= 6
    whole = count_gflops(model, _picture())
    parts = count_by_part(model, batch)
    assert set(parts) == {"backbone", "neck", "proposals", "detector", "mask head"}
    np.testing.assert_allclose(sum(parts.values()) / 1e9, whole, rtol=1e-6)


def test_the_mask_head_can_be_given_its_objects() -> None:
    model = finding_objects(_model(), _picture(), 6)
    batch = model.collate([_picture()])
    (found,) = model.predict(batch)
    own = count_by_part(_copy(model), batch)["mask head"]
    twice = Instances(
        image_size=found.image_size,
        boxes=scale_boxes(found.boxes, found.image_size, found.image_size).repeat(2, 1),
        labels=found.labels.repeat(2),
        scores=None if found.scores is None else found.scores.repeat(2),
    )
    assert count_by_part(_copy(model), batch, twice)["mask head"] == 2 * own
    none = Instances.empty(found.image_size, scores=torch.zeros(0))
    assert "mask head" not in count_by_part(_copy(model), batch, none)


def test_a_semantic_model_has_a_class_map_for_detector_and_mask_head() -> None:
    config = SemanticSegmenter.Config(
        backbone=ResNet.Config(depth=18), neck=FPN.Config(channels=16), short_side=64, long_side=64
    )
    model = config.build(("a",)).eval()
    parts = count_by_part(model, model.collate([_picture()]))
    assert set(parts) == {"backbone", "neck", "class map"}


def _copy(model: InstanceSegmenter) -> InstanceSegmenter:
    """Counting watches a model for good."""
    other = model.config.build(model.class_names)
    other.load_state_dict(model.state_dict())
    return other.eval()
