"""The package as a user first meets it: imports, names, start-up time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import maskwright


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_maskwright_loads_nothing_heavy() -> None:
    code = (
        "import sys, maskwright; "
        "print([m for m in ('torch', 'numpy', 'numba', 'cv2', 'pandas') if m in sys.modules])"
    )
    assert _python(code).strip() == "[]"


def test_the_help_loads_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['maskwright', '--help']\n"
        "from maskwright.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    )
    output = _python(code)
    assert "train" in output
    assert output.strip().endswith("[]")


@pytest.mark.parametrize("arguments", [["-c", "import maskwright"], ["-m", "maskwright", "--help"]])
def test_start_up_takes_under_a_third_of_a_second(arguments: list[str]) -> None:
    def seconds() -> float:
        # Processor time: the wall clock would also count the tests beside this one.
        before = os.times()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = os.times()
        return (
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )

    assert min(seconds() for _ in range(5)) < 0.3


def test_every_public_name_can_be_loaded() -> None:
    for name in maskwright.__all__:
        assert getattr(maskwright, name) is not None
    assert maskwright.__all__ == sorted(maskwright.__all__)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match="Did you mean 'Masks'"):
        _ = maskwright.Mask
