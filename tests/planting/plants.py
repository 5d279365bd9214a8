"""The plants: one function per sort of defect, by the name of the check that should find it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from maskwright.masks import Masks
from planting.planter import Entry, Planter

__all__ = ["GROUP_PATTERN", "PLANTS", "SINGLE", "WAYS", "altered"]

GROUP_PATTERN = r"^(plate\d+)_"
WAYS = ("compressed", "halved", "noisy", "cut")
"""A little more light and strong compression; half the size and back; noise and contrast; a
twenty-fifth cut off on every side."""
_ORIENTATION = 0x0112


def picture_missing(planter: Planter) -> None:
    image = planter.take_picture()
    (planter.images / image["file_name"]).unlink()
    planter.expect("picture-missing", image)


def picture_unreadable(planter: Planter) -> None:
    image = planter.take_picture()
    (planter.images / image["file_name"]).write_bytes(b"<html>404 Not Found</html>")
    planter.expect("picture-unreadable", image)


def picture_damaged(planter: Planter) -> None:
    image = planter.take_picture()
    path = planter.images / image["file_name"]
    content = bytearray(path.read_bytes())
    place = int(len(content) * planter.rng.uniform(0.3, 0.95))
    if planter.rng.random() < 0.7:
        path.write_bytes(content[:place])
    else:  # a hole, as a broken download or disk leaves it
        content[place : place + 512] = bytes(len(content[place : place + 512]))
        path.write_bytes(content)
    planter.expect("picture-damaged", image)


def picture_size(planter: Planter) -> None:
    image = planter.take_picture()
    if planter.rng.random() < 0.5 and image["height"] != image["width"]:
        image["height"], image["width"] = image["width"], image["height"]
    else:
        image["height"] += 17
    planter.expect("picture-size", image)


def exif_turned(planter: Planter) -> None:
    image = planter.take_picture()
    stored = planter.open(image).transpose(Image.Transpose.ROTATE_90)
    _save_turned(planter, image, stored)
    planter.expect("exif-turned", image)


def exif_ignored(planter: Planter) -> None:
    image = planter.take_picture(wants=lambda one: one["height"] != one["width"])
    _save_turned(planter, image, planter.open(image))
    planter.expect("exif-ignored", image)


def _save_turned(planter: Planter, image: Entry, stored: Image.Image) -> None:
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    stored.save(planter.images / image["file_name"], exif=exif)


def picture_constant(planter: Planter) -> None:
    image = planter.take_picture()
    grey = tuple(planter.rng.integers(0, 256, 3).tolist())
    Image.new("RGB", (image["width"], image["height"]), grey).save(
        planter.images / image["file_name"]
    )
    planter.expect("picture-constant", image)


def bit_depth_unused(planter: Planter) -> None:
    image = planter.take_picture()
    grey = np.asarray(planter.open(image).convert("L")).astype(np.uint16)
    planter.replace(image, f"deep{image['id']}.png", Image.fromarray(grey))
    for check in ("bit-depth-unused", "bit-depth-mixed", "channels-mixed"):
        planter.expect(check, image)


def bit_depth_wrong(planter: Planter) -> None:
    image = planter.take_picture()
    fractions = np.asarray(planter.open(image).convert("L")).astype(np.float32) / 255
    planter.replace(image, f"float{image['id']}.tif", Image.fromarray(fractions))
    for check in ("bit-depth-wrong", "bit-depth-mixed", "channels-mixed"):
        planter.expect(check, image)


def channels_odd(planter: Planter) -> None:
    image = planter.take_picture()
    mode, suffix = [("CMYK", "jpg"), ("RGBA", "png"), ("P", "png"), ("LA", "png")][
        planter.rng.integers(4)
    ]
    picture = planter.open(image)
    converted = picture.convert("L").convert("LA") if mode == "LA" else picture.convert(mode)
    planter.replace(image, f"odd{image['id']}.{suffix}", converted)
    planter.expect("channels-odd", image)
    if mode != "P":
        planter.expect("channels-mixed", image)


def alpha_hides(planter: Planter) -> None:
    image = planter.take_picture()
    picture = planter.open(image).convert("RGBA")
    pixels = np.array(picture)
    pixels[: image["height"] // 3, :, 3] = 0
    planter.replace(image, f"alpha{image['id']}.png", Image.fromarray(pixels))
    for check in ("alpha-hides", "channels-odd", "channels-mixed"):
        planter.expect(check, image)


def picture_pages(planter: Planter) -> None:
    image = planter.take_picture()
    picture = planter.open(image)
    planter.replace(
        image, f"pages{image['id']}.tif", picture, save_all=True, append_images=[picture]
    )
    planter.expect("picture-pages", image)


def picture_misnamed(planter: Planter) -> None:
    image = planter.take_picture()
    kind = "JPEG" if image["file_name"].endswith(".png") else "PNG"
    planter.open(image).save(planter.images / image["file_name"], format=kind)
    planter.expect("picture-misnamed", image)


def picture_dense(planter: Planter) -> None:
    image = planter.take_picture()
    step = min(image["height"], image["width"]) / 12
    for row in range(11):
        for column in range(11):
            planter.add_object(image, [_octagon((column + 1) * step, (row + 1) * step, step / 3)])
    planter.expect("picture-dense", image)


def picture_without_objects(planter: Planter) -> None:
    image = planter.take_picture()
    content = planter.contents[0]
    content["annotations"] = [
        one for one in content["annotations"] if one["image_id"] != image["id"]
    ]
    planter.expect("picture-without-objects", image)


def picture_unlisted(planter: Planter) -> None:
    number = len(list(planter.images.iterdir()))
    noise = planter.rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    name = f"unlisted{number}.png"
    Image.fromarray(noise).resize((64, 64)).save(planter.images / name)
    planter.expect("picture-unlisted", {"file_name": name})


def duplicate_within(planter: Planter) -> None:
    image = planter.take_picture()
    copy = _list_copy(planter, image, part=0, prefix="copy")
    shutil.copyfile(planter.images / image["file_name"], planter.images / copy["file_name"])
    planter.expect("duplicate-within", copy)


def duplicate_across(planter: Planter) -> None:
    image = planter.take_picture()
    copy = _list_copy(planter, image, part=1, prefix="leak")
    shutil.copyfile(planter.images / image["file_name"], planter.images / copy["file_name"])
    planter.expect("duplicate-across", copy)


def near_duplicate_within(planter: Planter) -> None:
    image = planter.take_picture()
    copy = _list_copy(planter, image, part=0, prefix="near")
    _altered(planter.open(image), planter.rng).save(planter.images / copy["file_name"])
    planter.expect("near-duplicate-within", copy)


def near_duplicate_across(planter: Planter) -> None:
    image = planter.take_picture()
    copy = _list_copy(planter, image, part=1, prefix="mirror")
    mirrored = ImageOps.mirror(_altered(planter.open(image), planter.rng))
    mirrored.save(planter.images / copy["file_name"])
    for one in planter.objects_on(copy, 1):
        mask = planter.mask_of(one, 1).flip_horizontal()
        planter.redraw(one, mask.to_coco()[0], 1)
    planter.expect("near-duplicate-across", copy)


def altered(picture: Image.Image, way: str, rng: np.random.Generator) -> Image.Image:
    """Return a picture after one of the ways in which pictures come back a second time."""
    width, height = picture.size
    if way == "compressed":
        buffer = io.BytesIO()
        ImageEnhance.Brightness(picture).enhance(1.06).save(buffer, "JPEG", quality=60)
        picture = Image.open(buffer)
    elif way == "halved":
        picture = picture.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    elif way == "noisy":
        noise = rng.normal(0, 6, (height, width, 3))
        pixels = np.clip(np.asarray(picture) * 1.1 + noise - 12, 0, 255)
        picture = Image.fromarray(pixels.astype(np.uint8))
    else:
        cut = (width // 25, height // 25, width - width // 25, height - height // 25)
        picture = picture.crop(cut)
    return picture.convert("RGB").resize((width, height))


def _altered(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return altered(picture, WAYS[rng.integers(len(WAYS))], rng)


def _list_copy(planter: Planter, image: Entry, *, part: int, prefix: str) -> Entry:
    """List a copy of a picture of training with its objects; the file is still to be made."""
    name = f"{prefix}{image['id']}{Path(image['file_name']).suffix}"
    copy = planter.add_picture(name, (image["height"], image["width"]), part=part)
    planter.origins[name] = image["file_name"]
    for one in planter.objects_on(image):
        added = planter.add_object(copy, one["segmentation"], part=part)
        added |= {key: one[key] for key in ("category_id", "bbox", "area", "iscrowd")}
        planter.contents[part]["annotations"][-1] = added
    return copy


def file_in_two_parts(planter: Planter) -> None:
    image = planter.take_picture()
    copy = planter.add_picture(image["file_name"], (image["height"], image["width"]), part=1)
    for one in planter.objects_on(image):
        planter.add_object(copy, one["segmentation"], part=1, category=one["category_id"])
        fields = {key: one[key] for key in ("bbox", "area", "iscrowd")}
        planter.contents[1]["annotations"][-1].update(fields)
    planter.expect("file-in-two-parts", image)


def group_across(planter: Planter) -> None:
    number = len(planter.expected)
    pictures = [planter.take_picture(), planter.take_picture(), planter.take_picture(1)]
    for place, image in enumerate(pictures):
        old = planter.images / image["file_name"]
        image["file_name"] = f"plate{number}_{place}_{old.name}"
        planter.origins[image["file_name"]] = old.name
        old.rename(planter.images / image["file_name"])
    planter.expect("group-across", word=f"'plate{number}'")


def object_empty(planter: Planter) -> None:
    image, one = planter.take_object()
    x, y = np.floor(one["bbox"][:2]) + 3
    if planter.rng.random() < 0.5:
        one["segmentation"] = [[x + 0.6, y + 0.6, x + 0.9, y + 0.6, x + 0.9, y + 0.9]]
    else:
        size = [image["height"], image["width"]]
        one["segmentation"] = {"size": size, "counts": [size[0] * size[1]]}
    planter.expect("object-empty", image, one)


def object_outside(planter: Planter) -> None:
    image, one = planter.take_object()
    x, y, width, height = one["bbox"]
    x += image["width"] + 5
    one["bbox"][0] = x
    one["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    planter.expect("object-outside", image, one)


def object_over_edge(planter: Planter) -> None:
    image, one = planter.take_object()
    y = planter.rng.uniform(14, image["height"] - 14)
    polygon = np.array(_octagon(image["width"] - 4, y, 12))
    planter.redraw(one, [polygon.tolist()])
    one["bbox"] = [polygon[0::2].min(), polygon[1::2].min(), 24.0, 24.0]
    planter.expect("object-over-edge", image, one)


def box_outside(planter: Planter) -> None:
    image, one = planter.take_object()
    one["bbox"][2] = image["width"] - one["bbox"][0] + float(planter.rng.uniform(3, 60))
    planter.expect("box-outside", image, one)


def box_differs(planter: Planter) -> None:
    image, one = planter.take_object()
    x, _, width, _ = one["bbox"]
    shift = max(4.0, 0.1 * width)
    one["bbox"][0] = x - shift if x >= shift else x + shift
    if x < shift:
        one["bbox"][2] -= shift
    planter.expect("box-differs", image, one)


def area_differs(planter: Planter) -> None:
    image, one = planter.take_object(area=400)
    mask = planter.mask_of(one)
    one["area"] = float(mask.area[0]) * [0.7, 1.4, 0.0][planter.rng.integers(3)]
    planter.expect("area-differs", image, one)


def object_doubled(planter: Planter) -> None:
    image, one = planter.take_object(area=600)
    mask = planter.mask_of(one)
    if planter.rng.random() < 0.5:  # as drawn by someone else, a little larger
        mask = Masks.from_dense(_grown(mask.to_dense()[0], 1)[None])
    added = planter.add_object(image, mask.to_coco()[0], category=one["category_id"])
    planter.expect("object-doubled", image, added)


def object_of_two_classes(planter: Planter) -> None:
    image, one = planter.take_object(area=600)
    category = _class(planter, "other class")
    added = planter.add_object(image, one["segmentation"], category=category)
    added["bbox"], added["area"] = list(one["bbox"]), one["area"]
    planter.expect("object-of-two-classes", image, added)
    planter.expect("class-imbalance", word="other class")


def polygon_crossing(planter: Planter) -> None:
    image, one = planter.take_object(area=400)
    ring = max(planter.mask_of(one).to_polygons()[0], key=lambda part: len(part.exterior)).exterior
    ring = ring[:: max(1, len(ring) // 24)].astype(np.float64)
    # Two points exchanged, as a click in the wrong order: next to each other or far apart.
    k = next(k for k in range(1, len(ring) - 2) if _is_convex(ring[k - 1 : k + 3]))
    other = k + 1 if planter.rng.random() < 0.5 else k + len(ring) // 2
    other %= len(ring)
    ring[[k, other]] = ring[[other, k]]
    planter.redraw(one, [ring.ravel().tolist()])
    planter.expect("polygon-crossing", image, one)


def object_sliver(planter: Planter) -> None:
    image = planter.take_place()
    x, y = planter.rng.uniform(8, 14, 2)
    dx, dy = planter.rng.uniform(20, 40, 2)
    polygon = [x, y, x + 1.2, y, x + dx + 1.2, y + dy, x + dx, y + dy]
    added = planter.add_object(image, [polygon])
    planter.expect("object-sliver", image, added)


def object_crumbs(planter: Planter) -> None:
    image, one = planter.take_object(area=500)
    dense = planter.mask_of(one).to_dense()[0]
    far = np.argwhere(~_grown(dense, 3))
    row, column = far[planter.rng.integers(len(far))]
    dense[row, column] = True
    planter.redraw(one, Masks.from_dense(dense[None]).to_coco()[0])
    planter.expect("object-crumbs", image, one)


def object_tiny(planter: Planter) -> None:
    image = planter.take_place()
    x, y = planter.rng.integers(4, 50, 2).tolist()
    added = planter.add_object(image, [_octagon(x + 0.5, y + 0.5, 1.6)])
    planter.expect("object-tiny", image, added)


def object_fills_picture(planter: Planter) -> None:
    image = planter.take_picture()
    width, height = image["width"], image["height"]
    added = planter.add_object(image, [[0, 0, width, 0, width, height, 0, height]])
    planter.expect("object-fills-picture", image, added)


def mask_missing(planter: Planter) -> None:
    image, one = planter.take_object()
    one["segmentation"] = []
    planter.expect("mask-missing", image, one)


def polygon_broken(planter: Planter) -> None:
    image, one = planter.take_object()
    one["segmentation"] = [[[3.0, 3.0, 9.0, 9.0]], [[3.0, 3.0, 9.0, 9.0, 4.0, 8.0, 1.0]]][
        planter.rng.integers(2)
    ]
    planter.expect("polygon-broken", image, one)


def run_length_broken(planter: Planter) -> None:
    image, one = planter.take_object()
    height, width = image["height"], image["width"]
    one["segmentation"] = [
        {"size": [height, width], "counts": [5, 10, height * width]},
        {"size": [width + 1, height], "counts": [(width + 1) * height]},
        {"size": [height, width], "counts": [height * width // 2]},
    ][planter.rng.integers(3)]
    planter.expect("run-length-broken", image, one)


def reference_unknown(planter: Planter) -> None:
    _, one = planter.take_object()
    one["image_id" if planter.rng.random() < 0.5 else "category_id"] = 10**9
    planter.expect("reference-unknown", annotation=one)


def id_twice(planter: Planter) -> None:
    _, one = planter.take_object()
    _, other = planter.take_object()
    one["id"] = other["id"]
    planter.expect("id-twice", annotation=one)


def entry_broken(planter: Planter) -> None:
    image, one = planter.take_object()
    key, value = [("area", "large"), ("bbox", [1, 2, 3]), ("iscrowd", 7), ("area", -3.0)][
        planter.rng.integers(4)
    ]
    one[key] = value
    planter.expect("entry-broken", image, one)


def class_unused(planter: Planter) -> None:
    planter.add_category("phantom")
    planter.expect("class-unused", word="phantom")


def class_names_alike(planter: Planter) -> None:
    name = planter.contents[0]["categories"][0]["name"]
    twin = f" {name.upper()}"
    category = planter.add_category(twin)
    _, one = planter.take_object()
    one["category_id"] = category
    planter.expect("class-names-alike", word=repr(twin))
    planter.expect("class-imbalance", word=twin)


def class_untrained(planter: Planter) -> None:
    category = planter.add_category("late")
    _, one = planter.take_object(1)
    one["category_id"] = category
    planter.expect("class-untrained", word="late")
    planter.expect("class-imbalance", word="late")


def classes_differ(planter: Planter) -> None:
    planter.add_category("elsewhere", parts=(1,))
    planter.expect("classes-differ", word="elsewhere")
    planter.expect("class-unused", word="elsewhere")


def class_mostly_crowd(planter: Planter) -> None:
    category = planter.add_category("smear")
    for _ in range(12):
        _, one = planter.take_object()
        one["category_id"], one["iscrowd"] = category, 1
    planter.expect("class-mostly-crowd", word="smear")


def masks_are_boxes(planter: Planter) -> None:
    category = planter.add_category("crate")
    for _ in range(12):
        _, one = planter.take_object()
        x, y, width, height = np.floor(one["bbox"]).tolist()
        planter.redraw(one, [[x, y, x + width, y, x + width, y + height, x, y + height]])
        one["category_id"] = category
    planter.expect("masks-are-boxes", word="crate")


def class_imbalance(planter: Planter) -> None:
    category = planter.add_category("rarity")
    for _ in range(3):
        _, one = planter.take_object()
        one["category_id"] = category
    planter.expect("class-imbalance", word="rarity")


def _octagon(x: float, y: float, radius: float) -> list[float]:
    angles = np.arange(8) * np.pi / 4
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], 1).ravel().tolist()


def _is_convex(quad: np.ndarray) -> bool:
    """Whether four points turn the same way at each: their second and third exchanged cross."""
    step = np.roll(quad, -1, axis=0) - quad
    turn = (
        step[:, 0] * np.roll(step, -1, axis=0)[:, 1] - step[:, 1] * np.roll(step, -1, axis=0)[:, 0]
    )
    return bool((turn > 0.5).all() or (turn < -0.5).all())


def _grown(dense: np.ndarray, by: int) -> np.ndarray:
    import cv2

    kernel = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return cv2.dilate(dense.astype(np.uint8), kernel).astype(bool)


def _class(planter: Planter, name: str) -> int:
    for one in planter.contents[0]["categories"]:
        if one["name"] == name:
            return one["id"]
    return planter.add_category(name)


Plant = Callable[[Planter], None]

PLANTS: dict[str, Plant] = {
    plant.__name__.replace("_", "-"): plant
    for plant in (
        picture_missing,
        picture_unreadable,
        picture_damaged,
        picture_size,
        exif_turned,
        exif_ignored,
        picture_constant,
        bit_depth_unused,
        bit_depth_wrong,
        channels_odd,
        alpha_hides,
        picture_pages,
        picture_misnamed,
        picture_dense,
        picture_without_objects,
        picture_unlisted,
        duplicate_within,
        duplicate_across,
        near_duplicate_within,
        near_duplicate_across,
        file_in_two_parts,
        group_across,
        object_empty,
        object_outside,
        object_over_edge,
        box_outside,
        box_differs,
        area_differs,
        object_doubled,
        object_of_two_classes,
        polygon_crossing,
        object_sliver,
        object_crumbs,
        object_tiny,
        object_fills_picture,
        mask_missing,
        polygon_broken,
        run_length_broken,
        reference_unknown,
        id_twice,
        entry_broken,
    )
}
"""May be planted many times."""

SINGLE: dict[str, Plant] = {
    plant.__name__.replace("_", "-"): plant
    for plant in (
        class_unused,
        class_names_alike,
        class_untrained,
        classes_differ,
        class_mostly_crowd,
        masks_are_boxes,
        class_imbalance,
    )
}
"""Planted once in a dataset."""
