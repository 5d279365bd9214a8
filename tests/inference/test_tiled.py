"""A picture in tiles gives what the whole picture gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from PIL import Image

from inference.conftest import BlobRuntime
from maskwright.data import ArrayWindows, read_image
from maskwright.errors import ConfigError, ImageError
from maskwright.inference import Predictor, predict_to_folder
from maskwright.inference.result_files import Place, ResultFiles
from maskwright.inference.writers import write_label_map, write_large_label_map
from maskwright.masks import Masks
from maskwright.structures import Batch, Instances


class _Watched(BlobRuntime):
    """Remembers the sizes of the pictures it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: set[tuple[int, ...]] = set()

    def collate(self, images: Sequence[np.ndarray]) -> Batch:
        self.sizes |= {image.shape for image in images}
        return super().collate(images)


@pytest.fixture
def watched() -> _Watched:
    return _Watched()


@pytest.fixture
def large() -> np.ndarray:
    """300 x 420 with discs of up to 28 pixels, apart from each other, and a long bar."""
    image = np.zeros((300, 420, 3), np.uint8)
    rng = np.random.default_rng(0)
    for y in range(20, 260, 34):
        for x in range(20, 400, 34):
            colour = [int(rng.integers(60, 255)), 0, 0][:: rng.choice([1, -1])]
            centre = (x + int(rng.integers(-2, 3)), y)
            cv2.circle(image, centre, int(rng.integers(2, 14)), colour, -1)
    image[285:292, 5:415] = (0, 200, 0)
    return image


def _described(found: Instances) -> list[tuple[object, ...]]:
    assert found.masks is not None
    assert found.scores is not None
    rows = zip(found.masks, found.names, found.scores.tolist(), found.boxes.tolist(), strict=True)
    return sorted((m.runs.tolist(), name, round(score, 5), box) for m, name, score, box in rows)


@pytest.mark.parametrize(("tiles", "overlap"), [(64, 32), (100, 31), (150, None)])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_tiles_give_the_objects_of_the_whole(
    watched: _Watched, large: np.ndarray, tiles: int, overlap: int | None, batch_size: int
) -> None:
    predictor = Predictor(watched)
    whole = predictor.predict(large)
    assert len(whole) == 97
    watched.sizes.clear()
    watched.batch_sizes.clear()
    found = predictor.predict(large, tiles=tiles, overlap=overlap, batch_size=batch_size)
    assert watched.sizes == {(tiles, tiles, 3)}
    assert max(watched.batch_sizes) == batch_size
    assert _described(found) == _described(whole)
    assert found.scores is not None
    assert (found.scores.diff() <= 0).all()


