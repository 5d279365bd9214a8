"""How much memory a prediction takes, measured in a process of its own.

    python -m maskwright.inference.peak_memory MODEL DEVICE PICTURE...

prints {"libraries": bytes, "peak": bytes}: the largest resident memory once PyTorch and maskwright
are imported, and after the model was loaded and has predicted on every picture, file to masks.
Memory of a GPU is not in it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskwright.errors import MaskwrightError

__all__ = ["PeakMemory", "own_peak", "peak_memory"]


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Largest resident memory of a process that predicts, in bytes.

    Args:
        libraries: After imports, before the model was loaded.
        peak: After the last prediction; includes the libraries.
    """

    libraries: int
    peak: int


def peak_memory(
    model: str | Path, pictures: Sequence[str | Path], *, device: str = "cpu"
) -> PeakMemory | None:
    """Predict on pictures in a fresh process and return the most memory it held.

    Args:
        model: A model file.
        pictures: Picture files, predicted one by one.
        device: Where the model runs.

    Returns:
        None where the operating system does not tell (Windows).

    Raises:
        MaskwrightError: The process failed; the message ends with its last words.
    """
    if sys.platform == "win32":
        return None
    names = [str(model), device, *map(str, pictures)]
    done = subprocess.run(
        [sys.executable, "-m", "maskwright.inference.peak_memory", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise MaskwrightError(
            f"the process that measures the memory of {model} ended with code "
            f"{done.returncode}: {last}"
        )
    return PeakMemory(**json.loads(done.stdout))


def own_peak() -> int:
    """Return the largest resident memory of this process so far, in bytes.

    Linux's `getrusage` is not asked: there the figure of a new process begins with the peak of the
    process that started it (the kernel's exec keeps it), and after a training that is the larger
    one. VmHWM begins anew.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _measure(model: str, device: str, *pictures: str) -> dict[str, int]:
    from maskwright.inference import load
    from maskwright.model import load_checkpoint  # noqa: F401  # what `load` imports when called

    libraries = own_peak()
    predictor = load(model, device=device)
    for picture in pictures:
        predictor.predict(picture)
    return {"libraries": libraries, "peak": own_peak()}


if __name__ == "__main__":
    print(json.dumps(_measure(*sys.argv[1:])))  # noqa: T201
