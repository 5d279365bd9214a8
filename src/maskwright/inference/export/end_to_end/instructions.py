"""The README of an end-to-end export: a program that needs ONNX Runtime and NumPy alone."""

from __future__ import annotations

from pathlib import Path

from maskwright.inference.export.end_to_end.assembling import INPUTS, OUTPUTS
from maskwright.inference.export.folder import ExportHeader
from maskwright.model import InstanceSegmenter

__all__ = ["write_instructions"]

_READ = """import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
class_names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])

# (h, w, 3) uint8 RGB; with Pillow: np.asarray(Image.open("street.jpg").convert("RGB"))
pictures = [np.load("picture.npy")]
sizes = np.array([picture.shape[:2] for picture in pictures], np.int64)
images = np.zeros((len(pictures), *sizes.max(axis=0), 3), np.uint8)
for image, picture in zip(images, pictures):
    image[: picture.shape[0], : picture.shape[1]] = picture  # the rest is not looked at

names = [each.name for each in session.get_outputs()]
found = dict(zip(names, session.run(names, {"images": images, "sizes": sizes})))
"""

_PASTE = '''

def bilinear(first, last, length, entries):
    """How much of each entry of a crop each of `length` pixels is made of."""
    pixel = np.arange(length)[:, None]
    position = entries / (last - first + 1) * (pixel - first + 0.5) - 0.5
    distance = np.abs(position.clip(0, entries - 1) - np.arange(entries))
    return (1 - distance).clip(0) * ((pixel >= first) & (pixel <= last))


def paste(crop, box, size):
    """The mask, (h, w) of True and False: the crop, in a frame of zeros, resized into its box."""
    crop, grown = np.pad(crop, 1), (len(crop) + 2) / len(crop)
    centre, half = (box[2:] + box[:2]) / 2, (box[2:] - box[:2]) / 2 * grown
    (left, top), (right, bottom) = (centre - half).astype(int), (centre + half).astype(int)
    down = bilinear(top, bottom, size[0], len(crop))
    across = bilinear(left, right, size[1], len(crop))
    return down @ crop @ across.T > 0.5

'''

_LOOP = """
for i, place in enumerate(found["pictures"]):
    name, score, box = class_names[found["labels"][i]], found["scores"][i], found["boxes"][i]
"""

_MASKS = {
    "masks": '    mask = found["masks"][i, : sizes[place, 0], : sizes[place, 1]]\n',
    "crops": '    mask = paste(found["crops"][i], box, sizes[place])\n',
}

_SHOW = """    sides = [round(side, 2) for side in box.tolist()]
    print(place, name, round(float(score), 4), sides{pixels})
"""

_MEANINGS = {
    "images": "uint8, RGB: pictures, each at the left top of its place",
    "sizes": "int64: height and width of each, at least 1",
    "boxes": "float32: x1, y1, x2, y2 in pixels of the picture; x2 and y2 are exclusive",
    "labels": "int64: places in the list of class names",
    "scores": "float32, 0 to 1: the highest of a picture first",
    "pictures": "int64: which picture of the batch each detection is of, rising",
    "crops": "float32, 0 to 1: the mask in the frame of the box, which `paste` puts into place",
    "masks": "uint8: 1 where the object is",
}


def write_instructions(folder: Path, header: ExportHeader) -> None:
    """Write README.md into the folder of an end-to-end export."""
    (folder / "README.md").write_text(_text(header), encoding="utf-8")


def _text(header: ExportHeader) -> str:
    (graph,) = header.graphs.values()
    names = ", ".join(header.class_names[:10]) + (", ..." if len(header.class_names) > 10 else "")
    count = len(header.class_names)
    classes = f"{count} class{'es' * (count != 1)}"
    parts = [
        f"# From pictures to detections in one graph: {classes} ({names})",
        f"Written by `maskwright export --end-to-end`, in {header.precision}. `model.onnx` "
        "resizes, normalises and pads, runs the network, chooses the boxes and draws the masks, "
        "all in operators of the ONNX standard.",
        "## Run it",
        "`pip install onnxruntime numpy` is all it takes:",
        f"```python\n{_program(list(graph.outputs))}```",
        "## What goes in and what comes out",
        "b pictures, (H, W) the size of the array that holds them, n detections of all pictures, "
        "which may be none.",
        _tensors(list(graph.inputs), list(graph.outputs)),
        _selection(header),
        "`custom_metadata_map` of the graph has `class_names` and `category_ids`, the dataset's "
        "number of each class, as JSON. `config.json` has all options and the checksum.",
        "## With maskwright",
        "```python\nimport maskwright as mw\n\n"
        'result = mw.load("this/folder").predict("street.jpg")\n```',
    ]
    return "\n\n".join(parts) + "\n"


def _program(outputs: list[str]) -> str:
    kind = "masks" if "masks" in outputs else "crops"
    has_masks = kind in outputs
    paste = _PASTE if has_masks and kind == "crops" else ""
    mask = _MASKS[kind] if has_masks else ""
    return _READ + paste + _LOOP + mask + _SHOW.format(pixels=", mask.sum()" if has_masks else "")


def _tensors(inputs: list[str], outputs: list[str]) -> str:
    lines = ["| | sides | what |", "|---|---|---|"]
    for kind, names in (("in", inputs), ("out", outputs)):
        for name in names:
            sides = ", ".join(map(str, {**INPUTS, **OUTPUTS}[name][1]))
            lines.append(f"| {kind}: `{name}` | {sides} | {_MEANINGS[name]} |")
    return "\n".join(lines)


def _selection(header: ExportHeader) -> str:
    config = header.model
    assert isinstance(config, InstanceSegmenter.Config)
    detector = config.detector
    calibrated = ""
    if header.calibration is not None:
        calibrated = (
            " The scores that come out are calibrated, so the lowest of them may be another; "
            "`config.json` has the thresholds for them under `calibration`."
        )
    return (
        f"At most {detector.detections_per_image} detections of a picture come out, of scores "
        f"above {detector.score_threshold:g}; an IoU above {detector.nms_threshold:g} with a "
        f"higher score of the same class makes a duplicate.{calibrated}"
    )
