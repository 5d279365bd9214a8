"""What can go wrong with torchvision's files; that they give equal results is in tests/parity."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import get_model
from torchvision.ops import FrozenBatchNorm2d

from maskwright.errors import CheckpointError, ConfigError
from maskwright.model import load_torchvision, torchvision_names

_V1 = "maskrcnn_resnet50_fpn"


def _state(name: str = _V1, num_classes: int = 91) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = get_model(name, weights=None, weights_backbone=None, num_classes=num_classes)
    return model.state_dict()


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return _state()


def _in_the_official_form(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as in the file of 2019: no ".0" of a block, mask_fcn1 to 4, frozen batch norm."""
    renamed = {}
    for name, value in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        for new, old in [
            *((f"inner_blocks.{i}.0.", f"inner_blocks.{i}.") for i in range(4)),
            *((f"layer_blocks.{i}.0.", f"layer_blocks.{i}.") for i in range(4)),
            ("rpn.head.conv.0.0.", "rpn.head.conv."),
            *(
                (f"roi_heads.mask_head.{i}.0.", f"roi_heads.mask_head.mask_fcn{i + 1}.")
                for i in range(4)
            ),
        ]:
            name = name.replace(new, old)  # noqa: PLW2901
        renamed[name] = value
    return renamed


def test_the_first_form_of_the_official_file_is_read_with_frozen_batch_norm(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(_in_the_official_form(state), tmp_path / "v1.pth")
    old = load_torchvision(_V1, tmp_path / "v1.pth")
    assert isinstance(old.backbone.bn1, FrozenBatchNorm2d)
    assert old.backbone.bn1.eps == 0.0
    save_file(state, tmp_path / "v1.safetensors")
    new = load_torchvision(_V1, tmp_path / "v1.safetensors")
    assert new.backbone.bn1.eps == 1e-5
    values = new.state_dict()
    assert all(torch.equal(value, values[name]) for name, value in old.state_dict().items())


def test_class_names_are_cocos(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"model": state, "epoch": 3}, tmp_path / "training.pth")
    model = load_torchvision(_V1, tmp_path / "training.pth")
    assert len(model.class_names) == 90
    assert model.class_names[0] == "person"
    assert model.class_names[89] == "toothbrush"
    assert model.category_ids == tuple(range(1, 91))
    assert not model.training


def test_files_with_other_classes_need_their_names(tmp_path: Path) -> None:
    torch.save(_state(num_classes=3), tmp_path / "two.pth")
    with pytest.raises(ConfigError, match="has 2 classes, COCO has 90: give class_names"):
        load_torchvision(_V1, tmp_path / "two.pth")
    model = load_torchvision(_V1, tmp_path / "two.pth", class_names=("cat", "dog"))
    assert model.class_names == ("cat", "dog")


def test_files_of_other_models_are_refused(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    with pytest.raises(CheckpointError, match=r"maskrcnn_resnet50_fpn_v2.*is missing"):
        load_torchvision("maskrcnn_resnet50_fpn_v2", path)
    torch.save(state | {"roi_heads.keypoint": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"roi_heads\.keypoint is not part of"):
        load_torchvision(_V1, path)
    torch.save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match=r"no roi_heads\.box_predictor\.cls_score\.bias"):
        load_torchvision(_V1, path)


class _Harmful:
    def __reduce__(self) -> tuple:
        return (print, ("this must not run",))


def test_files_never_run_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "harmful.pth"
    torch.save({"a": _Harmful()}, path)
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        load_torchvision(_V1, path)
    assert "must not run" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"text"])
def test_damaged_files_are_named(tmp_path: Path, content: bytes) -> None:
    for name in ("weights.pth", "weights.safetensors"):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{name} is damaged"):
            load_torchvision(_V1, path)


def test_files_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="not a state dict"):
        load_torchvision(_V1, tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="no weights file"):
        load_torchvision(_V1, tmp_path / "none.pth")


def test_weights_are_fetched_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_connection(*args: object, **kwargs: object) -> None:
        assert kwargs["check_hash"] is True
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_connection)
    for name in torchvision_names():
        with pytest.raises(CheckpointError, match=r"needs weights.*weights='download'.*MB"):
            load_torchvision(name)
        with pytest.raises(CheckpointError, match=f"{name}(_coco)?-.*could not be fetched.*put it"):
            load_torchvision(name, "download")
    with pytest.raises(ConfigError, match="Did you mean 'maskrcnn_resnet50_fpn"):
        load_torchvision("maskrcnn_resnet50fpn")
