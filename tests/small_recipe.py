"""Options of a network that is small enough to be trained in tests."""

from __future__ import annotations

__all__ = ["SMALL"]

SMALL: dict[str, object] = {
    "model.short_side": 64,
    "model.long_side": 64,
    "model.neck.channels": 16,
    "model.detector.box_head.fc_channels": [32],
    "model.detector.detections_per_image": 10,
    "model.mask_head.conv_channels": [16],
    "model.mask_head.deconv_channels": 16,
    "batch_size": 2,
    "num_workers": 0,
    "evaluations": 1,
}
