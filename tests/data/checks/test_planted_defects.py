"""Defects of every sort planted in clean pictures: are they named, and is nothing else?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from maskwright.data import Diagnosis, check_dataset, open_dataset, write_fixed
from maskwright.data.checks import CHECKS
from planting.planter import Planter, score
from planting.plants import GROUP_PATTERN, PLANTS, SINGLE

_NEEDS_A_BROKEN_FILE = {"annotations-unreadable"}
# Found by how alike pictures look: how many of the altered copies is measured, not promised.
_A_MATTER_OF_DEGREE = {"near-duplicate-within", "near-duplicate-across"}

Parts = tuple[list[dict[str, Any]], Path]


def _write(parts: Parts, folder: Path) -> list[Path]:
    files = []
    for number, content in enumerate(parts[0]):
        files.append(folder / f"part{number}.json")
        files[-1].write_text(json.dumps(content))
    return files


@pytest.fixture(scope="module")
def clean(clean_parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    files = _write(clean_parts, tmp_path_factory.mktemp("annotations"))
    return check_dataset(*files, images=clean_parts[1], group_pattern=GROUP_PATTERN)


@pytest.fixture(scope="module")
def planter(clean_parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Planter:
    contents, images = clean_parts
    folder = tmp_path_factory.mktemp("spoilt")
    planter = Planter(contents, [images, images], folder, seed=1)
    for plant in [*PLANTS.values()] * 2 + [*SINGLE.values()]:
        plant(planter)
    planter.write()
    return planter


@pytest.fixture(scope="module")
def spoilt(planter: Planter) -> Diagnosis:
    files = [planter.folder / "train.json", planter.folder / "val.json"]
    return check_dataset(*files, group_pattern=GROUP_PATTERN)


def test_clean_data_are_called_clean(clean: Diagnosis) -> None:
    assert clean.results == ()
    assert clean.is_well(strict=True)


def test_every_check_has_a_plant(planter: Planter) -> None:
    named = {check.name for check in CHECKS} - _NEEDS_A_BROKEN_FILE
    assert {one.check for one in planter.expected} == named


def test_every_planted_defect_is_named(
    clean: Diagnosis, spoilt: Diagnosis, planter: Planter
) -> None:
    scores = score(clean, spoilt, planter, [check.name for check in CHECKS])
    missed = {
        check: f"{one.found} of {one.planted}"
        for check, one in scores.items()
        if one.found < one.planted and check not in _A_MATTER_OF_DEGREE
    }
    assert missed == {}
    assert sum(scores[check].found for check in _A_MATTER_OF_DEGREE) >= 2


def test_nothing_is_named_that_was_not_planted(
    clean: Diagnosis, spoilt: Diagnosis, planter: Planter
) -> None:
    scores = score(clean, spoilt, planter, [check.name for check in CHECKS])
    # Exchanged points cut a shape in pieces, some of one pixel: named for what they are.
    consequences = {"object-crumbs", "object-sliver"}
    strange = {
        check: one.strange
        for check, one in scores.items()
        if one.strange and check not in consequences
    }
    assert strange == {}


def test_a_mended_copy_has_none_of_the_defects_that_can_be_mended(
    spoilt: Diagnosis, planter: Planter, tmp_path: Path
) -> None:
    before = sorted(path.read_bytes() for path in planter.folder.glob("*.json"))
    report = write_fixed(spoilt, tmp_path / "mended")
    assert sorted(path.read_bytes() for path in planter.folder.glob("*.json")) == before
    assert report.num_dropped > 0
    parts = [tmp_path / "mended" / name for name in ("train", "val")]
    again = check_dataset(*parts, group_pattern=GROUP_PATTERN)
    left = {one.check.name for one in again.results if one.num_fixable}
    assert left == set()
    errors = {one.check.name for one in again.results if one.check.severity == "error"}
    assert errors <= {"bit-depth-wrong", "group-across", "classes-differ"}


def test_a_mended_copy_opens_for_training(spoilt: Diagnosis, tmp_path: Path) -> None:
    report = write_fixed(spoilt, tmp_path / "mended")
    opened = [open_dataset(tmp_path / "mended" / name) for name in ("train", "val")]
    assert sum(map(len, opened)) == report.num_images
    assert sum(len(one.labels) for one in opened) == report.num_objects
    assert all(one.report.num_dropped == 0 for one in opened)


@pytest.mark.shared_data
def test_planted_in_nuclei_defects_are_named_and_few_others(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "nuclei"
    contents = [json.loads((folder / f"{name}.json").read_text()) for name in ("train", "val")]
    for content, most in zip(contents, (90, 40), strict=True):  # a part, to take seconds
        content["images"] = content["images"][:most]
        kept = {image["id"] for image in content["images"]}
        content["annotations"] = [one for one in content["annotations"] if one["image_id"] in kept]
    files = _write((contents, folder), tmp_path)
    images = folder / "images"
    skip = ["picture-unlisted"]
    clean = check_dataset(*files, images=images, group_pattern=GROUP_PATTERN, skip=skip)
    assert clean.count("error") == 0
    planter = Planter(contents, [images, images], tmp_path / "spoilt", seed=0)
    for plant in [*PLANTS.values(), *SINGLE.values()]:
        plant(planter)
    spoilt = check_dataset(*planter.write(), group_pattern=GROUP_PATTERN)
    scores = score(clean, spoilt, planter, [check.name for check in CHECKS])
    missed = [check for check, one in scores.items() if one.found < one.planted]
    assert set(missed) <= _A_MATTER_OF_DEGREE
    assert sum(one.planted > 0 for one in scores.values()) >= 40
    assert sum(one.false_alarms for one in scores.values()) <= 5
