"""torchvision's network of a model's architecture has the model's weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from maskwright.backbones import FPN
from maskwright.errors import ConfigError
from maskwright.model import InstanceSegmenter
from maskwright.model.torchvision_rcnn import RCNN_MODELS
from maskwright.model.torchvision_ssd import SSD_MODELS
from maskwright.recipes.benchmark.peers import torchvision_network
from maskwright.recipes.benchmark.random_models import finding_objects
from maskwright.recipes.benchmark.twin import twin_name, twin_options, twin_state

_KNOWN = RCNN_MODELS | SSD_MODELS


@pytest.mark.parametrize("name", sorted(_KNOWN))
def test_every_tensor_of_torchvisions_network_has_a_place_in_ours(name: str) -> None:
    """On no device: names and shapes alone, so that the large ones cost nothing."""
    with torch.device("meta"):
        ours = InstanceSegmenter(_KNOWN[name].config, ("a", "b", "c"))
        assert twin_name(ours) == name
        options = twin_options(ours, name)
        theirs = torchvision_network({"network": name, "options": options}).state_dict()
    state = twin_state(ours, name, options)
    assert {key: each.shape for key, each in state.items()} == {
        key: each.shape for key, each in theirs.items()
    }


def test_the_twin_finds_what_the_model_finds() -> None:
    name = "ssdlite320_mobilenet_v3_large"
    torch.manual_seed(0)
    config = _KNOWN[name].config
    image = torch.randint(0, 256, (120, 160, 3), dtype=torch.uint8)
    ours = finding_objects(InstanceSegmenter(config, ("a", "b")), image.numpy(), 20)
    assert isinstance(ours, InstanceSegmenter)
    options = twin_options(ours, name)
    theirs = torchvision_network({"network": name, "options": options})
    theirs.load_state_dict(twin_state(ours, name, options))
    (found,) = ours.predict(ours.collate([image.numpy()]))
    with torch.inference_mode():
        (expected,) = theirs([image.permute(2, 0, 1) / 255])
    assert len(found) == len(expected["boxes"]) > 0
    assert found.scores is not None
    torch.testing.assert_close(found.scores, expected["scores"], atol=1e-4, rtol=0)
    # equal scores may stand in another order
    nearest = torch.cdist(found.boxes, expected["boxes"], p=float("inf")).min(dim=1)
    assert float(nearest.values.max()) < 1e-2
    assert torch.equal(found.labels + 1, expected["labels"][nearest.indices])


def test_options_that_torchvision_takes_do_not_make_another_architecture() -> None:
    config = InstanceSegmenter.Config(short_side=320, long_side=640)
    with torch.device("meta"):
        ours = InstanceSegmenter(config, ("a",))
        assert twin_name(ours) == "maskrcnn_resnet50_fpn"
        assert twin_options(ours, "maskrcnn_resnet50_fpn") == {
            "num_classes": 2,
            "min_size": 320,
            "max_size": 640,
            "box_score_thresh": 0.05,
            "box_nms_thresh": 0.5,
            "box_detections_per_img": 100,
        }
        other = InstanceSegmenter(replace(config, neck=FPN.Config(channels=64)), ("a",))
    with pytest.raises(ConfigError, match=r"no network of this model's architecture.*torchvision:"):
        twin_name(other)
