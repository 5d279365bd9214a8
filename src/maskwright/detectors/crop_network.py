"""R-CNN's network: one feature vector for each crop of a picture.

Girshick et al. 2014, https://arxiv.org/abs/1311.2524, section 2.1, with global average pooling of
the deepest map of any backbone in place of AlexNet's fully connected layers.

Shapes: b pictures, r boxes of all pictures, d features, s side of the crops.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskwright.backbones import Backbone, BackboneConfig
from maskwright.detectors.warping import require_room_for_box, warp_boxes
from maskwright.structures import Batch

__all__ = ["CropNetwork"]

_CROPS_AT_ONCE = 256
"""Crops of a picture that go through the network together, to bound the memory."""


class CropNetwork(nn.Module):
    """Warps boxes to squares and describes each by the mean of a backbone's deepest map.

    Args:
        cnn: The backbone.
        warp_size: Side of the squares in pixels.
        context: Pixels on each side of a square that lie outside its box.

    Attributes:
        num_features: d.

    Raises:
        ConfigError: The context leaves nothing for the box.
    """

    def __init__(self, cnn: BackboneConfig, *, warp_size: int, context: int) -> None:
        super().__init__()
        require_room_for_box(warp_size, context)
        self.warp_size, self.context = warp_size, context
        self.cnn: Backbone = cnn.build()
        self.num_features = self.cnn.channels[max(self.cnn.channels)]
        for name in ("pixel_mean", "pixel_std"):
            statistic = torch.tensor(getattr(self.cnn, name)).view(3, 1, 1)
            self.register_buffer(name, statistic, persistent=False)

    pixel_mean: Tensor
    pixel_std: Tensor

    def start_from(self, backbone: Backbone) -> None:
        """Take over the weights of a backbone if it is the same network; else change nothing."""
        weights, own = backbone.state_dict(), self.cnn.state_dict()
        if {name: tensor.shape for name, tensor in weights.items()} == {
            name: tensor.shape for name, tensor in own.items()
        }:
            self.cnn.load_state_dict(weights)

    def normalise(self, batch: Batch) -> Float[Tensor, "b 3 H W"]:
        """Return the pictures normalised, on the network's device; the padding is zero."""
        pixels = batch.images.to(self.pixel_mean.device).float()
        images = (pixels - self.pixel_mean) / self.pixel_std
        # by index: autograd refuses writing into what iterating over a tensor gives
        for i, (height, width) in enumerate(batch.image_sizes):
            images[i, :, height:] = 0.0
            images[i, :, :, width:] = 0.0
        return images

    def forward(
        self, images: Float[Tensor, "b 3 H W"], boxes: Sequence[Float[Tensor, "_ 4"]]
    ) -> Float[Tensor, "r d"]:
        """Return the features of the boxes of all pictures, at least one, in one go.

        Args:
            images: As `normalise` returns them.
            boxes: Of each picture, in pixels of the batch.
        """
        crops = warp_boxes(images, boxes, size=self.warp_size, context=self.context)  # (r, 3, s, s)
        return self.describe_crops(crops)

    def describe_crops(self, crops: Float[Tensor, "r 3 s s"]) -> Float[Tensor, "r d"]:
        """Return the features of normalised crops."""
        maps = self.cnn(crops)
        described: Tensor = maps[max(maps)].mean(dim=(2, 3))
        return described

    def describe(
        self, image: Float[Tensor, "1 3 H W"], boxes: Float[Tensor, "r 4"]
    ) -> Float[Tensor, "r d"]:
        """Return the features of the boxes of one picture, a few boxes at a time."""
        if not len(boxes):
            return image.new_zeros((0, self.num_features))
        return torch.cat([self(image, [lot]) for lot in torch.split(boxes, _CROPS_AT_ONCE)])
