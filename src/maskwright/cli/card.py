"""`maskwright card` and `maskwright push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from maskwright.errors import ConfigError

__all__ = ["card", "push"]


def card(
    model: str,
    /,
    *,
    out: Path = Path("README.md"),
    data: Path | None = None,
    images: Path | None = None,
    subset: Literal["train", "validation", "test"] | None = None,
    name: str | None = None,
    repo: str | None = None,
    license_: Annotated[str | None, Parameter(name="--license")] = None,
    data_license: str | None = None,
    hub_dataset: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="")] = (),
    device: str | None = None,
) -> int:
    """Write a model card: data and licences, training, scores, calibration, limits, how to load.

    Markdown with the header that the Hugging Face hub reads. What nobody said is called unknown,
    and what was not measured is said to be so.

    Args:
        model: A model file or a run folder.
        out: The card.
        data: Annotated pictures to score the model on, with intervals. By default the card has
            the scores that the run folder holds.
        images: Folder of the pictures, if it is not beside the annotations.
        subset: Take only these pictures of the split that was made when the model was trained.
        name: What to call the model. By default as its run folder is called.
        repo: Where it will be on the hub, USER/MODEL, for the lines that load it.
        license_: Licence of the model, such as Apache-2.0.
        data_license: Licence of the training data. By default what a COCO json of it says.
        hub_dataset: Names on the hub of the data sets that it learnt from.
        device: cpu, cuda or mps. By default the best there is.
    """
    from maskwright.cli.evaluate import open_subset
    from maskwright.cli.progress import pictures_bar
    from maskwright.data import open_dataset
    from maskwright.recipes.card import model_card

    if subset is not None and data is None:
        raise ConfigError(f"--subset {subset} needs --data, whose pictures it chooses from")
    dataset = None if data is None else open_dataset(data, images=images)
    if dataset is not None and subset is not None:
        dataset = open_subset(dataset, model, subset)
    with pictures_bar("Scoring", quiet=dataset is None) as progress:
        made = model_card(
            model,
            dataset=dataset,
            name=name,
            repo=repo,
            license=license_,
            data_license=data_license,
            hub_datasets=hub_dataset,
            device=device,
            progress=progress,
        )
    made.write(out)
    print(f"the card is in {out}")  # noqa: T201
    return 0


def push(
    model: str,
    repo: str,
    /,
    *,
    card: Path | None = None,
    private: Annotated[bool, Parameter(negative="")] = False,
    license_: Annotated[str | None, Parameter(name="--license")] = None,
) -> int:
    """Send a model and its card to the Hugging Face hub (extra hub).

    Goes out as model.safetensors, README.md and the run's scores; nothing else of the run folder.
    maskwright predict hf://USER/MODEL ... then loads it. Log in first: hf auth login.

    Args:
        model: A model file or a run folder.
        repo: USER/MODEL; is made where it is not there.
        card: The card, as maskwright card wrote it. By default one of what the run folder holds.
        private: Make a repository that only its owner sees.
        license_: Licence of the model, for a card that is made here.
    """
    if card is not None and license_ is not None:
        raise ConfigError("--license is for a card that is made here, and --card has its own")
    from maskwright.recipes.card import model_card, push_model

    if card is not None:
        text = card.read_text(encoding="utf-8")
    else:
        text = model_card(model, repo=repo, license=license_).text
    print(push_model(model, repo, text, private=private))  # noqa: T201
    return 0
