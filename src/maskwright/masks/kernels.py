"""Compiled loops: Numba, loaded at the first call and cached on disk.

Importing Numba costs 0.2 to 0.3 s and compiling a kernel about 0.5 s. So a kernel is compiled
when it is first called, and the machine code is kept beside the source file, or in the user's
cache folder where the package is read-only. Processes may fill the cache at the same time. Other
threads of Python run while a kernel does.

Numba's cache looks at the file of a kernel, not at the files of the kernels it calls. So a kernel
only calls kernels of its own file; otherwise an edit would leave stale machine code behind.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

__all__ = ["inlined", "intrinsic", "kernel"]


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function of arrays and numbers so that Numba compiles it at its first call."""
    return _Lazy(function, _njit)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a small part of a kernel: its code is copied to where it is called.

    A call of another kernel costs up to 50 ns, for it counts references to the arrays it passes;
    that is too much inside a loop over runs.
    """
    return _Lazy(function, _inlined)


def intrinsic(codegen: Callable[..., Any]) -> Callable[..., Any]:
    """Make an operation for kernels from a builder of LLVM code, see `numba.extending`."""
    return _Lazy(codegen, _intrinsic)


class _Lazy:
    """A function that compiles itself, and the kernels it calls, when it is first called."""

    def __init__(
        self, function: Callable[..., Any], build: Callable[[Callable[..., Any]], Any]
    ) -> None:
        update_wrapper(self, function)
        self._function = function
        self._build = build
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        return (self._compiled or self._compile())(*arguments)

    def _compile(self) -> Callable[..., Any]:
        if self._compiled is None:
            # Numba looks called names up in the globals and only understands its own objects.
            scope = self._function.__globals__
            for name in self._function.__code__.co_names:
                if isinstance(scope.get(name), _Lazy):
                    scope[name] = scope[name]._compile()
            self._compiled = self._build(self._function)
        return self._compiled


def _njit(function: Callable[..., Any]) -> Any:
    from numba import njit

    try:
        return njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError as error:  # no folder that can be written to
        warnings.warn(
            f"compiled mask code cannot be kept and is compiled anew in every process ({error}): "
            "set NUMBA_CACHE_DIR to a folder that can be written to",
            RuntimeWarning,
            stacklevel=2,
        )
        return njit(error_model="numpy", nogil=True)(function)


def _inlined(function: Callable[..., Any]) -> Any:
    from numba import njit

    return njit(error_model="numpy", inline="always")(function)


def _intrinsic(codegen: Callable[..., Any]) -> Any:
    from numba.extending import intrinsic as numba_intrinsic

    return numba_intrinsic(codegen)
