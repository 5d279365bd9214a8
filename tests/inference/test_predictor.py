from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.errors import ConfigError, DataError, ImageError
from maskwright.inference import PostProcessing, Predictor
from maskwright.model.picture_batches import collate_pictures
from maskwright.structures import Batch, Instances


def _assert_same(first: Instances, second: Instances) -> None:
    assert first.image_size == second.image_size
    assert torch.equal(first.boxes, second.boxes)
    assert torch.equal(first.labels, second.labels)
    assert first.scores is not None
    assert second.scores is not None
    assert torch.equal(first.scores, second.scores)
    assert first.masks == second.masks


def test_objects_are_found_with_names_scores_and_masks(
    predictor: Predictor, picture: np.ndarray
) -> None:
    found = predictor.predict(picture)
    assert found.names == ["coin", "nut", "nut"]
    assert found.scores is not None
    assert found.masks is not None
    np.testing.assert_allclose(found.scores, [1.0, 0.8, 0.2])
    assert found.masks.area.tolist() == [8, 48, 1]
    assert found.category_ids == (11, 22)


def test_every_form_of_a_picture_gives_the_same_objects(
    predictor: Predictor, picture: np.ndarray, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture[..., ::-1])
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    forms: list[Any] = [tmp_path / "a.png", Image.fromarray(picture), tensor, tensor / 255]
    for form in forms:
        _assert_same(predictor.predict(form), predictor.predict(picture))


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_list_gives_what_its_pictures_give_one_by_one(
    predictor: Predictor, picture: np.ndarray, batch_size: int
) -> None:
    pictures = [picture, picture[:10], picture[:, 5:], np.zeros((3, 3), np.uint8), picture[::-1]]
    together = predictor.predict(pictures, batch_size=batch_size)
    assert len(together) == 5
    for found, one in zip(together, pictures, strict=True):
        _assert_same(found, predictor.predict(one))


def test_batches_have_the_size_asked_for(predictor: Predictor, picture: np.ndarray) -> None:
    predictor.predict([picture] * 5, batch_size=2)
    assert predictor.model.batch_sizes == [2, 2, 1]  # type: ignore[attr-defined]


