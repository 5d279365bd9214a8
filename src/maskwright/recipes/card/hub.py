"""A model on the Hugging Face hub: the folder that goes there, and the sending."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from maskwright.errors import ConfigError, MissingExtraError
from maskwright.files import atomic_write
from maskwright.inference.hub import HUB_MODEL, parse_repo
from maskwright.inference.loading import model_file
from maskwright.model import read_checkpoint_header
from maskwright.recipes.card.model_card import ModelCard
from maskwright.recipes.model_facts import run_folder_of

__all__ = ["push_model", "save_for_hub"]


def save_for_hub(
    model: str | os.PathLike[str], card: ModelCard | str, folder: str | os.PathLike[str]
) -> list[Path]:
    """Write what a hub holds of a model: `model.safetensors`, `README.md`, the run's scores.

    `load(folder)` loads it. The run's `config.json` stays behind: it names folders of the machine
    that it ran on.

    Args:
        model: A model file or a run folder.
        card: The card, or its text.
        folder: Is made where it is not there; other files in it stay.

    Returns:
        The files.

    Raises:
        CheckpointError: There is no model, or it is damaged.
    """
    path = model_file(model)
    read_checkpoint_header(path)  # what is not ours is refused before anything is written
    target = Path(folder)
    with atomic_write(target / HUB_MODEL) as partial:
        shutil.copyfile(path, partial)
    with atomic_write(target / "README.md") as partial:
        partial.write_text(card if isinstance(card, str) else card.text, encoding="utf-8")
    written = [target / HUB_MODEL, target / "README.md"]
    run = run_folder_of(model)
    if run is not None and (run / "scores.json").is_file():
        with atomic_write(target / "scores.json") as partial:
            shutil.copyfile(run / "scores.json", partial)
        written.append(target / "scores.json")
    return written


def push_model(
    model: str | os.PathLike[str],
    repo: str,
    card: ModelCard | str,
    *,
    private: bool = False,
    endpoint: str | None = None,
) -> str:
    """Send a model and its card to the hub; `load("hf://USER/MODEL")` then loads it anywhere.

    Who sends is known from `hf auth login` or the variable HF_TOKEN.

    Args:
        model: A model file or a run folder.
        repo: "user/model"; is made where it is not there.
        card: The card, or its text.
        private: Make a new repository that only its owner sees.
        endpoint: Address of another hub; None: the public one, or the variable HF_ENDPOINT.

    Returns:
        The address of the commit.

    Raises:
        CheckpointError: There is no model, or it is damaged.
        ConfigError: A name that is none, or the hub refused.
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub", "push a model to the hub") from error
    name, _ = parse_repo(repo)
    api = HfApi(endpoint=endpoint or os.environ.get("HF_ENDPOINT"), library_name="maskwright")
    with tempfile.TemporaryDirectory() as folder:
        save_for_hub(model, card, folder)
        try:
            api.create_repo(name, private=private, exist_ok=True)
            sent = api.upload_folder(
                repo_id=name, folder_path=folder, commit_message="Model by maskwright"
            )
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise ConfigError(
                f"{name} could not be sent to the hub: {error}: log in with hf auth login, and "
                "see that the repository is yours"
            ) from error
    return str(sent.commit_url)
