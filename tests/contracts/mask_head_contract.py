"""What every mask head must keep: inherit `MaskHeadContract` and name a config."""

from __future__ import annotations

from typing import ClassVar

import torch

from contracts.made_up import ellipses, features_of, random_features
from maskwright.mask_heads import MaskHead, MaskHeadConfig, crop_targets
from maskwright.model import config_from_dict, config_to_dict
from maskwright.structures import Features, Instances, Losses, Rois

_CLASSES = 3
_PADDED = (96, 128)


def seeded_loss(
    head: MaskHead, features: Features, rois: list[Rois], targets: tuple[Instances, ...]
) -> Losses:
    """The losses of a head that draws its points by chance, with the same chance each time."""
    torch.manual_seed(0)
    return head.loss(features, rois, targets)


class MaskHeadContract:
    """The tests."""

    config: ClassVar[MaskHeadConfig]
    channels: ClassVar[dict[int, int]] = {4: 16, 8: 16, 16: 16, 32: 16}
    reads_rois: ClassVar[bool] = True
    """False for a head that learns from every pixel, also where there are no objects."""
    overfit_steps = 120
    learning_rate = 1e-2

    def build(self, seed: int = 0) -> MaskHead:
        torch.manual_seed(seed)
        return self.config.build(self.channels, _CLASSES).eval()

    def targets(self) -> tuple[Instances, ...]:
        """Three objects, none, one."""
        return (
            ellipses((90, 120), [(10, 12, 50, 40), (60, 30, 110, 84), (4, 50, 30, 88)], [0, 2, 2]),
            ellipses((96, 100), [], []),
            ellipses((96, 128), [(0, 0, 128, 96)], [1]),
        )

    def rois(self, targets: tuple[Instances, ...]) -> list[Rois]:
        """Each object's box, and for the first also a shifted one."""
        rois = []
        for target in targets:
            index = torch.arange(len(target))
            boxes = torch.cat((target.boxes, target.boxes[:1] + 2))
            matched = torch.cat((index, index[:1]))
            rois.append(Rois(boxes=boxes, labels=target.labels[matched], matched=matched))
        return rois

    def features(self, count: int = 3) -> Features:
        return random_features(self.channels, count, _PADDED)

    @torch.no_grad()
    def test_crops_are_square_probabilities_one_per_detection(self) -> None:
        targets = self.targets()
        crops = self.build().crops(self.features(), targets)
        assert [len(each) for each in crops] == [3, 0, 1]
        for each in crops:
            assert each.ndim == 3
            assert each.shape[1] == each.shape[2] > 0
            assert ((each >= 0) & (each <= 1)).all()

    @torch.no_grad()
    def test_no_detections_at_all_give_no_crops(self) -> None:
        empty = ellipses(_PADDED, [], [])
        crops = self.build().crops(self.features(2), (empty, empty))
        assert [len(each) for each in crops] == [0, 0]

    @torch.no_grad()
    def test_a_batch_draws_what_its_pictures_draw_one_by_one(self) -> None:
        head, targets, features = self.build(), self.targets(), self.features()
        for index, together in enumerate(head.crops(features, targets)):
            (alone,) = head.crops(features_of(features, index), targets[index : index + 1])
            torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)

    @torch.no_grad()
    def test_the_loss_of_a_batch_is_the_mean_of_its_pictures_losses(self) -> None:
        head, targets, features = self.build(), self.targets(), self.features()
        rois = self.rois(targets)
        together = seeded_loss(head, features, rois, targets)
        alone = [
            seeded_loss(head, features_of(features, i), rois[i : i + 1], targets[i : i + 1])
            for i in range(len(targets))
        ]
        for name, loss in together.items():
            mean = torch.stack([each[name] for each in alone]).mean()
            torch.testing.assert_close(loss, mean, atol=1e-5, rtol=1e-4)

    def test_without_rois_the_loss_has_a_gradient_and_is_zero_if_it_reads_rois(self) -> None:
        head = self.build().train()
        empty = ellipses(_PADDED, [], [])
        losses = head.loss(self.features(2), self.rois((empty, empty)), (empty, empty))
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        assert (total == 0) == self.reads_rois
        assert all(parameter.grad is not None for parameter in head.parameters())
        assert all(buffer.isfinite().all() for buffer in head.buffers())

    def test_every_parameter_gets_a_gradient(self) -> None:
        head, targets = self.build().train(), self.targets()
        # twice: a last layer of zeros would hide the ones before it
        optimizer = torch.optim.SGD(head.parameters(), lr=1e-2)
        for _ in range(2):
            optimizer.zero_grad()
            losses = head.loss(self.features(), self.rois(targets), targets)
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()
        without = [
            name
            for name, parameter in head.named_parameters()
            if parameter.grad is None or not parameter.grad.any()
        ]
        assert without == []

    @torch.no_grad()
    def test_config_and_weights_come_back_as_they_went(self) -> None:
        first = self.build(seed=1)
        config = config_from_dict(type(self.config), config_to_dict(self.config))
        assert config == self.config
        second = config.build(self.channels, _CLASSES).eval()
        second.load_state_dict(first.state_dict())
        for one, other in zip(
            first.crops(self.features(), self.targets()),
            second.crops(self.features(), self.targets()),
            strict=True,
        ):
            assert torch.equal(one, other)

    @torch.no_grad()
    def test_the_same_seed_gives_the_same_crops(self) -> None:
        crops = [self.build(seed=5).crops(self.features(), self.targets()) for _ in range(2)]
        assert all(torch.equal(one, other) for one, other in zip(*crops, strict=True))

    def test_one_batch_can_be_learnt_by_heart(self) -> None:
        head, targets, features = self.build().train(), self.targets(), self.features()
        rois = self.rois(targets)
        optimizer = torch.optim.AdamW(head.parameters(), lr=self.learning_rate)
        for _ in range(self.overfit_steps):
            optimizer.zero_grad()
            losses = head.loss(features, rois, targets)
            torch.stack(list(losses.values())).sum().backward()
            optimizer.step()
        with torch.no_grad():
            crops = head.eval().crops(features, targets)
        for crop, target in zip(crops, targets, strict=True):
            index = torch.arange(len(target))
            exact = Rois(boxes=target.boxes, labels=target.labels, matched=index)
            truth = crop_targets(target, exact, crop.shape[-1]) > 0.5
            drawn = crop > 0.5
            both = (truth & drawn).sum(dim=(1, 2))
            either = (truth | drawn).sum(dim=(1, 2))
            assert (both / either > 0.8).all(), both / either
