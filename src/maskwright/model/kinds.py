"""The kinds of model: what a model file may hold and a recipe may train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from maskwright.errors import ConfigError, nearest_name
from maskwright.model.config import config_from_dict
from maskwright.model.segmenter import InstanceSegmenter
from maskwright.model.semantic import SemanticSegmenter

__all__ = ["Model", "ModelConfig", "model_config_from_dict"]

Model: TypeAlias = InstanceSegmenter | SemanticSegmenter

ModelConfig: TypeAlias = InstanceSegmenter.Config | SemanticSegmenter.Config


def model_config_from_dict(data: Mapping[str, Any]) -> ModelConfig:
    """Return the config that the dictionaries describe; `kind` says of which model.

    Without a kind it is an `InstanceSegmenter`'s, as in files from before there were others.

    Raises:
        ConfigError: An unknown kind or option, or a value outside its range.

    >>> type(model_config_from_dict({"kind": "semantic"})).__qualname__
    'SemanticSegmenter.Config'
    """
    kind = data.get("kind", "instances") if isinstance(data, Mapping) else "instances"
    if kind == "instances":
        return config_from_dict(InstanceSegmenter.Config, data)
    if kind == "semantic":
        return config_from_dict(SemanticSegmenter.Config, data)
    raise ConfigError(
        f"there is no kind of model {kind!r}; there are instances, semantic."
        f"{nearest_name(str(kind), ('instances', 'semantic'))}"
    )
