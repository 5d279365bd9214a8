"""Compression from a trained model to a smaller one, with a table of what it cost and brought.

OUT/compress.json         what was asked for
OUT/pruned.safetensors    with fewer channels, before any training
OUT/prune, distill, quantise   the run folder of each method's training
OUT/int8, int8-before     int8 graphs of the last model, and of the one before it got used to them
OUT/best.safetensors      the last model
OUT/table.json, table.md  size, multiply-adds, time and scores of every version
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.data import Dataset, open_dataset
from maskwright.devices import choose_device
from maskwright.errors import (
    AnnotationError,
    ConfigError,
    DataError,
    EvaluationError,
    TrainingError,
)
from maskwright.files import atomic_write, write_json
from maskwright.inference.export.folder import is_exported
from maskwright.inference.export.quantising import require_nncf
from maskwright.inference.export.sessions import Format
from maskwright.inference.loading import model_file
from maskwright.model import (
    CheckpointHeader,
    config_from_dict,
    config_to_dict,
    read_checkpoint_header,
)
from maskwright.recipes.compression.channel_groups import import_torch_pruning
from maskwright.recipes.compression.measuring import (
    Measured,
    Version,
    compression_table,
    markdown_table,
    measure_versions,
)
from maskwright.recipes.compression.plan import Plan, parse_methods, parse_target
from maskwright.recipes.compression.steps import Workshop
from maskwright.recipes.exporting import export_model
from maskwright.recipes.parity import ShowProgress
from maskwright.recipes.recipe import Preset
from maskwright.recipes.training_runs import open_parts
from maskwright.training import RunFolder
from maskwright.training.lock_file import LockFile

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Compression", "compress", "resume_compression"]

_PLAN = "compress.json"
_TARGET = 2.0


@dataclass(frozen=True, kw_only=True)
class Compression:
    """What a compression left behind.

    Args:
        path: Its folder.
        model: The file of the last model.
        int8: The folder of its int8 graphs; None where none were asked for or kept.
        versions: What every version costs and finds, the model that was given first.
        refused: Versions that there are not, and why.
    """

    path: Path
    model: Path
    int8: Path | None
    versions: tuple[Measured, ...]
    refused: tuple[Version, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        return {
            "path": str(self.path),
            "model": str(self.model),
            "int8": None if self.int8 is None else str(self.int8),
            "versions": [each.as_dict() for each in self.versions],
            "refused": {each.name: each.refusal for each in self.refused},
        }

    def to_table(self) -> Table:
        """Return the versions as a rich table, ready to be printed."""
        return compression_table(self.versions, self.refused)


def compress(
    model: str | Path,
    data: str | Path,
    *,
    out: str | Path,
    method: str | Sequence[str] = "prune",
    target: str | float | None = None,
    validation: str | Path | None = None,
    images: str | Path | None = None,
    teacher: str | Path | None = None,
    student: str | None = None,
    backbone: str | None = None,
    preset: Preset | None = None,
    num_steps: int | None = None,
    minutes: float | None = None,
    int8: bool = False,
    to: Format = "onnx",
    calibrate: str | Path | None = None,
    max_ap_drop: float | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str | None = None,
    follow_links: bool = False,
    progress: ShowProgress | None = None,
    quiet: bool = False,
) -> Compression:
    """Make a trained model smaller or faster, and measure what that cost.

    Args:
        model: A model file or a run folder.
        data: Annotations to train on, with the model's classes. Without `validation` split
            70/15/15, as the model's own run split them if it was trained on the same data.
        out: The folder to make.
        method: One of "prune", "distill" and "quantise", or several, done in this order. "prune"
            takes channels out until the target is met, and trains what is left. "distill" lets a
            new, smaller network learn from the model; with a teacher, the model learns from that.
            "quantise" trains the model with its numbers rounded as int8 graphs round them.
        target: How many times fewer multiply-adds, 2 or "2x"; for "prune" None means 2, of a new
            student None takes the largest preset that has fewer.
        validation: Annotations to choose and score on.
        images: The folder of the pictures of `data`.
        teacher: A larger model (any detector and mask head) with the same classes, which every
            training of the compression learns from besides the data.
        student: "detector+mask-head" of a new network; None for the model's own.
        backbone: Of a new network, as for `train`.
        preset: Of a new network, as for `train`; None takes the largest that reaches the target.
        num_steps: Length of each training run in steps; with neither this nor `minutes`, by the
            data.
        minutes: Length of each training run by the clock.
        int8: Write int8 graphs of the last model; the method "quantise" does it in any case.
        to: What they are written to, "onnx" or "openvino".
        calibrate: Annotations to learn ranges of int8 from; None takes the training pictures.
        max_ap_drop: By how much int8 graphs may lose, as for `export_model`.
        overrides: Options of the training recipes by dotted name.
        seed: Of everything random.
        device: Where to train, as for `train`. Times are measured on the processor.
        follow_links: As for `train`.
        progress: See `ShowProgress`.
        quiet: Show nothing of the training runs.

    Raises:
        ConfigError: A target that cannot be reached, a teacher of other classes, an unknown option.
        DataError: Objects of classes that the model does not know, or data that cannot be read.
        MissingExtraError: The packages of a method are not installed.
        TrainingError: The folder is not empty, or training went wrong.
    """
    if is_exported(model):
        raise ConfigError(f"{model} is an exported model: compress the model file it was made of")
    methods = parse_methods(method)
    wanted = _target(methods, target)
    plan = Plan(
        model=str(model_file(model).resolve()),
        data=str(Path(data).resolve()),
        validation=_resolved(validation),
        images=_resolved(images),
        follow_links=follow_links,
        methods=methods,
        target=wanted,
        teacher=None if teacher is None else str(model_file(teacher).resolve()),
        student=student,
        backbone=backbone,
        preset=preset,
        num_steps=num_steps,
        minutes=minutes,
        int8=to if int8 or "quantise" in methods else None,
        calibrate=_resolved(calibrate),
        max_ap_drop=max_ap_drop,
        overrides=dict(overrides or {}),
        seed=seed,
    )
    plan = config_from_dict(Plan, config_to_dict(_as_first_split(plan)))  # checks the ranges
    workshop = _open(plan, Path(out), device, quiet)
    with RunFolder.create(out) as folder:
        try:
            write_json(folder.path / _PLAN, config_to_dict(plan))
            return _carry_out(workshop, progress)
        except BaseException:
            # A second try must find the folder as the first one did, unless there is work to keep.
            if not any(folder.path.glob("*.safetensors")) and not any(folder.path.glob("*/state*")):
                folder.discard()
            raise


def resume_compression(
    run: str | Path,
    *,
    device: str | None = None,
    progress: ShowProgress | None = None,
    quiet: bool = False,
) -> Compression:
    """Go on with a compression that was stopped; what is finished is not done again.

    Args:
        run: Its folder.
        device: As for `compress`.
        progress: As for `compress`.
        quiet: As for `compress`.

    Raises:
        TrainingError: There is none in the folder, it is in use, or its data has changed.
    """
    path = Path(run)
    if not (path / _PLAN).is_file():
        raise TrainingError(f"there is no compression to resume in {path}: it has no {_PLAN}")
    try:
        saved = json.loads((path / _PLAN).read_text(encoding="utf-8"))
    except ValueError as error:
        raise TrainingError(f"{path / _PLAN} is damaged, JSON was wanted: {error}") from error
    workshop = _open(config_from_dict(Plan, saved), path, device, quiet)
    with closing(RunFolder(path, LockFile.acquire(path / ".lock", f"the folder {path}"))):
        return _carry_out(workshop, progress)


def _open(plan: Plan, out: Path, device: str | None, quiet: bool) -> Workshop:
    """Check all that can be checked before work begins."""
    _require_packages(plan)
    header = read_checkpoint_header(plan.model)
    _require_teacher(plan, header)
    source = {
        "data": plan.data,
        "validation": plan.validation,
        "images": plan.images,
        "seed": plan.seed,
        "groups": list(plan.groups),
        "follow_links": plan.follow_links,
        "classes": {"names": list(header.class_names), "ids": list(header.category_ids)},
    }
    try:
        parts = open_parts(source)
    except AnnotationError as error:
        raise DataError(
            f"{error}. A model is compressed on data with the classes it was trained on: "
            f"{', '.join(header.class_names)}"
        ) from error
    return Workshop(
        path=out,
        plan=plan,
        source=source,
        parts=parts.with_pixels(header.config.pixels),
        device=choose_device(device),
        tell=_say_nothing if quiet else _say,
        quiet=quiet,
    )


def _carry_out(workshop: Workshop, progress: ShowProgress | None) -> Compression:
    plan, path = workshop.plan, workshop.path
    current = origin = Path(plan.model)
    versions = [Version(name="original", path=current)]
    steps = {
        "prune": workshop.prune,
        "distill": workshop.distill,
        "quantise": workshop.quantise,
    }
    for method in plan.methods:
        if method == "quantise":
            versions.append(_quantised(workshop, current, "int8-before", "its int8", progress))
        current, made = steps[method](current, origin)
        if method == "distill" and plan.teacher is None:
            origin = current  # a new network, with a recipe of its own
        versions += made
    int8 = None
    if plan.int8 is not None:
        int8 = _quantised(workshop, current, "int8", "int8", progress)
        versions.append(int8)
    shutil.copyfile(current, path / "best.safetensors")
    workshop.tell("Measuring every version")
    held_out = workshop.parts.test or workshop.parts.validation
    measured = measure_versions(versions, workshop.parts.train, held_out, progress)
    refused = tuple(each for each in versions if each.refusal is not None)
    done = Compression(
        path=path,
        model=path / "best.safetensors",
        int8=None if int8 is None or int8.refusal is not None else int8.path,
        versions=tuple(measured),
        refused=refused,
    )
    write_json(path / "table.json", done.as_dict())
    with atomic_write(path / "table.md") as partial:
        partial.write_text(markdown_table(measured, refused), encoding="utf-8")
    return done


def _quantised(
    workshop: Workshop, model: Path, folder: str, name: str, progress: ShowProgress | None
) -> Version:
    """Return the int8 graphs of a model, written now or before the run was stopped."""
    plan, out = workshop.plan, workshop.path / folder
    version = Version(name=name, path=out, source=model)
    if (out / "config.json").is_file():
        return version
    assert plan.int8 is not None
    workshop.tell(f"Writing int8 graphs to {out}")
    try:
        export_model(
            model,
            out,
            to=plan.int8,
            data=workshop.parts.test or workshop.parts.validation,
            calibrate=_calibration(workshop),
            max_ap_drop=plan.max_ap_drop,
            progress=progress,
        )
    except EvaluationError as error:
        return Version(name=name, path=out, source=model, refusal=str(error))
    return version


def _calibration(workshop: Workshop) -> Dataset:
    if workshop.plan.calibrate is None:
        return workshop.parts.train
    return open_dataset(workshop.plan.calibrate, follow_links=workshop.plan.follow_links)


def _target(methods: Sequence[str], target: str | float | None) -> float | None:
    if target is not None:
        if set(methods) == {"quantise"}:
            raise ConfigError(
                "the method quantise leaves the multiply-adds as they are: leave the target out, "
                "or add the method prune"
            )
        return parse_target(target)
    return _TARGET if "prune" in methods else None


def _as_first_split(plan: Plan) -> Plan:
    """Split the data as the model's own run did, so that nothing it has learnt from is scored."""
    config = Path(plan.model).parent / "config.json"
    if plan.validation is not None or not config.is_file():
        return plan
    try:
        source = json.loads(config.read_text(encoding="utf-8")).get("source") or {}
    except (ValueError, AttributeError):
        return plan
    if source.get("data") != plan.data or source.get("validation") is not None:
        return plan
    return replace(plan, seed=source.get("seed", 0), groups=tuple(source.get("groups", ())))


def _require_packages(plan: Plan) -> None:
    if "prune" in plan.methods:
        import_torch_pruning()
    if plan.int8 is not None:
        if plan.int8 == "torch-export":
            raise ConfigError("int8 graphs are written to onnx or openvino, not to torch-export")
        require_nncf()


def _require_teacher(plan: Plan, header: CheckpointHeader) -> None:
    if plan.teacher is None:
        return
    known = read_checkpoint_header(plan.teacher)
    if set(known.class_names) != set(header.class_names):
        raise ConfigError(
            f"the teacher {plan.teacher} knows the classes {', '.join(known.class_names)}, the "
            f"model {', '.join(header.class_names)}: take a teacher with the same classes"
        )


def _resolved(path: str | Path | None) -> str | None:
    return None if path is None else str(Path(path).resolve())


def _say(text: str) -> None:
    from rich.console import Console

    Console(stderr=True).print(text, highlight=False, markup=False)


def _say_nothing(text: str) -> None:
    del text
