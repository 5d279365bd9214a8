"""Every exception maskwright raises on purpose.

    MaskwrightError
    ├── DataError          a picture, an annotation or a dataset is not what it claims to be
    │   ├── ImageError     a picture is missing, truncated or of an unreadable kind
    │   └── AnnotationError  an annotation contradicts its format, its picture or its classes
    ├── MaskError          masks that cannot be built, combined or coded as asked
    ├── ConfigError        an unknown option or a value outside its range
    ├── CheckpointError    a model file is missing, damaged or of another version
    ├── TrainingError      a run cannot start, go on or be resumed
    │   └── OutOfMemoryError  a step needs more memory than there is
    ├── EvaluationError    predictions and truth cannot be held against each other
    └── MissingExtraError  an optional part is needed and not installed (also an ImportError)

One warning: ReducedDepthWarning, where a picture loses values.

A message says what came, what was wanted and how to mend it.
"""

from __future__ import annotations

__all__ = [
    "AnnotationError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "EvaluationError",
    "ImageError",
    "MaskError",
    "MaskwrightError",
    "MissingExtraError",
    "OutOfMemoryError",
    "ReducedDepthWarning",
    "TrainingError",
    "nearest_name",
]


class MaskwrightError(Exception):
    """The root: catch this to catch everything maskwright raises on purpose."""


class DataError(MaskwrightError):
    """A picture, an annotation or a dataset is not what it claims to be."""


class ImageError(DataError):
    """A picture is missing, truncated or of an unreadable kind."""


class AnnotationError(DataError):
    """An annotation contradicts its format, its picture or its classes."""


class ReducedDepthWarning(UserWarning):
    """Values of a picture were cut to 8 bits, for a model or a reader that takes no others."""


class MaskError(MaskwrightError, ValueError):
    """Masks that cannot be built, combined or coded as asked."""


class ConfigError(MaskwrightError, ValueError):
    """An unknown option or a value outside its range."""


class CheckpointError(MaskwrightError):
    """A model file is missing, damaged or of another version."""


class TrainingError(MaskwrightError):
    """A run cannot start, go on or be resumed."""


class OutOfMemoryError(TrainingError):
    """A step needs more memory than there is."""


class EvaluationError(MaskwrightError):
    """Predictions and truth cannot be held against each other."""


class MissingExtraError(MaskwrightError, ImportError):
    """An optional part is needed and not installed.

    Args:
        package: The module that could not be imported.
        extra: The extra of maskwright that brings it.
        purpose: What it was wanted for, to end the sentence "... is needed to".
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{package} is needed to {purpose} and is not installed: "
            f"pip install 'maskwright[{extra}]'"
        )


def nearest_name(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return " Did you mean 'x'?" for the known name nearest to `name`, or "".

    >>> nearest_name("resnet5", ["resnet50", "timm"])
    " Did you mean 'resnet50'?"
    >>> nearest_name("zebra", ["resnet50", "timm"])
    ''
    """
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
