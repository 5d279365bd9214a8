"""A run in parts leaves what one process leaves, whoever predicts which part and whoever dies."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskwright.data import open_dataset
from maskwright.data.shards import write_shards
from maskwright.errors import ConfigError, DataError
from maskwright.inference import (
    ModelChoice,
    PartOptions,
    PostProcessing,
    Predictor,
    predict_to_folder,
)
from maskwright.inference.parts import join_parts, open_plan, predict_part, read_plan

_MODEL = ModelChoice(model="blobs")


@pytest.fixture
def many(tmp_path: Path, picture: np.ndarray) -> Path:
    """Forty pictures, every seventh without objects, one of them no picture."""
    root = tmp_path / "many"
    root.mkdir()
    for i in range(40):
        shown = np.roll(picture, (i % 3, i % 5), (0, 1)) if i % 7 else np.zeros_like(picture)
        cv2.imwrite(str(root / f"p{i:02d}.png"), shown[..., ::-1])
    (root / "p11.png").write_text("no picture")
    return root


def _contents(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    "options",
    [
        PartOptions(model=_MODEL),
        PartOptions(model=_MODEL, steps=PostProcessing(min_area=5), score_threshold=0.1),
        PartOptions(model=_MODEL, outputs=("coco",), batch_size=3),
        PartOptions(model=_MODEL, outputs=("csv", "labelmap"), tiles=16, overlap=4, pixel_size=0.5),
    ],
    ids=["all", "threshold", "batches", "tiles"],
)
def test_parts_in_any_order_join_to_the_files_of_one_run(
    options: PartOptions, predictor: Predictor, many: Path, tmp_path: Path
) -> None:
    steps = PostProcessing(
        min_area=options.steps.min_area,
        score_threshold=predictor.score_thresholds(options.score_threshold),  # type: ignore[arg-type]
    )
    whole = predict_to_folder(
        predictor, [many], tmp_path / "whole", outputs=options.outputs, steps=steps,
        batch_size=options.batch_size, pixel_size=options.pixel_size, tiles=options.tiles,
        overlap=options.overlap,
    )  # fmt: skip
    out = tmp_path / "parts"
    open_plan([str(many)], out, options)
    plan = read_plan(out)
    assert len(plan.parts) > 10
    for part in reversed(plan.parts):
        predict_part(plan, part.number, predictor)
    joined = join_parts(plan, out)
    assert _contents(out) == _contents(tmp_path / "whole")
    assert joined.failures == whole.failures
    assert joined.failures[0].path == many / "p11.png"
    assert (joined.num_images, joined.num_objects) == (whole.num_images, whole.num_objects)
    assert [path.relative_to(out) for path in joined.written] == [
        path.relative_to(tmp_path / "whole") for path in whole.written
    ]


def test_no_objects_and_no_readable_picture_leave_what_one_run_leaves(
    predictor: Predictor, tmp_path: Path
) -> None:
    for name, content in (("empty", np.zeros((8, 8, 3), np.uint8)), ("broken", None)):
        folder = tmp_path / name
        folder.mkdir()
        for i in range(3):
            if content is None:
                (folder / f"{i}.png").write_text("no picture")
            else:
                cv2.imwrite(str(folder / f"{i}.png"), content)
        predict_to_folder(predictor, [folder], tmp_path / f"{name}-whole")
        plan = open_plan([str(folder)], tmp_path / f"{name}-parts", PartOptions(model=_MODEL))
        for part in plan.parts:
            predict_part(plan, part.number, predictor)
        join_parts(plan, plan.out)
        assert _contents(plan.out) == _contents(tmp_path / f"{name}-whole")


def test_parts_that_are_done_are_not_predicted_again(
    predictor: Predictor, many: Path, tmp_path: Path
) -> None:
    options = PartOptions(model=_MODEL, outputs=("coco",))
    plan = open_plan([str(many)], tmp_path / "out", options)
    predict_part(plan, 0, predictor)
    seen = len(predictor.model.batch_sizes)  # type: ignore[union-attr]
    again = open_plan([str(many)], tmp_path / "out", options)
    assert [again.is_done(part.number) for part in again.parts[:2]] == [True, False]
    predict_part(again, 0, predictor)
    assert len(predictor.model.batch_sizes) == seen  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"13 of 14 parts .* are not done, the first is 1"):
        join_parts(again, tmp_path / "out")


def test_parts_of_other_options_or_pictures_are_refused(
    predictor: Predictor, many: Path, tmp_path: Path
) -> None:
    plan = open_plan([str(many)], tmp_path / "out", PartOptions(model=_MODEL))
    predict_part(plan, 0, predictor)
    with pytest.raises(ConfigError, match=r"batch_size: 1 then, 2 now") as refused:
        open_plan([str(many)], tmp_path / "out", PartOptions(model=_MODEL, batch_size=2))
    assert "remove" in str(refused.value)
    os.utime(many / "p01.png", (0, 0))
    with pytest.raises(ConfigError, match="pictures: "):
        open_plan([str(many)], tmp_path / "out", PartOptions(model=_MODEL))


def test_a_picture_that_kills_its_processes_is_left_out_and_the_others_are_done(
    predictor: Predictor, many: Path, tmp_path: Path
) -> None:
    """A death is played by an error that no code of ours catches; the notes on disk are real."""

    class DiedError(BaseException):
        pass

    find = predictor.model.predict  # type: ignore[union-attr]

    def deadly(batch: object) -> object:
        found = find(batch)  # type: ignore[arg-type]
        # only p08 has its first object at this place
        if any(len(one) and one.boxes[0].tolist() == deadly_box for one in found):
            raise DiedError
        return found

    deadly_box = predictor.predict(many / "p08.png").boxes[0].tolist()
    plan = open_plan([str(many)], tmp_path / "out", PartOptions(model=_MODEL, outputs=("coco",)))
    number = next(part.number for part in plan.parts if "p08.png" in str(part.names))
    predictor.model.predict = deadly  # type: ignore[method-assign,union-attr,assignment]
    for _ in range(3):
        with pytest.raises(DiedError):
            predict_part(plan, number, predictor)
        assert not plan.is_done(number)
    predict_part(plan, number, predictor)
    report = json.loads(plan.file(number, "json").read_text())
    [(name, reason)] = report["failures"]
    assert name.endswith("p08.png")
    assert "died" in reason
    assert report["num_images"] == plan.parts[number].count - 1
    assert not plan.file(number, "tried").exists()


def test_shards_are_predicted_as_their_pictures_are(
    predictor: Predictor, discs: Path, tmp_path: Path
) -> None:
    pytest.importorskip("fsspec")
    dataset = open_dataset(discs)
    write_shards(dataset, tmp_path / "shards", pictures_per_shard=5)
    ids = {dataset.file_names[i]: int(dataset.image_ids[i]) for i in range(len(dataset))}
    predict_to_folder(predictor, [discs.parent], tmp_path / "whole", image_ids=ids)
    plan = open_plan([str(tmp_path / "shards")], tmp_path / "out", PartOptions(model=_MODEL))
    assert [part.count for part in plan.parts] == [5, 5, 2]
    for part in plan.parts:
        predict_part(plan, part.number, predictor)
    join_parts(plan, plan.out)
    found, wanted = (
        sorted(json.loads((out / "results.json").read_text()), key=json.dumps)
        for out in (plan.out, tmp_path / "whole")
    )
    assert found
    assert found == wanted
    one = next((plan.out / "overlay").rglob("3.png"))
    assert one.parent.name.startswith("shard-")
    assert one.read_bytes() == (tmp_path / "whole" / "overlay" / "3.png").read_bytes()


def test_of_a_damaged_shard_the_whole_pictures_are_predicted_and_the_rest_is_reported(
    predictor: Predictor, discs: Path, tmp_path: Path
) -> None:
    pytest.importorskip("fsspec")
    write_shards(open_dataset(discs), tmp_path / "shards", pictures_per_shard=12)
    shard = next((tmp_path / "shards").glob("*.tar"))
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    plan = open_plan([str(tmp_path / "shards")], tmp_path / "out", PartOptions(model=_MODEL))
    predict_part(plan, 0, predictor)
    run = join_parts(plan, plan.out)
    assert 0 < run.num_images < 12
    assert any("samples, the index says 12" in f.reason or "damaged" in f.reason
               for f in run.failures)  # fmt: skip


def test_a_plan_that_is_not_there_says_that_storage_must_be_shared(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="storage that all machines of the cluster see"):
        read_plan(tmp_path)
