from __future__ import annotations

import json
import subprocess
import sys

import pytest

from maskwright import kept_memory

_FAULTS = """
import json, resource, sys
import numpy as np
from maskwright.kept_memory import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(16_000_000)  # 128 MB: above every threshold that glibc chooses by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

done = keep_memory() if sys.argv[1] == "keep" else False
faults()
print(json.dumps([done, faults()]))
"""


def _page_faults(word: str, **environment: str) -> tuple[bool, int]:
    import os

    command = [sys.executable, "-c", _FAULTS, word]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **environment}
    )
    kept, faults = json.loads(done.stdout)
    return kept, faults


@pytest.mark.skipif(not kept_memory._is_glibc(), reason="nothing to do without glibc")
def test_freed_memory_stays_with_the_process() -> None:
    untouched, many = _page_faults("leave")
    kept, few = _page_faults("keep")
    assert (untouched, kept) == (False, True)
    assert few < many / 10


def test_nothing_is_done_where_it_is_forbidden_or_the_library_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASKWRIGHT_KEEP_MEMORY", "0")
    assert kept_memory.keep_memory() is False
    monkeypatch.delenv("MASKWRIGHT_KEEP_MEMORY")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert kept_memory.keep_memory() is False
