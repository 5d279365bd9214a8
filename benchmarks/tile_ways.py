"""The ways in which a whole large picture is predicted on, for `benchmarks/tiles.py`.

A way takes a predictor and the path of a picture and returns masks and scores in the frame of the
picture. The peers call the same predictor tile by tile and join in their own manner; SAHI needs a
Python environment that has it beside maskwright.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data import open_windows
from maskwright.inference import Predictor, plan_tiles
from maskwright.inference.tiling import Tiles
from maskwright.masks import Masks

SHOWN_SCORE = 0.5

Found = tuple[Masks, np.ndarray, dict[str, Any]]


def with_tiles(
    predictor: Predictor, path: Path, tiles: Tiles, overlap: int | None, batch_size: int
) -> Found:
    """Ours: everything the model gives, read window by window."""
    told: list[int] = []
    ended = [0.0]

    def progress(done: int, total: int) -> None:
        told[:] = [total]
        ended[0] = time.perf_counter()
        if done % 100 == 0:
            print(f"{done} of {total} tiles", file=sys.stderr)

    with open_windows(path) as windows:
        found = predictor.predict_windows(
            windows, tiles=tiles, overlap=overlap, batch_size=batch_size, progress=progress
        )
    assert found.masks is not None
    assert found.scores is not None
    joined = round(time.perf_counter() - ended[0], 3)
    return found.masks, found.scores.numpy(), {"tiles": told[0], "seconds_to_join": joined}


def with_supervision(
    predictor: Predictor, path: Path, tiles: Tiles, overlap: int | None, batch_size: int
) -> Found:
    """supervision's InferenceSlicer with non-maximum merging, on the same tiles."""
    import supervision as sv

    del batch_size  # its callback is given one tile
    image = whole_picture(path)
    side, shared = tile_and_overlap(predictor, tiles, overlap)
    slicer = sv.InferenceSlicer(
        # Only what is shown: its merging of all that a model gives takes minutes at 1000 pixels.
        callback=lambda tile: predictor.predict(tile, score_threshold=SHOWN_SCORE).to_supervision(),
        slice_wh=(side, side),
        overlap_wh=(shared, shared),
        overlap_filter=sv.OverlapFilter.NON_MAX_MERGE,
        overlap_metric=sv.OverlapMetric.IOS,
        iou_threshold=0.5,
    )
    found = slicer(image)
    if not len(found):
        return Masks.empty(image.shape[:2]), np.zeros(0), {}
    masks = Masks.concatenate([Masks.from_dense(mask[None]) for mask in found.mask])
    return masks, found.confidence, {}


def with_sahi(
    predictor: Predictor, path: Path, tiles: Tiles, overlap: int | None, batch_size: int
) -> Found:
    """SAHI's sliced prediction with its default merging, on the same tiles."""
    from sahi.predict import get_sliced_prediction  # type: ignore[import-not-found]

    image = whole_picture(path)
    side, shared = tile_and_overlap(predictor, tiles, overlap)
    result = get_sliced_prediction(
        image,
        sahi_model(predictor),
        slice_height=side,
        slice_width=side,
        overlap_height_ratio=shared / side,
        overlap_width_ratio=shared / side,
        perform_standard_pred=False,
        batch_size=batch_size,
        verbose=0,
    )
    size = image.shape[:2]
    masks = [Masks.from_dense(one.mask.bool_mask[None]) for one in result.object_prediction_list]
    scores = np.array([one.score.value for one in result.object_prediction_list])
    return Masks.concatenate(masks) if masks else Masks.empty(size), scores, {}


def sahi_model(predictor: Predictor) -> Any:
    """Return the predictor as a model of SAHI's."""
    from sahi.models.base import DetectionModel  # type: ignore[import-not-found]
    from sahi.prediction import ObjectPrediction  # type: ignore[import-not-found]
    from sahi.utils.cv import (  # type: ignore[import-not-found]
        get_coco_segmentation_from_bool_mask,
    )

    class Wrapped(DetectionModel):  # type: ignore[misc]
        def set_model(self, model: Any, **_: Any) -> None:
            self.model = model
            self.category_mapping = dict(enumerate(predictor.class_names))

        def perform_inference(self, image: np.ndarray) -> None:
            self._original_predictions = self.model.predict(image, score_threshold=SHOWN_SCORE)

        def _create_object_prediction_list_from_original_predictions(
            self, shift_amount_list: Any = None, full_shape_list: Any = None
        ) -> None:
            found = self._original_predictions
            shift = shift_amount_list[0] if shift_amount_list else [0, 0]
            shape = full_shape_list[0] if full_shape_list else None
            entries = zip(found.masks.to_dense(), found.labels, found.scores, strict=True)
            objects = []
            for dense, label, score in entries:
                outline = get_coco_segmentation_from_bool_mask(dense)
                if outline:
                    objects.append(
                        ObjectPrediction(
                            category_id=int(label),
                            category_name=predictor.class_names[int(label)],
                            segmentation=outline,
                            score=float(score),
                            shift_amount=shift,
                            full_shape=shape,
                        )
                    )
            self._object_prediction_list_per_image = [objects]

    return Wrapped(model=predictor, confidence_threshold=SHOWN_SCORE, device="cpu")


def whole_picture(path: Path) -> np.ndarray:
    """Read all of a picture, as the peers need it."""
    with open_windows(path) as windows:
        height, width = windows.image_size
        return windows.read((0, 0, width, height))


def tile_and_overlap(predictor: Predictor, tiles: Tiles, overlap: int | None) -> tuple[int, int]:
    """Return the side of a tile and the overlap that ours take on a large picture, in pixels."""
    plan = plan_tiles(
        (10**6, 10**6),  # where tiles are not spread over what is left
        tiles=tiles,
        overlap=overlap,
        picture_side=predictor.model.picture_side,
        object_side=predictor.model.object_side,
    )
    side = plan.tile_size[0]
    return side, int(side - max(np.diff(plan.columns)))


WAYS: dict[str, Callable[[Predictor, Path, Tiles, int | None, int], Found]] = {
    "tiles": with_tiles,
    "supervision": with_supervision,
    "sahi": with_sahi,
}
