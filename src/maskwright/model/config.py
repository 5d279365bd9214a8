"""Configs as JSON and back, and changes to them by dotted names.

A config is a frozen dataclass of numbers, words, tuples and further configs. Where one of several
configs may stand (`BackboneConfig`), its field `kind` says which. pydantic checks the values.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from maskwright.errors import ConfigError, nearest_name

__all__ = ["apply_overrides", "config_from_dict", "config_to_dict"]

_Config = TypeVar("_Config")


def config_to_dict(config: Any) -> dict[str, Any]:
    """Return the config as plain dictionaries, fit for `json.dumps`.

    >>> from maskwright.backbones import FPN
    >>> config_to_dict(FPN.Config(channels=64))
    {'channels': 64, 'norm': None, 'extra_levels': 1}
    """
    plain: dict[str, Any] = dataclasses.asdict(config)
    return plain


def config_from_dict(config_class: type[_Config], data: Mapping[str, Any]) -> _Config:
    """Return the config that the dictionaries describe; fields left out have their defaults.

    Raises:
        ConfigError: An unknown field or kind, or a value outside its range.

    >>> from maskwright.backbones import FPN
    >>> config_from_dict(FPN.Config, {"channels": 64}).channels
    64
    """
    config: _Config = _build(config_class, data, path="")
    return config


def apply_overrides(config: _Config, overrides: Mapping[str, Any]) -> _Config:
    """Return a copy of the config with values changed by dotted names.

    Dashes stand for underscores. Text is read as its field asks: "0.3", "true", "none", "64,64"
    for a tuple of numbers, JSON for nested ones. Naming another kind, by "detector.kind" or by
    "detector" alone, replaces that part with the kind's defaults, before any other change.

    Args:
        config: A config; it is not changed.
        overrides: Dotted name -> value or its text.

    Raises:
        ConfigError: An unknown name, or a value outside its range.

    >>> from maskwright.detectors import FasterRCNN
    >>> config = apply_overrides(FasterRCNN.Config(), {"rpn.num-convs": "2"})
    >>> config.rpn.num_convs
    2
    """
    data = config_to_dict(config)
    named = {name.replace("-", "_"): value for name, value in overrides.items()}
    kinds_first = sorted(named, key=lambda name: (not _names_a_part(type(config), name), name))
    for name in kinds_first:
        _assign(type(config), data, name.split("."), named[name], name)
    return config_from_dict(type(config), data)


def _build(config_class: Any, data: Any, path: str) -> Any:
    """Build one config and those nested in it; `path` is its dotted name for messages."""
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path or 'the config'} must be a dictionary of options, got {data!r}")
    annotations = _annotations(config_class)
    values = {}
    for name, value in data.items():
        _require_field(annotations, name, f"{path}.{name}" if path else str(name))
        below = f"{path}.{name}" if path else name
        part = _part_class(annotations[name], value, below, default=_default(config_class, name))
        values[name] = value if part is None else _build(part, value, below)
    try:
        return TypeAdapter(config_class).validate_python(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, path)) from error


def _assign(
    config_class: Any, data: dict[str, Any], steps: list[str], value: Any, name: str
) -> None:
    """Set the value at the end of the dotted steps inside nested dictionaries, in place."""
    field, *rest = steps
    annotations = _annotations(config_class)
    _require_field(annotations, field, name)
    parts = _config_classes(annotations[field])
    if not rest:
        value = _parse(value, annotations[field])
        data[field] = {"kind": value} if parts and isinstance(value, str) else value
        return
    if not parts:
        raise ConfigError(f"{name}: {field} is a value and has no options of its own")
    if rest == ["kind"]:
        data[field] = {"kind": value}
        return
    if data[field] is None:
        data[field] = {}
    default = _default(config_class, field)
    below = _part_class(annotations[field], data[field], name, default=default)
    _assign(below, data[field], rest, value, name)


def _names_a_part(config_class: Any, name: str) -> bool:
    """Whether the dotted name is that of a whole part, or of its kind."""
    *steps, last = name.split(".")
    if last == "kind":
        return True
    classes = [config_class]
    for step in steps:
        classes = [
            part for each in classes for part in _config_classes(_annotations(each).get(step))
        ]
    return any(_config_classes(_annotations(each).get(last)) for each in classes)


def _parse(value: Any, annotation: Any) -> Any:
    """Turn text into what the field takes, as far as pydantic would not do it by itself."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    members = _members(annotation)
    if text.lower() in ("null", "none") and type(None) in members:
        return None
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{value!r} begins like JSON and is none: {error}") from error
    if any(typing.get_origin(member) is tuple for member in members):
        return [part for part in (piece.strip() for piece in text.split(",")) if part]
    return text


def _annotations(config_class: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(config_class, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_class)}


def _config_classes(annotation: Any) -> list[Any]:
    """Return the config classes that an annotation allows; [] for a plain value."""
    return [member for member in _members(annotation) if dataclasses.is_dataclass(member)]


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the alternatives of a union; anything else is its own only one."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _default(config_class: Any, name: str) -> Any:
    """Return the default of a field; None where it has none."""
    (field,) = (each for each in dataclasses.fields(config_class) if each.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _part_class(annotation: Any, data: Any, path: str, *, default: Any) -> Any:
    """Return the config class that `data` describes; None where it is a plain value.

    Options without a kind are of the kind that `default`, the field's own, has.
    """
    classes = _config_classes(annotation)
    if not classes or data is None:
        return None
    if len(classes) == 1 and "kind" not in _annotations(classes[0]):
        return classes[0]
    by_kind = {_kind(each): each for each in classes}
    kind = data.get("kind") if isinstance(data, Mapping) else data
    if kind is None and isinstance(data, Mapping) and type(default) in classes:
        return type(default)
    if kind is None and len(classes) == 1:
        return classes[0]
    if kind not in by_kind:
        raise ConfigError(
            f"{path} has no kind {kind!r}; there are {', '.join(by_kind)}."
            f"{nearest_name(str(kind), list(by_kind))}"
        )
    return by_kind[kind]


def _kind(config_class: Any) -> str:
    return str(next(f.default for f in dataclasses.fields(config_class) if f.name == "kind"))


def _require_field(annotations: Mapping[str, Any], field: str, name: str) -> None:
    if field not in annotations:
        near = nearest_name(field, list(annotations)) or f" There are {', '.join(annotations)}."
        raise ConfigError(f"unknown option {name!r}.{near}")


def _explain(error: ValidationError, path: str) -> str:
    """Say each wrong value, with its dotted name and what was wanted."""
    lines = []
    for problem in error.errors(include_url=False):
        name = ".".join([path] * bool(path) + [str(step) for step in problem["loc"]])
        lines.append(f"{name}: {problem['msg']}, got {problem['input']!r}")
    return "; ".join(dict.fromkeys(lines))
