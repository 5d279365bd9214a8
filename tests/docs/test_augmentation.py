"""The adapter of the augmentation page runs as it stands there, against Albumentations."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maskwright as mw
from maskwright.data import Loader
from maskwright.structures import Sample
from maskwright.transforms import AUGMENTATIONS

_PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "augmentation.md"
_TEXT = _PAGE.read_text(encoding="utf-8")
_ADAPTER, _COMPOSE = re.findall(r"```python\n(.*?)```", _TEXT, re.DOTALL)


def _adapter(monkeypatch: pytest.MonkeyPatch, transforms: str | None = None) -> Callable[..., Any]:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    compose = (
        _COMPOSE if transforms is None else re.sub(r"\[.*\]", transforms, _COMPOSE, flags=re.S)
    )
    scope: dict[str, Any] = {}
    exec(compile(compose + _ADAPTER, _PAGE.name, "exec"), scope)
    return scope["adapted"]


def test_the_adapter_of_the_page_is_deterministic(
    discs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted = _adapter(monkeypatch)
    sample = mw.open_dataset(discs).sample(0)
    one, again, other = (adapted(sample, np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.image, again.image)
    assert one.targets.masks == again.targets.masks
    assert (one.image != other.image).any()


def test_a_mirrored_sample_is_ours_mirrored(discs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = _adapter(monkeypatch, "[albumentations.HorizontalFlip(p=1.0)]")
    sample = mw.open_dataset(discs).sample(0)
    mirrored = adapted(sample, np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored.image, sample.image[:, ::-1])
    assert mirrored.targets.masks == sample.targets.masks.flip_horizontal()
    assert mirrored.targets.labels.tolist() == sample.targets.labels.tolist()


def test_objects_that_a_crop_loses_are_said(discs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted = _adapter(monkeypatch, "[albumentations.Crop(0, 0, 8, 8, p=1.0)]")
    dataset = mw.open_dataset(discs)
    sizes = {"short_side": 8, "long_side": 8, "epochs": 1, "shuffle": False}
    with pytest.warns(UserWarning, match=r"loses objects, 2 of 2 in 1\.png"):
        batches = list(Loader(dataset, batch_size=4, before_resize=adapted, **sizes))
    assert len(batches) == 3


def test_boxes_that_filter_labels_are_an_error(
    discs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maskwright.errors import ConfigError
    from maskwright.transforms import with_pixels

    def filtered(sample: Sample, rng: np.random.Generator) -> Sample:
        del rng
        return with_pixels(sample, sample.image, sample.targets.masks.to_dense()[:1])

    sample = mw.open_dataset(discs).sample(0)
    with pytest.raises(ConfigError, match=r"1\.png: 1 masks came back for 2 objects"):
        filtered(sample, np.random.default_rng(0))


def test_the_page_names_every_preset() -> None:
    named = re.findall(r"^\| `(\w+)`", _TEXT, re.MULTILINE)
    assert sorted(named) == sorted(AUGMENTATIONS)
