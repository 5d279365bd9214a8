"""What is known of a torchvision model, so that its weights can be read into ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from maskwright.model.segmenter import InstanceSegmenter

__all__ = ["TorchvisionModel"]


@dataclass(frozen=True, kw_only=True)
class TorchvisionModel:
    """Our config of a torchvision model, and where each of its tensors belongs.

    Args:
        config: Parts and options with which ours computes the same.
        renamed: Patterns of torchvision's names of tensors, and our names for their matches; the
            first that matches counts.
        classifier: Name of the bias that has one value per class, background among them,
        boxes_per_cell: and per box, of which there are so many.
        background_rows: Rows that torchvision spends on the background and nothing reads, by our
            name of the layer.
        frozen_eps: Added to the variance by files with frozen batch norm; None where no such
            files are known.
    """

    config: InstanceSegmenter.Config
    renamed: tuple[tuple[str, str], ...]
    classifier: str
    boxes_per_cell: int = 1
    background_rows: Mapping[str, int] = field(default_factory=dict)
    frozen_eps: float | None = None

    def our_name(self, theirs: str) -> str | None:
        """Return our name of a tensor; None for one that is not part of the model."""
        for pattern, replacement in self.renamed:
            match = re.fullmatch(pattern, theirs)
            if match:
                return match.expand(replacement)
        return None

    def our_tensor(self, ours: str, tensor: Tensor) -> Tensor:
        """Return a tensor without the rows that we do not have."""
        rows = self.background_rows.get(ours.rpartition(".")[0], 0)
        return tensor[rows:] if rows else tensor

    def num_classes(self, state: Mapping[str, Tensor]) -> int:
        """Return the number of classes of a state dict that has the classifier."""
        return len(state[self.classifier]) // self.boxes_per_cell - 1
