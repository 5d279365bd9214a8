"""torchvision's network of a model's architecture has the model's weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from maskwright.backbones import FPN
from maskwright.errors import ConfigError
from maskwright.model import InstanceSegmenter, load_torchvision
from maskwright.model.torchvision_rcnn import RCNN_MODELS
from maskwright.model.torchvision_ssd import SSD_MODELS
from maskwright.recipes.benchmark.peers import torchvision_network
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


@pytest.mark.parametrize(
    "name", ["ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn"]
)
def test_weights_that_came_from_torchvision_go_back_as_they_were(name: str, tmp_path: Path) -> None:
    """That ours computes the same with them is tested in tests/parity."""
    torch.manual_seed(0)
    options = {"num_classes": 4}
    given = torchvision_network({"network": name, "options": options}).state_dict()
    torch.save(given, tmp_path / "given.pth")
    ours = load_torchvision(name, tmp_path / "given.pth", class_names=("a", "b", "c"))
    state = twin_state(ours, name, options)
    assert list(state) == list(given)
    for key, wanted in given.items():
        # the regressor's rows for the background, which nothing reads
        unread = 4 if key.startswith("roi_heads.box_predictor.bbox_pred") else 0
        if unread:
            assert not state[key][:unread].any()
            assert torch.equal(state[key][unread:], wanted[unread:])
        else:
            assert torch.equal(state[key], wanted), key


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
