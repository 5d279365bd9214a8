"""Pictures with their true objects, read when asked for from an array-backed index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import count as count_from
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from maskwright.data.federation import Federation
from maskwright.data.index import AnnotationIndex
from maskwright.data.pixel_format import PixelFormat, read_picture
from maskwright.data.report import ImportReport
from maskwright.errors import AnnotationError, DataError, nearest_name
from maskwright.structures import Instances, Sample

__all__ = ["Dataset"]


@final
class Dataset:
    """Pictures and their annotations; `open_dataset` makes one.

    Pictures are counted from 0 in the order of the file, or of `subset`. Columns over objects
    (`labels`, `boxes`, ...) hold every object of these pictures, ordered by picture.

    Args:
        index: The annotations.
        report: What the import read, changed and dropped; a subset keeps the whole import's.
        image_folder: Where `file_names` are found; None if only the annotations were opened.
        chosen: Positions in the index of the pictures that belong to this dataset; None for all.
        pixels: How pictures are read; None makes RGB of 8 bits of them.
    """

    def __init__(
        self,
        index: AnnotationIndex,
        report: ImportReport,
        *,
        image_folder: Path | None = None,
        chosen: Int64[np.ndarray, " m"] | None = None,
        pixels: PixelFormat | None = None,
    ) -> None:
        self._index = index
        self._chosen = np.arange(index.num_images) if chosen is None else chosen
        self.report = report
        self.image_folder = image_folder
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self._chosen)

    def __repr__(self) -> str:
        return (
            f"Dataset({self._index.source!r}, {len(self)} pictures, {len(self.labels)} objects, "
            f"{len(self.class_names)} classes)"
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label, in the order of their category ids."""
        return self._index.class_names

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The source's ids by label."""
        return self._index.category_ids

    @property
    def image_ids(self) -> Int64[np.ndarray, " m"]:
        """The source's id of each picture."""
        return np.asarray(self._index.image_ids[self._chosen])

    @property
    def file_names(self) -> tuple[str, ...]:
        """Path of each picture relative to `image_folder`."""
        return tuple(self._index.file_names[self._chosen].tolist())

    @property
    def sizes(self) -> Int64[np.ndarray, "m 2"]:
        """Height and width of each picture in pixels, upright."""
        return np.asarray(self._index.sizes[self._chosen])

    @property
    def labels(self) -> Int64[np.ndarray, " n"]:
        """Class label of each object."""
        return self._of_objects(self._index.labels)

    @property
    def is_crowd(self) -> Bool[np.ndarray, " n"]:
        """True for objects that stand for a crowd."""
        return self._of_objects(self._index.is_crowd)

    @property
    def is_empty(self) -> Bool[np.ndarray, " n"]:
        """True for objects whose mask has no pixel; `targets` leaves them out."""
        return self._of_objects(self._index.is_empty)

    @property
    def object_image(self) -> Int64[np.ndarray, " n"]:
        """Position in this dataset of each object's picture."""
        return np.repeat(np.arange(len(self)), self._num_objects)

    @property
    def annotation_ids(self) -> Int64[np.ndarray, " n"]:
        """The source's id of each object."""
        return self._of_objects(self._index.annotation_ids)

    @property
    def areas(self) -> Float64[np.ndarray, " n"]:
        """Area of each object in square pixels as the source states it."""
        return self._of_objects(self._index.areas)

    @property
    def federation(self) -> Federation | None:
        """LVIS's fields, one entry per picture of this dataset; None if the source has none."""
        whole = self._index.federation
        if whole is None:
            return None
        return Federation.of(
            whole.frequencies,
            [whole.negative(image) for image in self._chosen.tolist()],
            [whole.partial(image) for image in self._chosen.tolist()],
        )

    @property
    def boxes(self) -> Float32[np.ndarray, "n 4"]:
        """Box of each object, xyxy pixels, as the source states it: not tight to the mask."""
        xywh = self._of_objects(self._index.xywh)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        return xyxy.astype(np.float32)

    def image_path(self, i: int) -> Path:
        """Return the file of picture `i`.

        Raises:
            DataError: Only the annotations were opened.
        """
        name = str(self._index.file_names[self._chosen[i]])
        if self.image_folder is None:
            raise DataError(
                f"{self._index.source}: picture {name!r} was wanted, but only the annotations "
                f"were opened; use open_dataset with images="
            )
        return self.image_folder / name

    def image(self, i: int) -> Shaped[np.ndarray, "h w c"]:
        """Read picture `i` in the frame of its annotations (EXIF is applied if they fit).

        RGB uint8 (h, w, 3), or what `pixels` says.

        Raises:
            ImageError: The file cannot be read, or is of another size than annotated.
        """
        height, width = self._index.sizes[self._chosen[i]].tolist()
        return read_picture(self.image_path(i), self.pixels, expected_size=(height, width))

    def targets(self, i: int) -> Instances:
        """Decode the true objects of picture `i`.

        Boxes are read off the masks. Objects whose mask has no pixel are left out (the report
        counts them).
        """
        image = self._chosen[i]
        objects = self._index.objects_of(image)
        items = np.arange(objects.start, objects.stop)
        items = items[~self._index.is_empty[items]]
        height, width = self._index.sizes[image].tolist()
        masks = self._index.masks((height, width), items)
        return Instances(
            image_size=(height, width),
            boxes=torch.from_numpy(masks.boxes),
            labels=torch.from_numpy(self._index.labels[items]),
            masks=masks,
            is_crowd=torch.from_numpy(self._index.is_crowd[items]),
            class_names=self.class_names,
            category_ids=self.category_ids,
        )

    def sample(self, i: int, *, image: Shaped[np.ndarray, "h w c"] | None = None) -> Sample:
        """Read picture `i` and decode its objects.

        Args:
            i: Position of the picture.
            image: Its pixels, if they are at hand already.
        """
        return Sample(
            image=self.image(i) if image is None else image,
            targets=self.targets(i),
            image_id=int(self._index.image_ids[self._chosen[i]]),
            name=str(self._index.file_names[self._chosen[i]]),
        )

    def subset(self, indices: Sequence[int] | np.ndarray) -> Dataset:
        """Return a dataset of these pictures, in this order, sharing the annotation arrays."""
        chosen = self._chosen[np.asarray(indices, dtype=np.int64)]
        return Dataset(
            self._index,
            self.report,
            image_folder=self.image_folder,
            chosen=chosen,
            pixels=self.pixels,
        )

    def with_pixels(self, pixels: PixelFormat | None) -> Dataset:
        """Return the dataset with its pictures read in this format; None for RGB of 8 bits."""
        return Dataset(
            self._index,
            self.report,
            image_folder=self.image_folder,
            chosen=self._chosen,
            pixels=pixels,
        )

    def with_classes(self, class_names: Sequence[str], category_ids: Sequence[int] = ()) -> Dataset:
        """Return the same pictures with these classes, matched by name; ids and order may differ.

        Objects keep their class and get its new label. Classes that only the new list has are
        without objects; of the data's own, those without objects may be missing in the list.

        Args:
            class_names: Names by new label, each once.
            category_ids: Ids by new label; () keeps the data's own and gives unused ones to the
                classes that it lacks.

        Raises:
            AnnotationError: Objects of classes that are not in the list; names all of them.
        """
        labels = {name: label for label, name in enumerate(class_names)}
        counts = np.bincount(self.labels, minlength=len(self.class_names)).tolist()
        unknown = {
            name: count
            for name, count in zip(self.class_names, counts, strict=True)
            if count and name not in labels
        }
        if unknown:
            found = ", ".join(f"{name!r} ({count} objects)" for name, count in unknown.items())
            hint = nearest_name(next(iter(unknown)), tuple(class_names))
            raise AnnotationError(
                f"{self._index.source}: classes that are not known here: {found}; known: "
                f"{', '.join(class_names)}. Rename or remove them.{hint}"
            )
        new_label = np.array([labels.get(name, 0) for name in self.class_names], np.int64)
        own_ids = dict(zip(self.class_names, self.category_ids, strict=True))
        unused = count_from(max(self.category_ids, default=0) + 1)
        ids = [own_ids[name] if name in own_ids else next(unused) for name in class_names]
        index = replace(
            self._index,
            class_names=tuple(class_names),
            category_ids=tuple(category_ids or ids),
            labels=new_label[self._index.labels],
            federation=self._index.federation
            and self._index.federation.relabelled(labels, self.class_names),
        )
        return Dataset(
            index,
            self.report,
            image_folder=self.image_folder,
            chosen=self._chosen,
            pixels=self.pixels,
        )

    def to_coco(self, *, federated: bool = False) -> dict[str, Any]:
        """Return the annotations as a COCO dictionary.

        Segmentations, areas, boxes and ids are the source's own, to the last bit; what the
        report names as dropped for want of a segmentation is not in it.

        Args:
            federated: Add LVIS's fields of pictures and classes, where the source has them.
        """
        index = self._index
        images = [
            {"id": image_id, "file_name": name, "height": height, "width": width}
            for image_id, name, (height, width) in zip(
                self.image_ids.tolist(), self.file_names, self.sizes.tolist(), strict=True
            )
        ]
        annotations = [
            {
                "id": int(index.annotation_ids[item]),
                "image_id": int(index.image_ids[image]),
                "category_id": self.category_ids[index.labels[item]],
                "segmentation": index.segmentation(item),
                "area": float(index.areas[item]),
                "bbox": index.xywh[item].tolist(),
                "iscrowd": int(index.is_crowd[item]),
            }
            for image in self._chosen
            for item in range(index.object_offsets[image], index.object_offsets[image + 1])
        ]
        categories = [
            {"id": category_id, "name": name}
            for category_id, name in zip(self.category_ids, self.class_names, strict=True)
        ]
        if federated and index.federation is not None:
            for entry, image in zip(images, self._chosen.tolist(), strict=True):
                negative, partial = (
                    index.federation.negative(image),
                    index.federation.partial(image),
                )
                entry["neg_category_ids"] = [self.category_ids[label] for label in negative]
                entry["not_exhaustive_category_ids"] = [self.category_ids[i] for i in partial]
            for category, frequency in zip(categories, index.federation.frequencies, strict=True):
                category["frequency"] = frequency
        return {"images": images, "annotations": annotations, "categories": categories}

    @property
    def _num_objects(self) -> Int64[np.ndarray, " m"]:
        offsets = self._index.object_offsets
        return np.asarray(offsets[self._chosen + 1] - offsets[self._chosen])

    @cached_property
    def _items(self) -> Int64[np.ndarray, " n"]:
        """Position in the index of each object of this dataset."""
        counts = self._num_objects
        ends = np.cumsum(counts)
        shifts = np.repeat(self._index.object_offsets[self._chosen] - ends + counts, counts)
        return np.asarray(shifts + np.arange(ends[-1] if len(ends) else 0))

    def _of_objects(self, column: np.ndarray) -> np.ndarray:
        return np.asarray(column[self._items])
