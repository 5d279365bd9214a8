from __future__ import annotations

from pathlib import Path

import pytest
import torch

from maskwright.training import available_cpus, choose_num_threads, choose_precision
from maskwright.training.precision import _cgroup_quota


def test_bf16_is_chosen_on_a_processor_only_with_instructions_for_it() -> None:
    has_bf16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    assert choose_precision("cpu") == ("bf16" if has_bf16 else "fp32")
    assert choose_precision("meta") == "fp32"


def test_threads_are_no_more_than_the_processors_granted() -> None:
    assert 1 <= choose_num_threads() <= available_cpus()
    assert choose_num_threads() <= torch.get_num_threads()


@pytest.mark.parametrize(
    ("text", "wanted"), [("150000 100000\n", 1.5), ("max 100000\n", None), (None, None)]
)
def test_the_quota_of_a_container_is_read(
    tmp_path: Path, text: str | None, wanted: float | None
) -> None:
    path = tmp_path / "cpu.max"
    if text is not None:
        path.write_text(text)
    assert _cgroup_quota(path) == wanted
