"""What pruning takes away, what it leaves, and what runs it afterwards."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from contracts.exactness import require_same
from contracts.tiny_models import picture_with_objects, soft_pictures, tiny_model
from maskwright.errors import ConfigError
from maskwright.inference.engine import make_engine
from maskwright.model import InstanceSegmenter, load_checkpoint, save_checkpoint
from maskwright.model.lively import make_lively
from maskwright.recipes.compression import Pruned, prune
from maskwright.recipes.compression.arithmetic import Workload, measure_multiply_adds
from maskwright.recipes.compression.channel_groups import find_channel_groups
from maskwright.recipes.compression.importance import measure_importance
from maskwright.structures import Batch, Losses

pytest.importorskip("torch_pruning")

_WORK = Workload(size=(128, 160), proposals=60, objects=5)


def _batches() -> list[Batch]:
    return [picture_with_objects()]


def _pruned(detector: str, head: str, target: float = 1.5) -> Pruned:
    model = tiny_model(detector, head).requires_grad_(True)
    return prune(model, target, _batches, _WORK)


@pytest.mark.parametrize(
    ("detector", "head"),
    [("faster_rcnn", "mask_rcnn"), ("yolo", "prototypes"), ("ssd", "deeplab")],
)
def test_a_pruned_model_reaches_its_target_and_every_runtime_runs_it(
    detector: str, head: str, tmp_path: Path
) -> None:
    before = tiny_model(detector, head)
    pruned = _pruned(detector, head)
    assert pruned.before == measure_multiply_adds(before, _WORK)
    assert 1.5 <= pruned.factor < 1.7
    assert pruned.channels_after < pruned.channels_before
    model = pruned.model
    assert isinstance(model, InstanceSegmenter)
    make_lively(model, soft_pictures()[0])
    save_checkpoint(model, tmp_path / "pruned.safetensors")
    again = load_checkpoint(tmp_path / "pruned.safetensors")
    assert measure_multiply_adds(again, _WORK) == pruned.after
    batch = model.collate(soft_pictures())
    wanted = model.predict(batch)
    assert sum(len(each) for each in wanted)
    for one, other in zip(again.predict(batch), wanted, strict=True):
        assert torch.equal(one.boxes, other.boxes)
    require_same(make_engine(again).predict(batch), wanted)


@pytest.mark.slow
def test_a_pruned_model_is_exported_like_any_other(tmp_path: Path) -> None:
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    from maskwright.inference.export.runtime import load_exported
    from maskwright.inference.export.writing import write_exported

    model = _pruned("ssd", "mask_rcnn").model
    make_lively(model, soft_pictures()[0])
    write_exported(model, tmp_path, "onnx")
    exported = load_exported(tmp_path)
    assert exported.header.model == model.config
    batch = model.collate(soft_pictures())
    require_same(exported.predict(batch), model.predict(batch))


def test_the_given_model_stays_as_it_was() -> None:
    model = tiny_model("ssd", "fcn").requires_grad_(True)
    before = copy.deepcopy(model.state_dict())
    prune(model, 1.2, _batches, _WORK)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_importance_is_the_square_of_the_slope_of_each_loss_by_the_loss() -> None:
    model = tiny_model("ssd", "fcn").requires_grad_(True)
    groups = find_channel_groups(model, _WORK.size)
    group = next(each for each in groups if "neck.layer_blocks.1.0" in each.writers)
    (importance,) = measure_importance(model, [group], _batches())
    step = 1e-2

    def losses(scale: float, channel: int) -> torch.Tensor:
        changed = copy.deepcopy(model)
        layers = dict(changed.named_modules())
        for reader in group.readers:
            pairs = zip(reader.inputs, reader.channels, strict=True)
            mine = [i for i, c in pairs if c == channel]
            layers[reader.name].weight.data[:, mine] *= scale
        with torch.no_grad():
            return torch.stack(list(changed(picture_with_objects()).values()))

    assert len(group.readers) > 1
    for channel in importance.topk(3).indices.tolist():
        slopes = (losses(1 + step, channel) - losses(1 - step, channel)) / (2 * step)
        expected = (slopes / losses(1.0, channel)).square().sum()
        assert float(importance[channel]) == pytest.approx(float(expected), rel=0.1)


def test_a_mask_loss_on_a_small_scale_counts_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("ssd", "fcn").requires_grad_(True)
    groups = find_channel_groups(model, _WORK.size)
    wanted = measure_importance(model, groups, _batches())
    own = type(model.mask_head).loss

    def smaller(*arguments: Any) -> Losses:
        return {name: 1e-3 * loss for name, loss in own(*arguments).items()}

    monkeypatch.setattr(type(model.mask_head), "loss", smaller)
    for one, other in zip(measure_importance(model, groups, _batches()), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-10)


def test_pictures_without_objects_leave_importances_finite() -> None:
    model = tiny_model("ssd", "mask_rcnn").requires_grad_(True)
    groups = find_channel_groups(model, _WORK.size)
    batch = picture_with_objects()
    assert batch.targets is not None
    empty = replace(batch, targets=tuple(each[:0] for each in batch.targets))
    assert all(each.isfinite().all() for each in measure_importance(model, groups, [empty]))
    assert all(not each.any() for each in measure_importance(model, groups, []))


def test_channels_that_nobody_reads_go_first() -> None:
    model = tiny_model("ssd", "none").requires_grad_(True)
    group = next(
        each
        for each in find_channel_groups(model, _WORK.size)
        if "backbone.layer1.0.conv1" in each.writers
    )
    idle = list(range(3, 43))
    for reader in group.readers:
        with torch.no_grad():
            reader.layer.weight[:, idle] = 0.0
    kept = [c for c in range(64) if c not in idle]
    rows = model.backbone.layer1[0].conv1.weight.detach()[kept].clone()
    found = prune(model, 1.03, _batches, _WORK).model.backbone.layer1[0].conv1.weight.detach()
    assert len(found) < 64
    for row in rows:  # each is still there
        assert (found == row).flatten(1).all(dim=1).any()


@pytest.mark.parametrize(
    ("detector", "target", "message"),
    [
        ("rcnn", 2.0, "R-CNN cannot be pruned"),
        ("ssd", 1.0, "above 1"),
        ("ssd", 1000.0, r"cannot be reached.*there are \d+\.\d\d times fewer"),
    ],
)
def test_what_cannot_be_pruned_is_said(detector: str, target: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _pruned(detector, "fcn", target)
