"""Time `make demo` and `make test` from a fresh clone.

    python benchmarks/commands.py

Clones the repository into a temporary folder, times the set-up once and each command after it,
and writes benchmarks/measured/commands.json, from which `benchmarks/write_results.py` makes its
table.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

from training import MEASURED, machine

PROJECT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Clone, set up, run both commands, and write what was measured."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "maskwright"
        subprocess.run(["git", "clone", "--quiet", PROJECT, clone], check=True)
        setup_seconds, _ = timed(clone, "setup")
        rows = []
        for target in ("demo", "test"):
            seconds, output = timed(clone, target)
            rows.append(
                {
                    "command": f"make {target}",
                    "seconds": setup_seconds + seconds,
                    "setup_seconds": setup_seconds,
                    "outcome": outcome(output),
                }
            )
    report = {"commands": rows, "machine": machine()}
    (MEASURED / "commands.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(rows, indent=1))


def timed(clone: Path, target: str) -> tuple[float, str]:
    """Run a target; return its seconds and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(["make", target], cwd=clone, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"make {target} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return time.perf_counter() - start, done.stdout


def outcome(output: str) -> str:
    """Return the line that says how it went."""
    lines = re.findall(r".*(?:coins found|passed).*", output)
    return lines[-1].strip(" =.") if lines else ""


if __name__ == "__main__":
    main()
