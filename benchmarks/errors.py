"""How long `maskwright errors` takes for 100,000 detections on 5,000 pictures, and its memory.

    python benchmarks/errors.py [--json results.json] [--pictures 5000] [--seed 0]

The pictures are those of `benchmarks/evaluation.py`; no picture is drawn, since there are none.
Figures are of the whole process, reading, tables and plots included. The bar is 60 s and 2 GiB;
the exit code is 1 where it is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evaluation import write_data

SECONDS_BAR, MEMORY_BAR = 60.0, 2048.0  # seconds, MiB


def measure(folder: Path) -> dict[str, float]:
    """Run the command in a process of its own; return seconds and peak MiB."""
    command = [sys.executable, "-m", "maskwright", "errors", "--out", str(folder / "out"), "--json"]
    command += ["--predictions", str(folder / "found.json"), "--data", str(folder / "truth.json")]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"the command failed with status {status}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "mib": round(usage.ru_maxrss / unit),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Time and memory of maskwright errors.")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        num_true, num_found = write_data(Path(name), options.pictures, options.seed)
        print(f"{options.pictures} pictures, {num_true} true objects, {num_found} detections")
        one = measure(Path(name))
    print(
        f"errors {one['seconds']:6.1f} s, {one['processor_seconds']:6.1f} s of processor time, "
        f"{one['mib']:6} MiB"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(one, indent=1) + "\n")
    return int(one["seconds"] > SECONDS_BAR or one["mib"] > MEMORY_BAR)


if __name__ == "__main__":
    sys.exit(main())
