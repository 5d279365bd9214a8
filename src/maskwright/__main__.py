"""The entry point of `maskwright` and `python -m maskwright`."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and leave with its exit code."""
    from maskwright.cli.app import run
    from maskwright.kept_memory import keep_memory

    keep_memory()  # this process is ours, so what it holds is too
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
