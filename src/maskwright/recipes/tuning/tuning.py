"""Search for the options that train best on some pictures: `maskwright tune`.

STUDY/config.json       what was searched, on what; the folder is gone on with by the same only
STUDY/study.journal     every trial, in Optuna's journal
STUDY/trials/0000/      the run folder of each trial
STUDY/best              leads to the run folder of the best
STUDY/report.md         the table, what matters, the command to train longer; plots/ beside it
STUDY/study.json        the same as values; trials.csv a row per trial
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from maskwright.data import PictureRule
from maskwright.devices import choose_device
from maskwright.errors import ConfigError, DataError
from maskwright.ray_session import import_ray, ray_session, require_address
from maskwright.recipes.choose import data_facts
from maskwright.recipes.folder_of_runs import open_folder_of_runs
from maskwright.recipes.recipe import Preset, TaskName
from maskwright.recipes.run_request import RunRequest
from maskwright.recipes.training_runs import open_parts
from maskwright.recipes.tuning.journal import PRUNERS, PrunerName, require_optuna
from maskwright.recipes.tuning.planning import make_plan
from maskwright.recipes.tuning.ray_trials import Crew
from maskwright.recipes.tuning.running import RunningStudy
from maskwright.recipes.tuning.search_space import Search
from maskwright.recipes.tuning.study import Study
from maskwright.recipes.tuning.study_folder import Keep
from maskwright.recipes.tuning.trial import Common

__all__ = ["tune"]


def tune(
    data: str | Path,
    *,
    out: str | Path,
    trials: int = 20,
    search: Sequence[str] | Mapping[str, Search | str] = (),
    validation: str | Path | None = None,
    images: str | Path | None = None,
    groups: str | Sequence[str] = (),
    task: TaskName = "instances",
    model: str | None = None,
    backbone: str | None = None,
    preset: Preset | None = None,
    weights: str | None = None,
    pictures: PictureRule = "auto",
    num_steps: int | None = None,
    minutes: float | None = None,
    augment: str | None = None,
    pruner: PrunerName = "median",
    keep: Keep = "best",
    seed: int = 0,
    overrides: Mapping[str, Any] | None = None,
    device: str | None = None,
    limit: int | None = None,
    follow_links: bool = False,
    ray: str | None = None,
    parallel: int | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Study:
    """Train again and again with other options, and find those that score best.

    Each trial is a training of the same length on the same pictures, scored on the validation
    pictures (mask AP, or mean IoU). The first does what `train` would do by itself. Trials that
    fall behind are ended early; those that fail are recorded. Called again with the same `out`,
    the study goes on until it has `trials` finished ones; a trial whose process was killed is
    marked as failed, and a new one goes on with its run.

    Args:
        data: The annotations, as for `train`. Without `validation`, split as `train` does it; the
            test pictures are then left to the best model.
        out: The study's folder, to make or to go on with.
        trials: How many trials the study shall have in all: complete, pruned or failed.
        search: What is varied: "NAME=LOW:HIGH", "NAME=LOW:HIGH:log" or "NAME=A,B,C" each, or a
            mapping from names. A name is one of preset, model, backbone, weights, augment,
            input_scale (times the input size that the data suggest), or an option of the recipe
            such as optimizer.learning_rate. () takes a default space, see `default_space`, which
            "default" among them adds.
        validation: As for `train`, and so are all that say nothing else.
        images: Folder of the pictures.
        groups: What the split keeps together.
        task: Objects, or classes of pixels.
        model: For every trial; None lets the default space vary it.
        backbone: For every trial.
        preset: For every trial; None lets the default space vary it.
        weights: Where every backbone starts.
        pictures: How pictures are read.
        num_steps: Length of each training in steps.
        minutes: Length of each training by the clock.
        augment: For every trial; None lets the default space vary it.
        pruner: "median", "hyperband" or "none".
        keep: "best" removes the model files of the other trials, "all" does not.
        seed: Of the split and of every training, and of what is tried.
        overrides: Options of every recipe by dotted name; they are not varied.
        device: Where trainings run.
        limit: Take so many training pictures, and no more validation pictures.
        follow_links: Of the data.
        ray: Run trials on Ray (extra `ray`): "local" starts it on this machine, "auto" or an
            address takes a cluster, whose machines must share the storage of data and study. None
            runs them one after the other in this process.
        parallel: Trials at once on Ray; None for one per GPU, or per core where there are none.
        say: Told what happens, a line each.

    Raises:
        MissingExtraError: Optuna, or Ray where it is asked for, is not installed.
        ConfigError: An impossible option or value to try; said before the first training.
        DataError: The data cannot be read, is too little to split, or has no validation objects.
        TrainingError: The folder is of another study (the message says what differs), of something
            else or in use, or five trials failed one after the other.
    """
    require_optuna()
    if trials < 1:
        raise ConfigError(f"trials must be 1 or more, got {trials}")
    if pruner not in PRUNERS:
        raise ConfigError(f"unknown pruner {pruner!r}; there are {', '.join(PRUNERS)}")
    if keep not in ("best", "all"):
        raise ConfigError(f"keep is best or all, got {keep!r}")
    if parallel is not None and ray is None:
        raise ConfigError("parallel is of trials on Ray: give ray as well (--ray)")
    if ray is not None:
        require_address(ray)
        import_ray()  # before the data is read, in case it is not there
    request = RunRequest(
        data=data,
        validation=validation,
        images=images,
        groups=groups,
        follow_links=follow_links,
        task=task,
        model=model,
        backbone=backbone,
        preset=preset,
        weights=weights,
        pictures=pictures,
        num_steps=num_steps,
        minutes=minutes,
        seed=seed,
        augment=augment,
        overrides=overrides,
        limit=limit,
    ).with_absolute_paths()
    parts = open_parts(request.source())
    if not len(parts.validation.labels):
        raise DataError(
            f"the {len(parts.validation)} validation pictures have no objects, and trials are "
            "chosen by what is found of them: give validation pictures with objects"
        )
    with nullcontext() if ray is None else ray_session(ray) as cluster:
        facts = data_facts(parts.train)
        common = Common(request=request, device=_device(device, cluster), facts=facts)
        plan = make_plan(common, parts, search)
        config = plan.config(pruner)
        with open_folder_of_runs(out, config, "study", comparable=plan.comparable) as folder:
            study = RunningStudy(folder, plan, pruner=pruner, keep=keep, say=say)
            return study.run(trials, None if cluster is None else Crew(cluster, parallel))


def _device(device: str | None, cluster: Any) -> str:
    """The device of trials: of a cluster, what its machines have, and not this one."""
    if cluster is None:
        return str(choose_device(device))
    return device or ("cuda" if cluster.cluster_resources().get("GPU") else "cpu")
