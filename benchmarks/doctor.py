"""Plant defects in real data and count what `maskwright data check` finds, and what it invents.

    python benchmarks/doctor.py DATA [--count 5]

DATA is the developers' folder of real pictures (nuclei, coco128, fruit_nuts). Writes
benchmarks/measured/doctor.json, from which `benchmarks/write_results.py` makes its table.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskwright import check_dataset
from maskwright.data import Diagnosis
from maskwright.data.checks import CHECKS
from maskwright.data.fingerprints import fingerprint_pictures
from maskwright.data.likeness import find_duplicates
from training import MEASURED, machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from planting.planter import Planter, score
from planting.plants import GROUP_PATTERN, PLANTS, SINGLE, WAYS, altered

# Planted files of one picture each: coco128 has too few pictures for more.
COUNTS = {"nuclei": 5, "coco128": 2}


def main() -> None:
    """Measure all three sets and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, help="defects of each kind, whatever the data")
    parser.add_argument("--seeds", type=int, default=3, help="times that everything is planted")
    options = parser.parse_args()
    sets = [
        measure(name, *parts(options.data, name), options.count or COUNTS[name], options.seeds)
        for name in COUNTS
    ]
    sets.append(clean_only("fruit_nuts", options.data / "fruit_nuts" / "trainval.json"))
    report = {"sets": sets, "severities": severities(), "machine": machine()}
    path = MEASURED / "doctor.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for one in sets:
        print(one["name"], one["clean"], f"{one['seconds']:.1f} s")
        for check, numbers in one.get("scores", {}).items():
            print(f"  {check:24}", *numbers.values(), *one["strange"].get(check, [])[:4], sep="  ")


def parts(data: Path, name: str) -> tuple[list[dict[str, Any]], Path]:
    """Return COCO dictionaries of training and validation, and the folder of their pictures."""
    folder = data / name
    if name == "nuclei":
        files = [folder / "train.json", folder / "val.json"]
        return [json.loads(file.read_text()) for file in files], folder / "images"
    content = json.loads((folder / "instances.json").read_text())
    order = np.random.default_rng(0).permutation(len(content["images"]))
    chosen = {content["images"][k]["id"] for k in order[: len(order) // 4]}
    return [only(content, chosen, False), only(content, chosen, True)], folder / "images"


def only(content: dict[str, Any], chosen: set[int], wanted: bool) -> dict[str, Any]:
    """Return the dictionary with the chosen pictures only, or with all others."""
    images = [one for one in content["images"] if (one["id"] in chosen) == wanted]
    objects = [one for one in content["annotations"] if (one["image_id"] in chosen) == wanted]
    return {"images": images, "annotations": objects, "categories": content["categories"]}


def measure(
    name: str, contents: list[dict[str, Any]], images: Path, count: int, num_seeds: int
) -> dict[str, Any]:
    """Check the data as they are and with defects planted in them."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for number, content in enumerate(contents):
            (folder / f"clean{number}.json").write_text(json.dumps(content))
        files = [folder / f"clean{number}.json" for number in range(len(contents))]
        start = time.perf_counter()
        # The folder holds every picture of the set, so each part alone has unlisted ones.
        clean = check_dataset(*files, images=images, group_pattern=GROUP_PATTERN)
        seconds = time.perf_counter() - start
        scores: dict[str, Counter[str]] = defaultdict(Counter)
        strange: defaultdict[str, list[str]] = defaultdict(list)
        for seed in range(num_seeds):
            planter = planted(contents, images, folder / f"spoilt{seed}", count, seed)
            spoilt = check_dataset(*planter.write(), group_pattern=GROUP_PATTERN)
            for check, one in score(clean, spoilt, planter, severities()).items():
                numbers = asdict(one)
                strange[check] += numbers.pop("strange")
                scores[check].update(numbers)
    return {
        "name": name,
        "pictures": sum(len(content["images"]) for content in contents),
        "objects": sum(len(content["annotations"]) for content in contents),
        "seconds": seconds,
        "num_seeds": num_seeds,
        "copies_found": copies_found(clean),
        "slivers_at_edge": slivers_at_edge(clean),
        "clean": {one.check.name: len(one.defects) for one in clean.results},
        "scores": scores,
        "strange": {check: words for check, words in strange.items() if words},
    }


def planted(
    contents: list[dict[str, Any]], images: Path, folder: Path, count: int, seed: int
) -> Planter:
    """Plant every sort of defect in a copy of the data."""
    planter = Planter(contents, [images] * len(contents), folder, seed)
    for plant in [*PLANTS.values()] * count + [*SINGLE.values()]:
        plant(planter)
    return planter


def copies_found(clean: Diagnosis) -> dict[str, tuple[int, int]]:
    """Count the pictures of which an altered copy is called a near-duplicate, by the way."""
    rng = np.random.default_rng(0)
    found: dict[str, tuple[int, int]] = {}
    pictures = list(clean.survey.pictures())[::3]
    for way in WAYS:
        count = 0
        for facts in pictures:
            with Image.open(facts.path) as file:
                picture = file.convert("RGB")
            both = [np.asarray(picture), np.asarray(altered(picture, way, rng))]
            count += len(find_duplicates(fingerprint_pictures(both)).pairs)
        found[way] = (count, len(pictures))
    return found


def slivers_at_edge(clean: Diagnosis) -> int:
    """Count the slivers of the data as they are that touch the edge of their picture."""
    count = 0
    for defect in clean["object-sliver"]:
        index = clean.survey.parts[defect.place.part].inspected.index
        left, top, width, height = index.xywh[defect.items[0]]
        limit = index.sizes[defect.place.picture]
        count += min(left, top, limit[1] - left - width, limit[0] - top - height) <= 1
    return int(count)


def clean_only(name: str, file: Path) -> dict[str, Any]:
    """Check the data as they are: too few pictures to plant in."""
    start = time.perf_counter()
    found = check_dataset(file)
    return {
        "name": name,
        "pictures": len(found.survey.parts[0].pictures),
        "objects": found.survey.parts[0].inspected.report.num_objects,
        "seconds": time.perf_counter() - start,
        "clean": {one.check.name: len(one.defects) for one in found.results},
    }


def severities() -> dict[str, str]:
    """Return how bad each check's finding is, in the order of the table of checks."""
    return {check.name: check.severity for check in CHECKS}


if __name__ == "__main__":
    main()
