"""What every detector must keep: inherit `DetectorContract`, name a config, and that is the test.

class TestFasterRCNN(DetectorContract):
    config = FasterRCNN.Config(...)
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from contracts.made_up import batch_of, ellipses, features_of, one_of, random_features
from maskwright.detectors import Detector, DetectorConfig
from maskwright.model import config_from_dict, config_to_dict
from maskwright.ops import pairwise_iou
from maskwright.structures import Batch, Features, Instances

_CLASSES = 3


class DetectorContract:
    """The tests; `config` must learn from all boxes, so that no sampling is random."""

    config: ClassVar[DetectorConfig]
    channels: ClassVar[dict[int, int]] = {4: 16, 8: 16, 16: 16, 32: 16}
    padded = (96, 128)
    overfit_steps = 120
    learning_rate = 1e-2

    def build(self, seed: int = 0) -> Detector:
        torch.manual_seed(seed)
        return self.config.build(self.channels, _CLASSES).eval()

    def batch(self) -> Batch:
        """Two pictures of different sizes, the second without objects."""
        targets = (
            ellipses((90, 120), [(10, 12, 50, 40), (60, 30, 110, 84)], [0, 2]),
            ellipses((96, 100), [], []),
        )
        return batch_of(targets, self.padded)

    def features(self, batch: Batch) -> Features:
        return random_features(self.channels, len(batch), self.padded)

    def total_loss(self, detector: Detector, batch: Batch, features: Features) -> Tensor:
        losses, _ = detector.loss(features, batch)
        assert all(loss.ndim == 0 for loss in losses.values())
        return torch.stack(list(losses.values())).sum()

    @torch.no_grad()
    def test_detections_are_boxes_inside_the_picture_with_falling_scores(self) -> None:
        batch = self.batch()
        for found, size in zip(
            self.build().detect(self.features(batch), batch), batch.image_sizes, strict=True
        ):
            self.check_detections(found, size)

    def check_detections(self, found: Instances, size: tuple[int, int]) -> None:
        assert found.scores is not None
        assert found.masks is None
        assert found.image_size == size
        assert len(found) <= self.config.detections_per_image
        assert found.labels.dtype == torch.int64
        assert ((found.labels >= 0) & (found.labels < _CLASSES)).all()
        assert (found.scores.diff() <= 0).all()
        assert (found.scores >= self.config.score_threshold).all()
        assert (found.boxes >= 0).all()
        assert (found.boxes[:, 0::2] <= size[1]).all()
        assert (found.boxes[:, 1::2] <= size[0]).all()

    @torch.no_grad()
    def test_a_threshold_of_one_finds_nothing(self) -> None:
        detector = self.build()
        detector.config = replace(self.config, score_threshold=1.0)
        batch = self.batch()
        assert [len(found) for found in detector.detect(self.features(batch), batch)] == [0, 0]

    @torch.no_grad()
    def test_a_batch_finds_what_its_pictures_find_one_by_one(self) -> None:
        detector, batch = self.build(), self.batch()
        features = self.features(batch)
        together = detector.detect(features, batch)
        for index, found in enumerate(together):
            (alone,) = detector.detect(features_of(features, index), one_of(batch, index))
            torch.testing.assert_close(alone.boxes, found.boxes, atol=1e-3, rtol=1e-4)
            torch.testing.assert_close(alone.scores, found.scores, atol=1e-5, rtol=1e-4)

    @torch.no_grad()
    def test_the_loss_of_a_batch_is_the_mean_of_its_pictures_losses(self) -> None:
        detector, batch = self.build(), self.batch()
        features = self.features(batch)
        together, _ = detector.loss(features, batch)
        alone = [
            detector.loss(features_of(features, index), one_of(batch, index))[0]
            for index in range(len(batch))
        ]
        for name, loss in together.items():
            mean = torch.stack([each[name] for each in alone]).mean()
            torch.testing.assert_close(loss, mean, atol=1e-5, rtol=1e-4)

    def test_rois_overlap_the_targets_they_name(self) -> None:
        batch = self.batch()
        _, rois = self.build().loss(self.features(batch), batch)
        with_objects, without = rois
        target = batch.targets[0]
        assert len(with_objects) > 0
        assert len(without) == 0
        assert torch.equal(with_objects.labels, target.labels[with_objects.matched])
        iou = pairwise_iou(with_objects.boxes, target.boxes[with_objects.matched])
        assert (iou.diagonal() > 0).all()

    def test_nothing_is_matched_to_a_crowd(self) -> None:
        batch = self.batch()
        crowd = replace(batch.targets[0], is_crowd=torch.tensor([False, True]))
        batch = replace(batch, targets=(crowd, batch.targets[1]))
        _, rois = self.build().loss(self.features(batch), batch)
        assert set(rois[0].matched.tolist()) == {0}

    def test_pictures_without_objects_are_learnt_from(self) -> None:
        empty = ellipses(self.padded, [], [])
        batch = batch_of((empty, empty), self.padded)
        detector = self.build()
        loss = self.total_loss(detector, batch, self.features(batch))
        assert loss > 0
        loss.backward()
        assert all(
            parameter.grad is not None and parameter.grad.isfinite().all()
            for parameter in detector.parameters()
        )

    def test_every_parameter_gets_a_gradient(self) -> None:
        batch, detector = self.batch(), self.build().train()
        self.total_loss(detector, batch, self.features(batch)).backward()
        without = [
            name
            for name, parameter in detector.named_parameters()
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
        ]
        assert without == []

    @torch.no_grad()
    def test_the_same_seed_gives_the_same_network_and_loss(self) -> None:
        batch = self.batch()
        features = self.features(batch)
        losses = []
        for _ in range(2):
            detector = self.build(seed=3)
            losses.append(self.total_loss(detector, batch, features))
        assert torch.equal(losses[0], losses[1])

    @torch.no_grad()
    def test_config_and_weights_come_back_as_they_went(self) -> None:
        first = self.build(seed=1)
        config = config_from_dict(type(self.config), config_to_dict(self.config))
        assert config == self.config
        second = config.build(self.channels, _CLASSES).eval()
        second.load_state_dict(first.state_dict())
        batch = self.batch()
        features = self.features(batch)
        for one, other in zip(
            first.detect(features, batch), second.detect(features, batch), strict=True
        ):
            assert torch.equal(one.boxes, other.boxes)
            assert torch.equal(one.scores, other.scores)

    def test_one_picture_can_be_learnt_by_heart(self) -> None:
        detector, batch = self.build().train(), self.batch()
        features = self.features(batch)
        optimizer = torch.optim.AdamW(detector.parameters(), lr=self.learning_rate)
        for _ in range(self.overfit_steps):
            optimizer.zero_grad()
            self.total_loss(detector, batch, features).backward()
            optimizer.step()
        with torch.no_grad():
            found, nothing = detector.eval().detect(features, batch)
        target = batch.targets[0]
        best = found[: len(target)]
        iou = pairwise_iou(target.boxes, best.boxes)
        assert (iou.max(dim=1).values > 0.7).all(), iou
        assert torch.equal(best.labels[iou.argmax(dim=1)], target.labels)
        assert (best.scores > 0.5).all()
        assert not len(nothing) or nothing.scores[0] < 0.5
