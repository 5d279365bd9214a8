"""Small datasets of every format that is read, and damage done to their files."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data.formats.conftest import make
from maskwright.data import convert

ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    3,
    1e308,
    float("nan"),
    float("inf"),
    10**30,
    -(10**12),
    0.5,
    "",
    "a",
    "\0",
    "../../x.png",
    "/etc/passwd",
    "x" * 5000,
    "\ud800",
    "💥",
    [],
    [[]],
    [1, 2],
    [0, 0, 1e9, 1e9],
    {},
    {"size": [1, 1], "counts": [1]},
    {"size": [37, 53], "counts": [10**12]},
]
_PICTURES = (".png", ".tif")


def write_panoptic(folder: Path) -> None:
    """Write a panoptic json and a map of two segments."""
    folder.mkdir()
    values = np.zeros((37, 53, 3), np.uint8)
    values[3:9, 4:12, 0], values[20:30, 30:40, 1] = 7, 2
    (folder / "panoptic").mkdir()
    Image.fromarray(values).save(folder / "panoptic" / "p1_map.png")
    Image.fromarray(values).save(folder / "p1.png")
    document = {
        "images": [{"id": 1, "file_name": "p1.png", "height": 37, "width": 53}],
        "annotations": [
            {
                "image_id": 1,
                "file_name": "p1_map.png",
                "segments_info": [
                    {"id": 7, "category_id": 1, "iscrowd": 0, "area": 48, "bbox": [4, 3, 8, 6]},
                    {
                        "id": 512,
                        "category_id": 2,
                        "iscrowd": 0,
                        "area": 100,
                        "bbox": [30, 20, 10, 10],
                    },
                ],
            }
        ],
        "categories": [
            {"id": 1, "name": "cat", "isthing": 1},
            {"id": 2, "name": "sky", "isthing": 0},
        ],
    }
    (folder / "panoptic.json").write_text(json.dumps(document))


def write_class_folders(folder: Path) -> None:
    """Write two class folders of a picture and a mask each."""
    for name in ("Crack", "Free"):
        (folder / name).mkdir(parents=True)
        mask = np.zeros((37, 53), np.uint8)
        mask[3:9, 4:12] = mask[20:30, 30:40] = 255 if name == "Crack" else 0
        Image.fromarray(mask).convert("RGB").save(folder / name / "x.jpg")
        Image.fromarray(mask).save(folder / name / "x.png")


def write_small(name: str, folder: Path, work: Path) -> None:
    """Write a dataset of three small pictures in one of the formats."""
    if name == "panoptic":
        write_panoptic(folder)
    elif name == "class-folders":
        write_class_folders(folder)
    else:
        if not (work / "source").exists():
            make(work / "source", ["simple", "hole", "parts", "crowd"])
        convert(work / "source", folder, to=name)


def damage(folder: Path, rng: random.Random) -> str:
    """Damage one file of a dataset; returns what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    texts = [path for path in files if path.suffix not in (*_PICTURES, ".jpg")]
    path = rng.choice(texts if texts and rng.random() < 0.8 else files)
    done = rng.choice(_DAMAGES)(path, rng)
    return f"{path.relative_to(folder)}: {done}"


def _flip(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 2, 8))):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)
    return "bytes changed"


def _cut(path: Path, rng: random.Random) -> str:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data) + 1)])
    return "cut short"


def _repeat(path: Path, rng: random.Random) -> str:
    data = path.read_bytes()
    begin = rng.randrange(len(data) + 1)
    end = rng.randrange(begin, min(len(data), begin + 200) + 1)
    place = rng.randrange(len(data) + 1)
    path.write_bytes(data[:place] + data[begin:end] * rng.choice((1, 3)) + data[place:])
    return "a part repeated"


def _exchange_words(path: Path, rng: random.Random) -> str:
    """Put an odd word where a number or a quoted text stands."""
    import re

    text = path.read_bytes().decode("latin-1")
    found = list(re.finditer(r"-?\d+(\.\d+)?|\"[^\"]*\"", text))
    if not found or path.suffix in _PICTURES:
        return _flip(path, rng)
    match = rng.choice(found)
    word = rng.choice(
        [
            "",
            "-1",
            "0",
            "1e400",
            "nan",
            "inf",
            "9" * 30,
            "-5.5",
            '"../x"',
            '"/etc/passwd"',
            "\0",
            "😀",
        ]
    )
    path.write_bytes((text[: match.start()] + word + text[match.end() :]).encode("utf-8"))
    return f"{match[0]!r:.30} -> {word!r}"


def _exchange_node(path: Path, rng: random.Random) -> str:
    """Put an odd value anywhere in a json, or take a key out of it."""
    if path.suffix not in (".json", ".geojson"):
        return _exchange_words(path, rng)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # damaged before
        return _flip(path, rng)
    places = list(_places(document)) if isinstance(document, dict | list) else []
    if not places:
        return _flip(path, rng)
    holder, key = rng.choice(places)
    value = rng.choice(ODD_VALUES)
    if rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = value
    path.write_text(json.dumps(document), encoding="utf-8", errors="surrogatepass")
    return f"{key!r} -> {value!r:.40}"


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], dict | list):
            yield from _places(node[key])


def _remove(path: Path, rng: random.Random) -> str:
    del rng
    path.unlink()
    return "removed"


_DAMAGES: list[Callable[[Path, random.Random], str]] = [
    _flip,
    _cut,
    _repeat,
    _exchange_words,
    _exchange_node,
    _exchange_node,
    _exchange_node,
    _remove,
]
