"""How `tide_golden.json` was made: by tidecv 1.0.1 (Bolya et al. 2020) on made-up pictures.

tidecv asks for opencv-python, which cannot stand beside opencv-python-headless, so it is no
dependency of the tests. From the project's root, with the project's Python and that of another
environment (`pip install --no-deps tidecv`, and numpy, pycocotools, matplotlib, pandas, seaborn,
appdirs and opencv-python-headless):

    PYTHONPATH=src python tests/evaluation/make_tide_golden.py scenes /tmp/tide GOLDEN
    TIDE_PYTHON tests/evaluation/make_tide_golden.py count /tmp/tide \
        > tests/evaluation/tide_golden.json

GOLDEN holds the official fake results of the COCO API and their truth. Pictures are put in the
order of their ids: tidecv ranks objects of equal score in the order of the pictures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

SEEDS = range(12)
"""Odd ones are many small pictures, so that objects crowd and repeat."""

OFFICIAL = ("fakebbox", "fakesegm")


def scene_of(seed: int, make):
    """Truth, its pictures by ascending id as ours are read, and predictions."""
    small = bool(seed % 2)
    coco, results = make(
        seed, num_images=12 if small else 6, most=14 if small else 6, boxes=True, small=small
    )
    coco["images"].sort(key=lambda image: image["id"])
    return coco, results


def write_scenes(folder: Path, golden: Path) -> None:
    import importlib.util

    place = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("scene_maker", place)
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS:
        coco, results = scene_of(seed, maker.make_scene)
        (folder / f"seed{seed}.truth.json").write_text(json.dumps(coco))
        (folder / f"seed{seed}.found.json").write_text(json.dumps(results))
    for name in OFFICIAL:
        coco = json.loads((golden / "instances_val2014_100.json").read_text())
        coco["images"].sort(key=lambda image: image["id"])
        (folder / f"{name}.truth.json").write_text(json.dumps(coco))
        found = golden / f"instances_val2014_{name}100_results.json"
        (folder / f"{name}.found.json").write_bytes(found.read_bytes())


def count(folder: Path) -> dict:
    from tidecv import TIDE, datasets

    golden: dict = {}
    for path in sorted(folder.glob("*.truth.json")):
        name = path.name.removesuffix(".truth.json")
        golden[name] = {}
        for mode in (TIDE.BOX, TIDE.MASK):
            # The sets are marked while counting: read anew for each.
            true = datasets.COCO(str(path))
            found = datasets.COCOResult(str(folder / f"{name}.found.json"))
            if any(one[mode] is None for one in found.annotations):
                continue
            tide = TIDE()
            run = tide.evaluate(true, found, mode=mode)
            costs = run.fix_main_errors() | run.fix_special_errors()
            golden[name]["bbox" if mode == TIDE.BOX else "segm"] = {
                "ap": run.ap,
                "costs": {_name(kind): cost for kind, cost in costs.items()},
                "counts": {kind.short_name: len(run.error_dict[kind]) for kind in run.error_dict},
            }
    return golden


def _name(kind) -> str:
    return {"FalsePos": "FP", "FalseNeg": "FN"}.get(kind.short_name, kind.short_name)


if __name__ == "__main__":
    if sys.argv[1] == "scenes":
        write_scenes(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        print(json.dumps(count(Path(sys.argv[2])), indent=1))