def test_no_pictures_give_no_results(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_options_act_on_the_result(predictor: Predictor, picture: np.ndarray) -> None:
    assert predictor.predict(picture, score_threshold=0.5).names == ["coin", "nut"]
    assert predictor.predict(picture, classes=["nut"]).names == ["nut", "nut"]
    assert predictor.predict(picture, min_area=10).names == ["nut"]
    assert len(predictor.predict(picture, nms_threshold=0.5, remove_overlaps=True)) == 3
    tight = predictor.predict(picture, tighten_boxes=True)
    assert tight.masks is not None
    np.testing.assert_array_equal(tight.boxes.numpy(), tight.masks.boxes)


def test_results_know_their_picture(
    predictor: Predictor, picture: np.ndarray, folder: Path, tmp_path: Path
) -> None:
    from_file = predictor.predict(folder / "b.png")
    assert from_file.source == folder / "b.png"
    assert predictor.predict(picture).source is picture
    from_file.save_overlay(tmp_path / "file.png")
    predictor.predict(picture).save_overlay(tmp_path / "array.png")
    drawn = [cv2.imread(str(tmp_path / f"{name}.png")) for name in ("file", "array")]
    assert drawn[0].shape == picture.shape
    np.testing.assert_array_equal(drawn[0], drawn[1])


def test_unknown_classes_and_bad_options_are_said_before_anything_is_read(
    predictor: Predictor,
) -> None:
    with pytest.raises(ConfigError, match=r"no class 'coins'\. Did you mean 'coin'\?"):
        predictor.predict("missing.png", classes=["coins"])
    with pytest.raises(ConfigError, match="batch_size must be 1 or more, got 0"):
        predictor.predict(["missing.png"], batch_size=0)
    with pytest.raises(ConfigError, match="score_threshold must be from 0 to 1, got 50"):
        predictor.predict("missing.png", score_threshold=50)


def test_a_bad_picture_of_a_list_is_named_by_its_place(
    predictor: Predictor, picture: np.ndarray
) -> None:
    with pytest.raises(ImageError, match=r"picture 1 of the list: an array must be"):
        predictor.predict([picture, np.zeros((4, 4, 4), np.uint8)])


def test_a_folder_is_sent_to_stream(predictor: Predictor, folder: Path) -> None:
    with pytest.raises(ImageError, match=r"stream\(\[folder\]\)"):
        predictor.predict(folder)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_stream_gives_each_picture_of_a_folder(
    predictor: Predictor, folder: Path, batch_size: int
) -> None:
    results = list(predictor.stream(folder, batch_size=batch_size))
    assert [result.source for result in results] == [
        folder / "a.png",
        folder / "b.png",
        folder / "more" / "c.png",
    ]
    assert [len(result) for result in results] == [0, 3, 3]


def test_a_stream_reads_no_further_than_it_is_asked(predictor: Predictor, folder: Path) -> None:
    next(predictor.stream([folder]))
    assert predictor.model.batch_sizes == [1]  # type: ignore[attr-defined]


def test_a_stream_goes_on_past_an_unreadable_picture_only_if_told(
    predictor: Predictor, folder: Path
) -> None:
    (folder / "aa.png").write_text("no picture")
    failed: list[Path] = []
    results = list(
        predictor.stream(
            folder,
            steps=PostProcessing(score_threshold=0.5),
            on_error=lambda path, error: failed.append(path),
        )
    )
    assert [len(result) for result in results] == [0, 2, 2]
    assert failed == [folder / "aa.png"]
    with pytest.raises(ImageError, match=r"aa\.png"):
        list(predictor.stream(folder))


def test_a_stream_of_nothing_is_an_error_at_once(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no picture in this folder"):
        predictor.stream(tmp_path)


class _Threshold:
    """A semantic runtime without a network: bright pixels are "light", the others background."""

    class_names = ("light",)

    def __init__(self) -> None:
        self.batch_sizes: list[int] = []

    def collate(self, images: list[np.ndarray]) -> Batch:
        return collate_pictures(
            images, size_of=lambda size: size, size_multiple=1, device=torch.device("cpu")
        )

    def class_maps(self, batch: Batch) -> list[np.ndarray]:
        self.batch_sizes.append(len(batch))
        bright = (batch.images > 20).any(dim=1).int().numpy()
        return [
            one[:height, :width]
            for one, (height, width) in zip(bright, batch.image_sizes, strict=True)
        ]


def test_a_class_map_has_the_class_of_every_pixel(picture: np.ndarray, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture[..., ::-1])
    predictor = Predictor(_Threshold())
    expected = (picture.max(axis=2) > 20).astype(int)
    for form in (picture, tmp_path / "a.png", Image.fromarray(picture)):
        np.testing.assert_array_equal(predictor.class_map(form), expected)
    listed = predictor.class_map([picture, picture[:7], picture], batch_size=2)
    assert predictor.model.batch_sizes[-2:] == [2, 1]  # type: ignore[union-attr]
    np.testing.assert_array_equal(listed[1], expected[:7])
    assert predictor.class_map([]) == []
    with pytest.raises(ConfigError, match="batch_size must be 1 or more, got 0"):
        predictor.class_map([picture], batch_size=0)
    with pytest.raises(ImageError, match="picture 1 of the list"):
        predictor.class_map([picture, "gone.png"])


def test_what_a_model_cannot_do_is_an_error_that_names_what_it_can(
    predictor: Predictor, picture: np.ndarray
) -> None:
    semantic = Predictor(_Threshold())
    assert (predictor.finds_objects, semantic.finds_objects) == (True, False)
    with pytest.raises(ConfigError, match=r"semantic model.*call class_map\(\)"):
        semantic.predict(picture)
    with pytest.raises(ConfigError, match=r"BlobRuntime has no class map.*fcn or deeplab"):
        predictor.class_map(picture)