def test_every_form_of_a_picture_can_be_cut(
    predictor: Predictor, large: np.ndarray, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", large, photometric="rgb", tile=(64, 64))
    cv2.imwrite(str(tmp_path / "b.png"), large[..., ::-1])
    np.save(tmp_path / "c.npy", large)
    mapped = np.load(tmp_path / "c.npy", mmap_mode="r")
    whole = _described(predictor.predict(large))
    tensor = torch.from_numpy(large).permute(2, 0, 1)
    forms = [tmp_path / "a.tif", tmp_path / "b.png", mapped, Image.fromarray(large), tensor]
    listed = predictor.predict(forms, tiles=100, overlap=32)
    assert all(_described(found) == whole for found in listed)
    assert listed[0].source == tmp_path / "a.tif"
    assert listed[2].source is mapped


def test_steps_come_after_the_join(predictor: Predictor, large: np.ndarray) -> None:
    whole = predictor.predict(large, min_area=300, classes=["coin"], score_threshold=0.5)
    found = predictor.predict(
        large, tiles=64, overlap=32, min_area=300, classes=["coin"], score_threshold=0.5
    )
    assert 0 < len(whole) < 40
    assert _described(found) == _described(whole)


def test_auto_takes_the_sizes_that_the_model_knows(watched: _Watched, large: np.ndarray) -> None:
    watched.picture_side, watched.object_side = 80, 30
    predictor = Predictor(watched)
    whole = _described(predictor.predict(large))
    watched.sizes.clear()
    assert _described(predictor.predict(large, tiles="auto")) == whole
    assert watched.sizes == {(80, 80, 3)}
    watched.picture_side = 300
    watched.sizes.clear()
    predictor.predict(large, tiles="auto")
    assert watched.sizes == {(300, 420, 3)}, "little more than a tile is left whole"


def test_what_cannot_be_cut_is_said(predictor: Predictor, large: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="give the side of a tile in pixels"):
        predictor.predict(large, tiles="auto")
    with pytest.raises(ConfigError, match="from 0 to half a tile"):
        predictor.predict(large, tiles=64, overlap=40)
    with pytest.raises(ConfigError, match="has no class 'coins'"):
        predictor.predict(large, tiles=64, classes=["coins"])
    with pytest.raises(ImageError, match="no such picture"):
        predictor.predict("nowhere.tif", tiles=64)


def test_a_folder_in_tiles_gives_the_files_of_the_whole(
    predictor: Predictor, large: np.ndarray, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "a.png"), large[..., ::-1])
    tifffile.imwrite(pictures / "b.tif", large[:200], photometric="rgb", compression="zlib")
    (pictures / "c.tif").write_bytes(b"damaged")
    progress: list[tuple[int, int]] = []
    whole = predict_to_folder(predictor, [pictures], tmp_path / "whole")
    run = predict_to_folder(
        predictor,
        [pictures],
        tmp_path / "tiles",
        tiles=100,
        overlap=32,
        batch_size=4,
        progress=lambda done, total: progress.append((done, total)),
    )
    assert [failure.path.name for failure in run.failures] == ["c.tif"]
    assert run.num_objects == whole.num_objects > 100
    assert run.notes == ()
    first, second = 4 * 6, 3 * 6
    assert [done for done, _ in progress] == list(range(1, first + second + 1))
    assert progress[-1][1] == round((first + second) * 3 / 2)
    for name in ("objects.csv", "overlay/a.png", "labelmap/b.png"):
        assert (tmp_path / "tiles" / name).is_file()
    table = [pd.read_csv(tmp_path / out / "objects.csv") for out in ("whole", "tiles")]
    keys = ["file_name", "centroid_x", "centroid_y"]
    one, other = (each.sort_values(keys).drop(columns="object") for each in table)
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))
    results = [json.loads((tmp_path / o / "results.json").read_text()) for o in ("whole", "tiles")]
    assert sorted(r["segmentation"]["counts"] for r in results[0]) == sorted(
        r["segmentation"]["counts"] for r in results[1]
    )


def test_files_of_a_large_picture_are_made_for_its_size(tmp_path: Path) -> None:
    image = np.zeros((8100, 8000, 3), np.uint8)
    image[100:200, 50:250] = 200
    masks = Masks.from_boxes([[50, 100, 250, 200], [7000, 8000, 8000, 8100]], image.shape[:2])
    found = Instances(
        image_size=masks.image_size,
        boxes=torch.from_numpy(masks.boxes.copy()),
        labels=torch.zeros(2, dtype=torch.int64),
        scores=torch.tensor([0.9, 0.8]),
        masks=masks,
    )
    files = ResultFiles(tmp_path, frozenset({"overlay", "labelmap", "masks"}), None)
    place = Place(stem="a", image_id=1, file_name="a.tif")
    files.add(place, ArrayWindows(image), found, found)
    assert files.notes == [
        "a.tif has more than 64 megapixels: its overlay is 1/2 of its size, its label map is a "
        "TIFF, no picture per object was written (results.json holds the masks)",
    ]
    assert files.written == [tmp_path / "overlay" / "a.png", tmp_path / "labelmap" / "a.tif"]
    drawn = read_image(files.written[0])
    assert drawn.shape == (4050, 4000, 3)
    assert drawn[60, 50].any()
    assert drawn[4049, 3999].any()
    assert not drawn[49, 50].any()
    label_map = tifffile.imread(files.written[1])
    assert label_map.dtype == np.uint16
    assert np.array_equal(label_map, masks.to_label_map())


@pytest.mark.parametrize("n", [0, 1, 40])
def test_a_large_label_map_holds_what_a_small_one_does(tmp_path: Path, n: int) -> None:
    rng = np.random.default_rng(n)
    corners = rng.integers(0, 500, (n, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 200, (n, 2))], axis=1)
    masks = Masks.from_boxes(boxes, (555, 613))
    found = Instances(
        image_size=(555, 613),
        boxes=torch.from_numpy(masks.boxes.copy()),
        labels=torch.zeros(n, dtype=torch.int64),
        scores=torch.from_numpy(rng.random(n).astype(np.float32)),
        masks=masks,
    )
    write_large_label_map(tmp_path / "a.tif", found)
    write_label_map(tmp_path / "a.png", found)
    expected = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), expected)
