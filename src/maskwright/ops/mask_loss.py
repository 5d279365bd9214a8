"""Which losses masks learn with, as one word of a config: "cross_entropy", "dice+0.5*boundary"."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from maskwright.errors import ConfigError, nearest_name

__all__ = ["MASK_LOSSES", "MaskLoss", "MaskTerm", "mask_loss_names", "parse_mask_loss"]

MASK_LOSSES = ("cross_entropy", "focal", "dice", "lovasz", "boundary")
"""Names of the terms; "bce" and "ce" are short for the first."""

_SHORT = {"bce": "cross_entropy", "ce": "cross_entropy"}


class MaskTerm(NamedTuple):
    """A loss and what it is multiplied by."""

    name: str
    weight: float


def parse_mask_loss(text: str) -> tuple[MaskTerm, ...]:
    """Return the terms of a sum such as "dice+bce" or "cross_entropy+0.5*boundary".

    Raises:
        ConfigError: A name that is none, one that comes twice, a weight that is not above 0, or
            "boundary" alone, which draws nothing.

    >>> parse_mask_loss("dice+0.5*bce")
    (MaskTerm(name='dice', weight=1.0), MaskTerm(name='cross_entropy', weight=0.5))
    """
    terms = [_term(piece.strip(), text) for piece in text.split("+")]
    names = [term.name for term in terms]
    if len(set(names)) < len(names):
        raise ConfigError(f"mask_loss names a loss twice: {text!r}; give it a weight instead")
    if names == ["boundary"]:
        raise ConfigError(
            "mask_loss 'boundary' alone is content with empty masks: add another, such as "
            "'dice+boundary'"
        )
    return tuple(terms)


def mask_loss_names(text: str) -> tuple[str, ...]:
    """Return the names under which a head reports the terms: "mask" for one alone.

    >>> mask_loss_names("cross_entropy"), mask_loss_names("dice+bce")
    (('mask',), ('mask_dice', 'mask_cross_entropy'))
    """
    terms = parse_mask_loss(text)
    if len(terms) == 1:
        return ("mask",)
    return tuple(f"mask_{term.name}" for term in terms)


def _term(piece: str, text: str) -> MaskTerm:
    weight, times, name = piece.rpartition("*")
    name = name.strip()
    name = _SHORT.get(name, name)
    if name not in MASK_LOSSES:
        raise ConfigError(
            f"mask_loss {text!r} names {name!r}.{nearest_name(name, (*_SHORT, *MASK_LOSSES))} "
            f"There are: {', '.join(MASK_LOSSES)}; several are added up, as in 'dice+bce' or "
            "'cross_entropy+0.5*boundary'"
        )
    if not times:
        return MaskTerm(name, 1.0)
    try:
        value = float(weight)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"mask_loss {text!r}: {weight!r} is not a weight above 0")
    return MaskTerm(name, value)


def _checked(text: str) -> str:
    """The text itself, once it can be read; for pydantic a ConfigError is a ValueError."""
    parse_mask_loss(text)
    return text


MaskLoss = Annotated[str, AfterValidator(_checked)]
"""A sum of names of `MASK_LOSSES`, each with a weight before it or none."""
