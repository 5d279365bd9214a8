"""Compiled loops: Numba, loaded at the first call and cached on disk.

Importing Numba costs 0.2 to 0.3 s and compiling a kernel about 0.5 s. So a kernel is compiled
when it is first called, and the machine code is kept beside the source file, or in the user's
cache folder where the package is read-only. Processes may fill the cache at the same time.

Numba's cache looks at the file of a kernel, not at the files of the kernels it calls. So a kernel
only calls kernels of its own file; otherwise an edit would leave stale machine code behind.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar, cast

__all__ = ["Intrinsic", "kernel"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Kernel:
    """A function that compiles itself, and the kernels it calls, when it is first called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        update_wrapper(self, function)
        self._function = function
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        return self.compiled()(*arguments)

    def compiled(self) -> Callable[..., Any]:
        if self._compiled is None:
            # Numba looks called names up in the globals and only understands its own objects.
            scope = self._function.__globals__
            for name in self._function.__code__.co_names:
                if isinstance(scope.get(name), _Kernel | Intrinsic):
                    scope[name] = scope[name].compiled()
            self._compiled = _njit(self._function)
        return self._compiled


class Intrinsic:
    """An operation that only kernels can call, given as a builder of LLVM code.

    Args:
        codegen: Called with Numba's typing context and the argument types, as
            `numba.extending.intrinsic` asks for.
    """

    def __init__(self, codegen: Callable[..., Any]) -> None:
        self._codegen = codegen
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        raise TypeError(f"{self._codegen.__name__} can only be called inside a kernel")

    def compiled(self) -> Callable[..., Any]:
        if self._compiled is None:
            from numba.extending import intrinsic

            self._compiled = cast(Callable[..., Any], intrinsic(self._codegen))
        return self._compiled


def kernel(function: _Function) -> _Function:
    """Decorate a function of arrays and numbers so that Numba compiles it at its first call."""
    return cast(_Function, _Kernel(function))


def _njit(function: Callable[..., Any]) -> Callable[..., Any]:
    from numba import njit

    try:
        return cast(Callable[..., Any], njit(cache=True)(function))
    except RuntimeError as error:  # no folder that can be written to
        warnings.warn(
            f"compiled masks code cannot be kept and is compiled anew in every process ({error}): "
            "set NUMBA_CACHE_DIR to a folder that can be written to",
            RuntimeWarning,
            stacklevel=3,
        )
        return cast(Callable[..., Any], njit(function))
