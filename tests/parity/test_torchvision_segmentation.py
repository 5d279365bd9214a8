"""Our FCN and DeepLab against torchvision's, with torchvision's state dicts, on the same pictures.

torchvision is the oracle. Its models are random here (the official weights need a connection),
with batch norm statistics that are not 0 and 1 and scores scaled up until several classes share
the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from maskwright.errors import CheckpointError, ConfigError
from maskwright.model.semantic import SemanticSegmenter
from maskwright.model.torchvision_segmentation import (
    load_torchvision_segmentation,
    torchvision_segmentation_names,
)

_SHORT = 120
_LARGE = "resnet101"
_CLASSES = 21


def _random_model(name: str) -> nn.Module:
    torch.manual_seed(7)
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None, aux_loss=True)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.7, 1.4)
    return model.eval()


def _cells_that_differ(model: nn.Module) -> None:
    """Give every class the same mean score over a picture, so that no class has it all."""
    with torch.no_grad():
        found = model(_network_input(_generated(_SHORT, 160)))["out"][0]
        model.classifier[4].weight /= found.std(dim=(1, 2))[:, None, None, None]
        model.classifier[4].bias.zero_()
        found = model(_network_input(_generated(_SHORT, 160)))["out"][0]
        model.classifier[4].bias -= found.mean(dim=(1, 2))


@pytest.fixture(
    scope="module", params=[name for name in torchvision_segmentation_names() if _LARGE not in name]
)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[nn.Module, SemanticSegmenter]]:
    theirs = _random_model(request.param)
    _cells_that_differ(theirs)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(theirs.state_dict(), path)
    yield (
        theirs,
        load_torchvision_segmentation(request.param, path, overrides={"short_side": _SHORT}),
    )
    path.unlink()


def _generated(height: int, width: int) -> np.ndarray:
    """Smooth coloured blobs with noise, so that neighbouring cells see different things."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3))
    for _ in range(12):
        cy, cx, spread = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(5, 40)
        blob = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * spread**2))
        image += blob[..., None] * rng.uniform(-160, 160, 3)
    return np.clip(image + 110 + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)


def _network_input(image: np.ndarray) -> torch.Tensor:
    """The picture as torchvision's preset normalises it (its transforms: SemanticSegmentation)."""
    pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    return (pixels - mean) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@torch.no_grad()
def _assert_same_map(pair: tuple[nn.Module, SemanticSegmenter], image: np.ndarray) -> None:
    theirs, ours = pair
    logits = theirs(_network_input(image))["out"][0]
    expected = logits.argmax(dim=0).numpy()
    best, second = logits.topk(2, dim=0).values
    is_tie = (best - second < 1e-4).numpy()  # rounding decides there
    (found,) = ours.class_maps(ours.collate([image]))
    assert found.shape == expected.shape == image.shape[:2]
    assert len(np.unique(expected)) > 3, "the comparison says nothing of a map of one class"
    assert is_tie.mean() < 1e-3
    assert ((found == expected) | is_tie).all()


@pytest.mark.parametrize("width", [160, 187])
def test_a_generated_picture_gives_the_same_class_map(
    pair: tuple[nn.Module, SemanticSegmenter], width: int
) -> None:
    _assert_same_map(pair, _generated(_SHORT, width))


@pytest.mark.shared_data
def test_real_pictures_give_the_same_class_maps(
    pair: tuple[nn.Module, SemanticSegmenter], shared_data: Path
) -> None:
    paths = sorted((shared_data / "coco128").rglob("*.jpg"))[:2]
    assert len(paths) == 2
    for path in paths:
        image = Image.open(path).convert("RGB")
        scale = _SHORT / min(image.size)
        size = (max(_SHORT, int(image.width * scale)), max(_SHORT, int(image.height * scale)))
        _assert_same_map(pair, np.asarray(image.resize(size)))


@pytest.mark.parametrize("name", torchvision_segmentation_names())
def test_every_tensor_of_every_model_has_its_place(name: str, tmp_path: Path) -> None:
    from maskwright.model import torchvision_segmentation as module

    with torch.device("meta"):
        theirs = torchvision.models.get_model(
            name, weights=None, weights_backbone=None, aux_loss=True
        ).state_dict()
        ours = SemanticSegmenter(module._CONFIGS[name], [str(i) for i in range(_CLASSES - 1)])
    main = [key for key in theirs if not key.startswith("aux_classifier.")]
    renamed = {module._our_name(key, name): theirs[key].shape for key in main}
    assert renamed == {key: value.shape for key, value in ours.state_dict().items()}
    assert len(renamed) == len(main)


def test_wrong_names_files_and_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fcn_resnet51.*Did you mean 'fcn_resnet50'"):
        load_torchvision_segmentation("fcn_resnet51", "download")
    with pytest.raises(CheckpointError, match=r"needs weights: .*135 MB"):
        load_torchvision_segmentation("fcn_resnet50")
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"not a state dict of torchvision's fcn_resnet50"):
        load_torchvision_segmentation("fcn_resnet50", tmp_path / "other.pth")
    torch.save({"classifier.4.bias": torch.zeros(4)}, tmp_path / "three.pth")
    with pytest.raises(ConfigError, match=r"three.pth has 3 classes, Pascal VOC has 20"):
        load_torchvision_segmentation("fcn_resnet50", tmp_path / "three.pth")
    torch.save({"classifier.4.bias": torch.zeros(3)}, tmp_path / "two.pth")
    with pytest.raises(CheckpointError, match=r"two.pth, read as .* is missing"):
        load_torchvision_segmentation(
            "fcn_resnet50", tmp_path / "two.pth", class_names=["one", "two"]
        )
