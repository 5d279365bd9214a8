"""Models on the Hugging Face hub, named "hf://user/model" or "hf://user/model@revision"."""

from __future__ import annotations

import os
import re
from pathlib import Path

from maskwright.errors import CheckpointError, ConfigError, MissingExtraError

__all__ = ["HUB_MODEL", "HUB_PREFIX", "download_model", "parse_repo"]

HUB_PREFIX = "hf://"

HUB_MODEL = "model.safetensors"
"""Name of the model file in a repository."""

_REPO = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def parse_repo(name: str) -> tuple[str, str | None]:
    """Return repository and revision of "user/model", "hf://user/model" or "...@revision".

    >>> parse_repo("hf://ann/nuclei@v2"), parse_repo("ann/nuclei")
    (('ann/nuclei', 'v2'), ('ann/nuclei', None))

    Raises:
        ConfigError: The name is of another form.
    """
    match = _REPO.fullmatch(name.removeprefix(HUB_PREFIX))
    if match is None:
        raise ConfigError(
            f"{name!r} names no model on the hub: hf://USER/MODEL or hf://USER/MODEL@REVISION"
        )
    return match[1], match[2]


def download_model(name: str) -> Path:
    """Return the model file of a repository, from the hub or from the cache of earlier downloads.

    Only files in safetensors' format are fetched, which hold no code.

    Args:
        name: "hf://user/model" or "hf://user/model@revision".

    Raises:
        CheckpointError: There is no such repository or no model in it, or no connection.
        ConfigError: The name is of another form.
        MissingExtraError: huggingface_hub is not installed.
    """
    repo, revision = parse_repo(name)
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub", f"load {name}") from error
    try:
        fetched = hf_hub_download(
            repo,
            HUB_MODEL,
            revision=revision,
            library_name="maskwright",
            endpoint=os.environ.get("HF_ENDPOINT"),  # the package reads it once, when imported
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise CheckpointError(
            f"{name} could not be fetched: {error}: see that the repository holds {HUB_MODEL}, and "
            "log in with hf auth login if it is private"
        ) from error
    return Path(fetched)
