"""Selective search: its boxes, their order, the cache and the recall."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from maskwright.data import read_image
from maskwright.detectors.region_grouping import COLOUR_SPACES, region_hierarchies
from maskwright.detectors.selective_search import (
    ProposalCache,
    proposal_recall,
    selective_search,
)
from maskwright.errors import ConfigError, DataError, ImageError


def _scene(height: int = 90, width: int = 120, seed: int = 0) -> np.ndarray:
    """A noisy picture with a red and a blue block on green."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = (60, 140, 60)
    image[20:50, 10:60] = (200, 40, 40)
    image[40:80, 75:110] = (30, 60, 210)
    noise = rng.integers(-8, 9, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _patchwork() -> np.ndarray:
    """A picture of 48 noisy tiles of random colours."""
    rng = np.random.default_rng(7)
    tiles = rng.integers(20, 236, (6, 8, 3)).repeat(10, axis=0).repeat(10, axis=1)
    return (tiles + rng.integers(-6, 7, tiles.shape)).astype(np.uint8)


_BLOCKS = np.array([[10, 20, 60, 50], [75, 40, 110, 80]], float)


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    other_areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return shared / (areas[:, None] + other_areas - shared)


@pytest.mark.parametrize("longest_side", [60, 120, 240])
def test_objects_are_found_in_the_frame_of_the_picture_at_any_search_size(longest_side):
    boxes = selective_search(_scene(), longest_side=longest_side)
    assert (_iou(boxes.astype(float), _BLOCKS).max(axis=0) > 0.85).all()


def test_boxes_are_float32_distinct_ordered_and_inside_the_picture():
    boxes = selective_search(_scene())
    assert boxes.dtype == np.float32
    assert len(np.unique(boxes, axis=0)) == len(boxes)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= 120).all()
    assert (boxes[:, 3] <= 90).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert [0, 0, 120, 90] in boxes.tolist()


def test_equal_arguments_give_equal_boxes_and_the_seed_only_changes_their_order():
    first, again = (selective_search(_scene(), seed=3, longest_side=120) for _ in range(2))
    other = selective_search(_scene(), seed=4, longest_side=120)
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()
    assert sorted(first.tolist()) == sorted(other.tolist())


def test_fewer_proposals_are_the_first_of_more():
    np.testing.assert_array_equal(
        selective_search(_scene(), max_proposals=7), selective_search(_scene())[:7]
    )


def test_large_boxes_tend_to_come_first():
    boxes = selective_search(_scene())
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    half = len(areas) // 2
    assert np.median(areas[:half]) > np.median(areas[half:])


def test_quality_holds_every_box_of_fast_and_more():
    fast, quality = (
        set(map(tuple, selective_search(_scene(), mode=mode, longest_side=120).tolist()))
        for mode in ("fast", "quality")
    )
    assert fast < quality


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 3), (1, 500), (500, 1), (3, 500)])
@pytest.mark.parametrize("value", [0, 255])
def test_tiny_and_flat_pictures_give_the_whole_picture(size, value):
    boxes = selective_search(np.full((*size, 3), value, np.uint8))
    assert boxes.tolist() == [[0, 0, size[1], size[0]]]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 500), (500, 1), (3, 500)])
def test_tiny_noisy_pictures_give_boxes_inside_them(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for mode in ("fast", "quality"):
        boxes = selective_search(image, mode=mode, longest_side=200)
        assert [0, 0, size[1], size[0]] in boxes.tolist()
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= [size[1], size[0]]).all()


def test_a_large_flat_picture_gives_the_whole_picture():
    image = np.full((700, 900, 3), 77, np.uint8)
    assert selective_search(image).tolist() == [[0, 0, 900, 700]]


def test_objects_are_found_in_a_grey_picture():
    grey = np.repeat(_scene()[:, :, 2:], 3, axis=2)
    boxes = selective_search(grey, longest_side=120)
    assert (_iou(boxes.astype(float), _BLOCKS).max(axis=0) > 0.85).all()


