"""Objects shared out among threads: the same results, and no trouble after a fork."""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
import pytest

from maskwright.masks import Masks, threads


def _pasted(num_objects: int = 600) -> Masks:
    rng = np.random.default_rng(0)
    crops = rng.random((num_objects, 28, 28), dtype=np.float32)
    low = rng.uniform(-20, 180, (num_objects, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 90, (num_objects, 2))], axis=1)
    return Masks.paste(crops, boxes, (200, 200))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_any_number_of_threads_gives_the_same_masks(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "num_threads", lambda: 1)
    alone = _pasted().to_coco()
    monkeypatch.setattr(threads, "num_threads", lambda: count)
    threads._pool.cache_clear()
    assert _pasted().to_coco() == alone


def test_every_object_is_in_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "num_threads", lambda: 3)
    threads._pool.cache_clear()
    for count in (0, 1, 15, 16, 23, 24, 1000):
        parts = threads.in_parts(count, lambda first, last: list(range(first, last)))
        assert [one for part in parts for one in part] == list(range(count))


def _paste_and_leave() -> None:
    sys.exit(0 if len(_pasted()) == 600 else 1)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_pastes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "num_threads", lambda: 2)
    threads._pool.cache_clear()
    _pasted()
    child = multiprocessing.get_context("fork").Process(target=_paste_and_leave)
    child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
