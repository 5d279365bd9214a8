"""From a picture in any form to its objects, or to the class of each of its pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeAlias, cast, overload

import numpy as np
from jaxtyping import Int32

from maskwright.data import PictureWindows, PixelFormat
from maskwright.errors import ConfigError, ImageError
from maskwright.inference.fusing import fuse_views
from maskwright.inference.pictures import Picture, PictureSource, as_picture, read_pictures
from maskwright.inference.postprocess import PostProcessing, require_classes
from maskwright.inference.runtime import Runtime, SemanticRuntime, TakesPixels
from maskwright.inference.sources import find_sources
from maskwright.inference.tiled import find_in_tiles, windows_of
from maskwright.inference.tiling import Tiles, plan_tiles
from maskwright.inference.views import AS_IT_IS, View, parse_views
from maskwright.score_calibration import ScoreCalibration, parse_threshold_name
from maskwright.structures import Instances

__all__ = ["Predictor", "ScoreThreshold"]

ScoreThreshold: TypeAlias = float | str | Mapping[str, float] | None
"""Lowest score to keep: one for all, by class, or by a name that a calibrated model knows."""


class Predictor:
    """Finds the objects in pictures, or their class maps, in whatever form the pictures come.

    Args:
        model: What runs the network.
        calibration: Maps its scores to probabilities, before all post-processing; None leaves
            them as they are.
        tta: Test-time augmentation: the views whose objects are fused, such as "flips" or
            "flips+scales" (`parse_views`, `fuse_views`); None takes pictures as they are.

    Raises:
        ConfigError: Unknown views, or any of a model that finds no objects.
    """

    def __init__(
        self,
        model: Runtime | SemanticRuntime,
        calibration: ScoreCalibration | None = None,
        *,
        tta: str | None = None,
    ) -> None:
        self.model = model
        self.calibration = calibration
        self.views = parse_views(tta)
        if tta is not None and not self.finds_objects:
            raise ConfigError(
                f"test-time augmentation {tta!r} fuses objects, and a semantic model finds none"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that the model knows, by label."""
        return tuple(self.model.class_names)

    @property
    def pixel_format(self) -> PixelFormat | None:
        """What pictures the model takes; None is RGB of 8 bits, to which others are brought."""
        return self.model.pixel_format if isinstance(self.model, TakesPixels) else None

    @property
    def finds_objects(self) -> bool:
        """Whether `predict` works; a semantic model has `class_map` alone."""
        return isinstance(self.model, Runtime)

    def score_thresholds(self, wanted: ScoreThreshold) -> float | Mapping[str, float] | None:
        """Return what a name such as "auto" stands for, by class; anything else as it is.

        Raises:
            ConfigError: A name, and the model is not calibrated or has no such thresholds.
        """
        if not isinstance(wanted, str):
            return wanted
        if wanted != "auto":
            parse_threshold_name(wanted)
        if self.calibration is None:
            raise ConfigError(
                f"score threshold {wanted!r} needs a calibrated model, and this one is not: run "
                "maskwright calibrate MODEL DATA first, or give a number"
            )
        return self.calibration.score_thresholds(wanted)

    def __repr__(self) -> str:
        return f"<Predictor of {len(self.class_names)} classes: {type(self.model).__name__}>"

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of str; it means a path
        self,
        source: PictureSource,
        *,
        score_threshold: ScoreThreshold = None,
        classes: Sequence[str] | None = None,
        nms_threshold: float | None = None,
        remove_overlaps: bool = False,
        min_area: float = 0,
        tighten_boxes: bool = False,
        batch_size: int = 1,
        tiles: Tiles | None = None,
        overlap: int | None = None,
    ) -> Instances: ...

    @overload
    def predict(
        self,
        source: Sequence[PictureSource],
        *,
        score_threshold: ScoreThreshold = None,
        classes: Sequence[str] | None = None,
        nms_threshold: float | None = None,
        remove_overlaps: bool = False,
        min_area: float = 0,
        tighten_boxes: bool = False,
        batch_size: int = 1,
        tiles: Tiles | None = None,
        overlap: int | None = None,
    ) -> list[Instances]: ...

    def predict(
        self,
        source: PictureSource | Sequence[PictureSource],
        *,
        score_threshold: ScoreThreshold = None,
        classes: Sequence[str] | None = None,
        nms_threshold: float | None = None,
        remove_overlaps: bool = False,
        min_area: float = 0,
        tighten_boxes: bool = False,
        batch_size: int = 1,
        tiles: Tiles | None = None,
        overlap: int | None = None,
    ) -> Instances | list[Instances]:
        """Find the objects in one picture, or in each of a list of pictures.

        Every result knows its picture (`Instances.source`), so `save_overlay` can draw on it.
        The defaults return all that the model gives, surest first; `PostProcessing` says more on
        each step.

        Args:
            source: A path; a PIL image; a NumPy array (h, w, 3) RGB or (h, w), uint8 or float
                0..1; a tensor (3, h, w), likewise; or a list of them. Folders: `stream`.
            score_threshold: Lowest score to keep, 0 to 1; or by class, name -> score; or, of a
                calibrated model, a name: "auto", "auto:f1", "auto:precision=0.9" or the like.
            classes: Names of the classes to keep.
            nms_threshold: Largest mask IoU that two kept objects of one class may have, 0 to 1.
            remove_overlaps: Give shared pixels to the surer object.
            min_area: Smallest mask to keep, in pixels.
            tighten_boxes: Replace boxes by those of the masks.
            batch_size: Pictures of a list, or tiles, that go through the network together.
            tiles: Cut large pictures into tiles of so many pixels a side and join what is found;
                "auto" takes the size that the model was trained at. None predicts pictures whole.
                A TIFF file is then read window by window, so it may be larger than memory.
            overlap: Pixels that neighbouring tiles share; None takes the size of large objects.

        Raises:
            ImageError: A picture that cannot be read or is of an unknown form.
            ConfigError: An option outside its range, or a class that the model does not know.
        """
        steps = PostProcessing(
            score_threshold=self.score_thresholds(score_threshold),
            classes=None if classes is None else tuple(classes),
            nms_threshold=nms_threshold,
            remove_overlaps=remove_overlaps,
            min_area=min_area,
            tighten_boxes=tighten_boxes,
        )
        if tiles is not None:
            cut = partial(
                self._cut, tiles=tiles, overlap=overlap, steps=steps, batch_size=batch_size
            )
            if isinstance(source, list | tuple):
                return [cut(each) for each in source]
            return cut(cast(PictureSource, source))
        if isinstance(source, list | tuple):
            return list(
                self.run(
                    _listed_pictures(source, self.pixel_format), steps=steps, batch_size=batch_size
                )
            )
        one = (as_picture(each, self.pixel_format) for each in [cast(PictureSource, source)])
        return next(self.run(one, steps=steps))

    @overload
    def class_map(  # type: ignore[overload-overlap]  # a str is a sequence of str; it means a path
        self, source: PictureSource, *, batch_size: int = 1
    ) -> Int32[np.ndarray, "h w"]: ...

    @overload
    def class_map(
        self, source: Sequence[PictureSource], *, batch_size: int = 1
    ) -> list[Int32[np.ndarray, "_ _"]]: ...

    def class_map(
        self, source: PictureSource | Sequence[PictureSource], *, batch_size: int = 1
    ) -> Int32[np.ndarray, "h w"] | list[Int32[np.ndarray, "_ _"]]:
        """Return the class of every pixel: 0 is background, i + 1 is `class_names[i]`.

        Semantic segmentation, which does not tell objects of one class apart.

        Args:
            source: A picture or a list of pictures, as for `predict`.
            batch_size: Pictures of a list that go through the network together.

        Raises:
            ImageError: A picture that cannot be read or is of an unknown form.
            ConfigError: The model has no class map, or a `batch_size` below 1.
        """
        if isinstance(source, list | tuple):
            pictures = self.run_class_maps(
                _listed_pictures(source, self.pixel_format), batch_size=batch_size
            )
            return [found for _, found in pictures]
        one = (as_picture(each, self.pixel_format) for each in [cast(PictureSource, source)])
        return next(self.run_class_maps(one))[1]

    def predict_windows(
        self,
        windows: PictureWindows,
        *,
        tiles: Tiles = "auto",
        overlap: int | None = None,
        steps: PostProcessing | None = None,
        batch_size: int = 1,
        progress: Callable[[int, int], None] | None = None,
    ) -> Instances:
        """Find the objects in a picture that is read window by window; see `predict`.

        Args:
            windows: The picture; it stays open.
            tiles: Side of a tile in pixels, or "auto".
            overlap: Pixels that neighbouring tiles share; None takes the size of large objects.
            steps: What to do after the tiles were joined; None changes nothing.
            batch_size: Tiles that go through the network together.
            progress: Called after each tile with the tiles done and all.

        Raises:
            ImageError: A window cannot be read.
            ConfigError: An option outside its range, or a class that the model does not know.
        """
        chosen = PostProcessing() if steps is None else steps
        model = self.finder()
        require_classes(chosen.classes or (), self.class_names)
        plan = plan_tiles(
            windows.image_size,
            tiles=tiles,
            overlap=overlap,
            picture_side=model.picture_side,
            object_side=model.object_side,
        )
        done = count(1)
        return chosen(
            find_in_tiles(
                partial(self.run, batch_size=batch_size),
                windows,
                plan,
                on_tile=None if progress is None else lambda: progress(next(done), len(plan)),
            )
        )

    def stream(
        self,
        sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        *,
        steps: PostProcessing | None = None,
        batch_size: int = 1,
        on_error: Callable[[Path, ImageError], None] | None = None,
    ) -> Iterator[Instances]:
        """Find objects picture by picture, holding one batch in memory.

        Args:
            sources: Files, folders and patterns (`find_sources`); sources are looked up at once.
            steps: What to do after the model; None changes nothing.
            batch_size: Pictures that go through the network together.
            on_error: Told of a picture that cannot be read, which is then left out; None raises.

        Yields:
            The objects of each readable picture, in order; `source` is its path.

        Raises:
            DataError: A source that does not exist or holds no pictures.
            ImageError: A picture cannot be read and there is no `on_error`.
            ConfigError: `steps` names a class that the model does not know.
        """
        names = [sources] if isinstance(sources, str | os.PathLike) else sources
        pictures = read_pictures(find_sources(names), pixels=self.pixel_format, on_error=on_error)
        return self.run(pictures, steps=steps, batch_size=batch_size)

    def run(
        self,
        pictures: Iterable[Picture],
        *,
        steps: PostProcessing | None = None,
        batch_size: int = 1,
    ) -> Iterator[Instances]:
        """Find the objects of each picture, taking them from `pictures` batch by batch.

        The floor under `predict` and `stream`: no pictures give nothing.

        Raises:
            ConfigError: `steps` names a class that the model does not know, a `batch_size`
                below 1, or a model that finds no objects; said at once, before the first picture
                is taken.
        """
        chosen = PostProcessing() if steps is None else steps
        model = self.finder()
        require_classes(chosen.classes or (), self.class_names)
        batches = _in_batches(pictures, batch_size)
        return (found for batch in batches for found in self._predict_batch(model, batch, chosen))

    def _predict_batch(
        self, model: Runtime, pictures: list[Picture], steps: PostProcessing
    ) -> list[Instances]:
        images = [picture.image for picture in pictures]
        views = [self._find_in_view(model, view, images) for view in self.views]
        return [
            steps(replace(fuse_views(found), source=picture.source))
            for *found, picture in zip(*views, pictures, strict=True)
        ]

    def _find_in_view(
        self, model: Runtime, view: View, images: Sequence[np.ndarray]
    ) -> list[Instances]:
        """The objects of each picture, found in one view, in the frame of the picture."""
        if view == AS_IT_IS:
            results = model.predict(model.collate(images))
        else:
            results = [view.back(found) for found in model.predict(view.collate(model, images))]
        if self.calibration is None:
            return results
        return [self.calibration(found) for found in results]

    def finder(self) -> Runtime:
        """Return the model, which must be one that finds objects."""
        if not isinstance(self.model, Runtime):
            raise ConfigError(
                "this is a semantic model, which gives every pixel a class and finds no objects: "
                "call class_map() for predict() (maskwright predict --semantic)"
            )
        return self.model

    def _cut(self, source: PictureSource, **options: Any) -> Instances:
        windows, kept = windows_of(source, self.pixel_format)
        with windows:
            return replace(self.predict_windows(windows, **options), source=kept)

    def run_class_maps(
        self, pictures: Iterable[Picture], *, batch_size: int = 1
    ) -> Iterator[tuple[Picture, Int32[np.ndarray, "_ _"]]]:
        """Yield each picture with its class map, taking them from `pictures` batch by batch.

        The floor under `class_map`: no pictures give nothing.

        Raises:
            ConfigError: The model has no class map, or a `batch_size` below 1.
        """
        model = self.model
        if not isinstance(model, SemanticRuntime):
            raise ConfigError(
                f"{type(model).__name__} has no class map: load a semantic model, or one with the "
                "mask head fcn or deeplab"
            )
        batches = _in_batches(pictures, batch_size)
        return (found for batch in batches for found in _map_batch(model, batch))


def _in_batches(pictures: Iterable[Picture], batch_size: int) -> Iterator[list[Picture]]:
    if batch_size < 1:
        raise ConfigError(f"batch_size must be 1 or more, got {batch_size}")
    waiting = iter(pictures)
    return iter(lambda: list(islice(waiting, batch_size)), [])


def _map_batch(
    model: SemanticRuntime, pictures: list[Picture]
) -> list[tuple[Picture, Int32[np.ndarray, "_ _"]]]:
    batch = model.collate([picture.image for picture in pictures])
    return list(zip(pictures, model.class_maps(batch), strict=True))


def _listed_pictures(
    sources: Sequence[PictureSource], pixels: PixelFormat | None
) -> Iterator[Picture]:
    """Each of a list as a picture; an error says which of them it was."""
    for i, source in enumerate(sources):
        try:
            yield as_picture(source, pixels)
        except ImageError as error:
            raise ImageError(f"picture {i} of the list: {error}") from error