def test_a_flipped_or_read_only_view_is_searched_like_its_copy():
    view = _scene()[:, ::-1]
    frozen = view.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(selective_search(view), selective_search(frozen))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 40, 50), np.uint8),
        np.zeros((40, 50), np.uint8),
        np.zeros((40, 50, 4), np.uint8),
        np.zeros((40, 50, 3), np.float32),
        np.zeros((0, 50, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_picture_is_an_error(image, tmp_path):
    with pytest.raises(ImageError, match=r"wants an RGB \(height, width, 3\) uint8 picture, got"):
        selective_search(image)
    with pytest.raises(ImageError, match="wants an RGB"):
        ProposalCache(tmp_path).search(image)


def test_channels_first_is_named_as_the_likely_mistake():
    with pytest.raises(ImageError, match="channels first"):
        selective_search(np.zeros((3, 40, 50), np.uint8))


def test_options_out_of_range_are_errors():
    with pytest.raises(ConfigError, match=r"one of fast, quality, got 'qualty'.*Did"):
        selective_search(_scene(), mode="qualty")
    with pytest.raises(ConfigError, match="max_proposals must be at least 1, got 0"):
        selective_search(_scene(), max_proposals=0)
    with pytest.raises(ConfigError, match="longest_side must be at least 1, got -5"):
        selective_search(_scene(), longest_side=-5)


# The grouping, against the paper's algorithm 1 that measures every region anew from its pixels.


def _reference_textures(planes: np.ndarray) -> list[np.ndarray]:
    from scipy.ndimage import gaussian_filter

    textures = []
    for k in range(planes.shape[2]):
        # SciPy calls OpenCV's default border, which repeats no pixel, "mirror".
        x, y = (
            gaussian_filter(planes[..., k].astype(float), 1, order=order, mode="mirror")
            for order in ((0, 1), (1, 0))
        )
        for angle in np.arange(8) * np.pi / 4:
            response = np.maximum(np.cos(angle) * x + np.sin(angle) * y, 0)
            textures.append(np.minimum(response * np.sqrt(2 * np.pi) / 25.5, 9).astype(int))
    return textures


def _reference_histograms(planes: np.ndarray, textures: list[np.ndarray], mask: np.ndarray):
    colours = [planes[..., k].astype(int) * 25 // 256 for k in range(planes.shape[2])]
    for features, bins in ((colours, 25), (textures, 10)):
        counts = [np.bincount(feature[mask], minlength=bins) for feature in features]
        yield np.concatenate(counts) / np.sum(counts)


def _reference_box(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def _reference_hierarchy(planes: np.ndarray, regions: np.ndarray, weights) -> np.ndarray:
    textures = _reference_textures(planes)
    masks = [regions == label for label in range(regions.max() + 1)]

    def similarity(pair):
        one, other = (masks[label] for label in pair)
        colour, texture = (
            np.minimum(p, q).sum()
            for p, q in zip(
                _reference_histograms(planes, textures, one),
                _reference_histograms(planes, textures, other),
                strict=True,
            )
        )
        covered = (one | other).sum()
        x1, y1, x2, y2 = _reference_box(one | other)
        size = 1 - covered / one.size
        fill = 1 - ((x2 - x1) * (y2 - y1) - covered) / one.size
        return np.dot(weights, [colour, texture, size, fill])

    sides = ((regions[:, 1:], regions[:, :-1]), (regions[1:], regions[:-1]))
    pairs = {
        frozenset(pair)
        for one, other in sides
        for pair in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
        if pair[0] != pair[1]
    }
    similarities = {pair: similarity(pair) for pair in pairs}
    while similarities:
        best = max(similarities, key=similarities.__getitem__)
        new = len(masks)
        masks.append(np.any([masks[label] for label in best], axis=0))
        bordering = set().union(*(pair for pair in similarities if pair & best)) - best
        similarities = {pair: s for pair, s in similarities.items() if not pair & best}
        similarities |= {(p := frozenset({label, new})): similarity(p) for label in bordering}
    return np.array([_reference_box(mask) for mask in masks])


@pytest.mark.parametrize("colour_space", ["hsv", "lab", "rgi", "hue", "intensity"])
def test_the_hierarchy_is_that_of_a_version_which_measures_pixels_anew(colour_space):
    from skimage.segmentation import felzenszwalb

    image = _patchwork()
    planes = COLOUR_SPACES[colour_space](image)
    regions = felzenszwalb(planes, scale=30, sigma=0.8, min_size=30)
    assert 20 < regions.max() < 200
    # Colour or texture is in each: sizes and fills alone are whole numbers of pixels, and tie.
    all_weights = ((1, 1, 1, 1), (0, 1, 1, 1), (1, 0, 0, 1), (0, 1, 1, 0))
    hierarchies = region_hierarchies(image, colour_space, (30,), all_weights)
    for weights, hierarchy in zip(all_weights, hierarchies, strict=True):
        np.testing.assert_array_equal(
            hierarchy, _reference_hierarchy(planes, regions, weights), err_msg=str(weights)
        )


def test_every_hierarchy_ends_in_the_whole_picture_and_doubles_its_regions():
    hierarchies = list(region_hierarchies(_scene(), "lab", (50, 100), ((1, 1, 1, 1), (0, 0, 0, 1))))
    assert len(hierarchies) == 4
    for hierarchy in hierarchies:
        assert hierarchy[-1].tolist() == [0, 0, 120, 90]
        assert len(hierarchy) % 2 == 1
    assert len(hierarchies[0]) == len(hierarchies[1]) > len(hierarchies[2])


# The cache.


def test_the_cache_gives_the_boxes_of_the_search_and_reads_them_the_second_time(tmp_path):
    cache = ProposalCache(tmp_path / "made" / "when needed")
    assert not cache.folder.exists()
    expected = selective_search(_scene())
    np.testing.assert_array_equal(cache.search(_scene()), expected)
    (file,) = cache.folder.iterdir()
    marked = expected + np.float32(0.5)
    np.save(file, marked)
    np.testing.assert_array_equal(cache.search(_scene()), marked)


def test_another_picture_or_option_has_another_file(tmp_path):
    cache = ProposalCache(tmp_path)
    image = np.zeros((20, 30, 3), np.uint8)
    changed = image.copy()
    changed[0, 0, 0] = 1
    cache.search(image)
    cache.search(changed)
    cache.search(image.reshape(30, 20, 3))
    cache.search(image, mode="quality")
    cache.search(image, max_proposals=5)
    cache.search(image, seed=1)
    cache.search(image, longest_side=20)
    assert len(list(tmp_path.iterdir())) == 7
    cache.search(np.asfortranarray(image), longest_side=20)
    assert len(list(tmp_path.iterdir())) == 7


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"no array"])
def test_a_damaged_file_is_named(damage, tmp_path):
    cache = ProposalCache(tmp_path)
    cache.search(_scene())
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    with pytest.raises(DataError, match=rf"{file.name} is damaged .* delete it"):
        cache.search(_scene())


def test_a_file_of_something_else_is_named(tmp_path):
    cache = ProposalCache(tmp_path)
    cache.search(_scene())
    (file,) = tmp_path.iterdir()
    np.save(file, np.zeros((3, 5)))
    with pytest.raises(DataError, match=r"holds float64 of shape \(3, 5\), not \(n, 4\) float32"):
        cache.search(_scene())


def _search_all(folder: Path) -> list[list[list[float]]]:
    cache = ProposalCache(folder)
    return [cache.search(_scene(seed=seed), longest_side=60).tolist() for seed in range(6)]


def test_threads_share_a_folder(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(_search_all, [tmp_path] * 4))
    assert results == [results[0]] * 4
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.slow
def test_processes_share_a_folder(tmp_path):
    # Threads in the parent (torch's) make forking unsafe, so start afresh from a server.
    with multiprocessing.get_context("forkserver").Pool(2) as pool:
        results = pool.map(_search_all, [tmp_path] * 4, chunksize=1)
    expected = [selective_search(_scene(seed=s), longest_side=60).tolist() for s in range(6)]
    assert results == [expected] * 4
    assert len(list(tmp_path.iterdir())) == 6


# Recall.


def test_recall_counts_objects_over_all_pictures():
    true = [np.array([[0, 0, 10, 10], [20, 0, 30, 10.0]]), np.zeros((0, 4)), _BLOCKS]
    found = [np.array([[0, 0, 10, 8.0]]), np.zeros((0, 4)), np.zeros((0, 4))]
    assert proposal_recall(found, true) == 1 / 4
    assert proposal_recall(found, true, iou=0.8) == 1 / 4
    assert proposal_recall(found, true, iou=0.81) == 0
    assert proposal_recall(true, true, iou=1) == 1


def test_recall_agrees_with_a_plain_overlap_table():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 50, (2, 40, 2))
    boxes = np.concatenate([corners[0], corners[0] + corners[1] + 1], axis=1).astype(np.float32)
    best = _iou(boxes[:30].astype(float), boxes[30:].astype(float)).max(axis=0)
    for iou in (0.2, 0.3, 0.5):
        assert proposal_recall([boxes[:30]], [boxes[30:]], iou) == (best >= iou).mean()


def test_recall_without_true_boxes_is_nan():
    assert np.isnan(proposal_recall([], []))
    assert np.isnan(proposal_recall([_BLOCKS], [np.zeros((0, 4))]))


def test_recall_wants_a_list_of_pictures():
    with pytest.raises(DataError, match="proposals of 3 pictures and boxes of 2"):
        proposal_recall([_BLOCKS] * 3, [_BLOCKS] * 2)
    with pytest.raises(DataError, match=r"must be \(n, 4\) xyxy, got \(4,\)"):
        proposal_recall(_BLOCKS, _BLOCKS)


@pytest.mark.shared_data
def test_most_objects_of_real_pictures_are_found(shared_data):
    folder = shared_data / "fruit_nuts"
    index = json.loads((folder / "trainval.json").read_text())
    proposals, boxes = [], []
    for picture in index["images"][:2]:
        found = [a["bbox"] for a in index["annotations"] if a["image_id"] == picture["id"]]
        xywh = np.array(found, float).reshape(-1, 4)
        boxes.append(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1))
        image = read_image(folder / "images" / Path(picture["file_name"]).name)
        proposals.append(selective_search(image, longest_side=240))
    assert proposal_recall(proposals, boxes) > 0.95
    assert proposal_recall([p[:500] for p in proposals], boxes, iou=0.7) > 0.7
