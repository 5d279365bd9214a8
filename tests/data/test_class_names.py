"""Names, not ids: what a class is called decides, whatever number a file gives it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskwright.data import open_annotations, open_dataset
from maskwright.errors import AnnotationError

_Content = dict[str, Any]


def _with_ids(content: _Content, new_ids: dict[int, int]) -> _Content:
    categories = [entry | {"id": new_ids[entry["id"]]} for entry in content["categories"]]
    annotations = [
        entry | {"category_id": new_ids[entry["category_id"]]} for entry in content["annotations"]
    ]
    return content | {"categories": categories, "annotations": annotations}


@pytest.mark.parametrize(
    "new_ids",
    [{4: 0, 90: 1}, {4: 1, 90: 2}, {4: 2, 90: 1}, {4: 77, 90: 5}, {4: 1000, 90: 0}],
    ids=["from 0", "from 1", "another order", "sparse", "sparse with 0"],
)
def test_objects_keep_their_names_whatever_the_ids(
    content: _Content,
    write: Callable[[_Content], Path],
    new_ids: dict[int, int],
) -> None:
    before = open_dataset(write(content))
    after = open_dataset(write(_with_ids(content, new_ids)))
    names = [[data.class_names[k] for k in data.labels.tolist()] for data in (before, after)]
    assert names[0] == names[1] == ["apple", "zebra", "apple"]
    assert after.category_ids == tuple(sorted(new_ids.values()))
    same = after.with_classes(before.class_names, before.category_ids)
    assert same.to_coco() == before.to_coco()


def test_all_clashes_of_ids_and_names_are_listed(
    content: _Content, write: Callable[[_Content], Path]
) -> None:
    content["categories"] += [{"id": 4, "name": "pear"}, {"id": 90, "name": "plum"}]
    with pytest.raises(
        AnnotationError, match=r"4 \('apple' and 'pear'\), 90 \('zebra' and 'plum'\); give each"
    ):
        open_annotations(write(content))
    content["categories"][2:] = [{"id": 5, "name": "apple"}, {"id": 6, "name": "zebra"}]
    with pytest.raises(AnnotationError, match="names used twice: apple, zebra; merge or rename"):
        open_annotations(write(content))


def test_classes_that_are_not_known_are_all_listed(
    content: _Content, write: Callable[[_Content], Path]
) -> None:
    dataset = open_annotations(write(content))
    message = r"'apple' \(2 objects\), 'zebra' \(1 objects\); known: aple, dog.*mean 'aple'"
    with pytest.raises(AnnotationError, match=message):
        dataset.with_classes(["aple", "dog"])


def test_a_class_without_objects_may_be_missing(
    content: _Content, write: Callable[[_Content], Path]
) -> None:
    dataset = open_annotations(write(content))
    only_apples = dataset.subset([0]).with_classes(["apple"])
    assert only_apples.labels.tolist() == [0]
    assert only_apples.targets(0).names == ["apple"]
    nothing = dataset.subset([]).with_classes(["dog"])
    assert len(nothing.labels) == 0


def test_classes_that_the_data_lacks_get_ids_of_their_own(
    content: _Content, write: Callable[[_Content], Path]
) -> None:
    dataset = open_annotations(write(content)).with_classes(["dog", "zebra", "cat", "apple"])
    assert dataset.category_ids == (91, 90, 92, 4)
    assert [dataset.class_names[k] for k in dataset.labels] == ["apple", "zebra", "apple"]


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.permutations(["apple", "zebra", "cat", "dog"]))
def test_there_and_back_is_the_same(
    content: _Content, write: Callable[[_Content], Path], order: list[str]
) -> None:
    dataset = open_annotations(write(content))
    back = dataset.with_classes(order).with_classes(dataset.class_names)
    assert back.to_coco() == dataset.to_coco()
