"""The YAML header of a model card, as the Hugging Face hub reads it.

https://huggingface.co/docs/hub/model-cards says which keys there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["card_metadata", "yaml_text"]

_YAML_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def card_metadata(
    name: str,
    *,
    licence: str | None,
    datasets: Sequence[str],
    tags: Sequence[str],
    data_name: str,
    metrics: Mapping[str, tuple[str, float]],
) -> dict[str, Any]:
    """Return the header as plain values.

    Args:
        name: Of the model.
        licence: An SPDX name such as "Apache-2.0", or words of one's own; None: unknown.
        datasets: Names of data sets on the hub.
        tags: Beside the usual ones.
        data_name: What the metrics were measured on.
        metrics: Type -> (name for people, value in %); none leaves the results out.
    """
    header: dict[str, Any] = _licence(licence)
    header |= {
        "library_name": "maskwright",
        "pipeline_tag": "image-segmentation",
        "tags": ["maskwright", "instance-segmentation", *tags],
    }
    if datasets:
        header["datasets"] = list(datasets)
    if metrics:
        results = [
            {"type": kind, "name": words, "value": round(value, 2)}
            for kind, (words, value) in metrics.items()
        ]
        header["metrics"] = list(metrics)
        task = {"type": "image-segmentation", "name": "Instance segmentation"}
        data = {"type": _plain(data_name), "name": data_name}
        result = {"task": task, "dataset": data, "metrics": results}
        header["model-index"] = [{"name": name, "results": [result]}]
    return header


def yaml_text(value: Mapping[str, Any]) -> str:
    """Return plain values as YAML; words are quoted as in JSON, which YAML reads likewise.

    >>> print(yaml_text({"tags": ["a", "no"], "at": {"x": 1.5}}), end="")
    tags:
      - "a"
      - "no"
    at:
      x: 1.5
    """
    return "".join(f"{line}\n" for line in _lines(value, ""))


def _lines(value: Any, indent: str) -> list[str]:
    lines = []
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(inner, (Mapping, list)) and inner:
                lines += [f"{indent}{_name(key)}:", *_lines(inner, f"{indent}  ")]
            else:
                lines.append(f"{indent}{_name(key)}: {json.dumps(inner, ensure_ascii=False)}")
        return lines
    for inner in value:
        if isinstance(inner, (Mapping, list)) and inner:
            first, *others = _lines(inner, f"{indent}  ")
            lines += [f"{indent}- {first.lstrip()}", *others]
        else:
            lines.append(f"{indent}- {json.dumps(inner, ensure_ascii=False)}")
    return lines


def _name(key: str) -> str:
    """Return a key, quoted unless it is plainly a word (and no YAML word for true or false)."""
    is_plain = re.fullmatch(r"[a-z][a-z_-]*", key) and key not in _YAML_WORDS
    return key if is_plain else json.dumps(key, ensure_ascii=False)


def _licence(licence: str | None) -> dict[str, Any]:
    if licence is None:
        return {"license": "unknown"}
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]*", licence):
        return {"license": licence.lower()}
    return {"license": "other", "license_name": licence}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-") or "data"
