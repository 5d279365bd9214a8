"""What every backbone must keep: inherit `BackboneContract` and name a config."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn

from maskwright.backbones import Backbone, BackboneConfig
from maskwright.model import config_from_dict, config_to_dict


class BackboneContract:
    """The tests."""

    config: ClassVar[BackboneConfig]

    def build(self, **changes: object) -> Backbone:
        torch.manual_seed(0)
        return replace(self.config, **changes).build().eval()

    def images(self, count: int = 2, height: int = 64, width: int = 96) -> torch.Tensor:
        return torch.randn((count, 3, height, width), generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def test_maps_have_the_announced_strides_and_channels(self) -> None:
        backbone = self.build()
        features = backbone(self.images())
        assert list(features) == list(backbone.channels) == sorted(backbone.channels)
        for stride, feature in features.items():
            assert feature.shape == (2, backbone.channels[stride], 64 // stride, 96 // stride)

    @torch.no_grad()
    def test_sides_that_are_no_multiple_of_the_stride_are_rounded_up(self) -> None:
        for stride, feature in self.build()(self.images(1, 50, 71)).items():
            assert feature.shape[-2:] == (-(-50 // stride), -(-71 // stride))

    @torch.no_grad()
    def test_a_batch_sees_what_its_pictures_see_one_by_one(self) -> None:
        backbone, images = self.build(), self.images()
        together = backbone(images)
        for index in range(len(images)):
            alone = backbone(images[index : index + 1])
            for stride, feature in alone.items():
                torch.testing.assert_close(
                    feature[0], together[stride][index], atol=1e-4, rtol=1e-3
                )

    def test_every_parameter_gets_a_gradient(self) -> None:
        backbone = self.build().train()
        loss = torch.stack([each.square().mean() for each in backbone(self.images()).values()])
        loss.sum().backward()
        without = [
            name
            for name, parameter in backbone.named_parameters()
            if parameter.requires_grad and parameter.grad is None
        ]
        assert without == []

    def test_frozen_stages_neither_learn_nor_count(self) -> None:
        backbone = self.build(freeze_stages=2).train()
        before = {name: value.clone() for name, value in backbone.state_dict().items()}
        parameters = list(backbone.parameters())
        frozen = [parameter for parameter in parameters if not parameter.requires_grad]
        assert 0 < len(frozen) < len(parameters)
        assert not parameters[0].requires_grad
        assert parameters[-1].requires_grad
        backbone(self.images())
        first_norm = next(name for name in before if name.endswith(("running_mean", "weight")))
        assert torch.equal(before[first_norm], backbone.state_dict()[first_norm])

    def test_stages_follow_each_other_from_the_picture(self) -> None:
        backbone = self.build()
        known: set[int] = set()
        for count in range(backbone.num_stages + 1):
            stages = backbone.first_stages(count)
            parameters = {id(p) for module in stages for p in module.parameters()}
            assert known < parameters or count == 0 == len(parameters)
            known = parameters
        assert id(next(iter(backbone.parameters()))) in known

    @torch.no_grad()
    def test_group_norm_stands_where_batch_norm_was(self) -> None:
        backbone = self.build(norm="group")
        assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
        assert any(isinstance(module, nn.GroupNorm) for module in backbone.modules())
        assert all(each.isfinite().all() for each in backbone(self.images()).values())

    @torch.no_grad()
    def test_frozen_batch_norm_computes_what_batch_norm_does(self) -> None:
        usual, frozen = self.build(norm="batch"), self.build(norm="frozen_batch")
        assert not any(isinstance(module, nn.BatchNorm2d) for module in frozen.modules())
        frozen.load_state_dict({name: usual.state_dict()[name] for name in frozen.state_dict()})
        for one, other in zip(
            usual(self.images()).values(), frozen(self.images()).values(), strict=True
        ):
            torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)

    @torch.no_grad()
    def test_config_and_weights_come_back_as_they_went(self) -> None:
        first = self.build()
        config = config_from_dict(type(self.config), config_to_dict(self.config))
        assert config == self.config
        second = config.build().eval()
        second.load_state_dict(first.state_dict())
        for one, other in zip(
            first(self.images()).values(), second(self.images()).values(), strict=True
        ):
            assert torch.equal(one, other)

    def test_pixel_statistics_are_in_0_to_255(self) -> None:
        backbone = self.build()
        assert all(100 < value < 160 for value in backbone.pixel_mean)
        assert all(40 < value < 160 for value in backbone.pixel_std)
