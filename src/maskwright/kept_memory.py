"""Keeping memory that was given back: the next picture then finds its pages where they were.

glibc hands large blocks straight back to the kernel when they are freed, and the kernel fills new
ones with zeros, page by page: half a million page faults for a picture of 800 x 1088 in a Mask
R-CNN. Nothing of the results changes.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["keep_memory"]

# <malloc.h> of glibc
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4

_TRIM_THRESHOLD = 2**31 - 1
_TOP_PAD = 64 * 2**20
"""The heap grows by so many bytes more than were asked for."""


def keep_memory() -> bool:
    """Let this process keep the memory it has once used, which makes prediction faster.

    For processes that predict picture after picture; the command line does it. The price: what the
    process holds stays at its highest point, about the activations of the largest batch (1 GB for
    a Mask R-CNN with ResNet-50 at 800 x 1088), until it ends, and cannot be undone. The
    environment variable MASKWRIGHT_KEEP_MEMORY=0 prevents it.

    Returns:
        Whether anything was done: nothing is where the C library is not glibc.
    """
    if os.environ.get("MASKWRIGHT_KEEP_MEMORY") == "0" or not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    options = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _TRIM_THRESHOLD), (_M_TOP_PAD, _TOP_PAD))
    done = [bool(mallopt(name, value)) for name, value in options]
    return all(done)


def _is_glibc() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") is not None
    except (ValueError, OSError):  # musl does not know the name
        return False
