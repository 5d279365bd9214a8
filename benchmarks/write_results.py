"""Write docs/results.md and its plot from the files in benchmarks/measured.

    python benchmarks/write_results.py

Every number on the page comes from those files; change them by measuring again.
"""

from __future__ import annotations

from typing import Any

from accuracy_page import time_to_ap_part, training_part
from measured_files import MEASURED, PROJECT, interval, machine_line, percent, read
from tiles_page import tiles_part

PAGE = PROJECT / "docs" / "results.md"


def main() -> None:
    """Write the page from what has been measured so far."""
    parts = [
        "# Measured results",
        "",
        "Written by `benchmarks/write_results.py` from the files in `benchmarks/measured`; "
        "change nothing here by hand.",
        "",
        *training_part(),
        *time_to_ap_part(),
        *comparison_part("nuclei"),
        *comparison_part("fruit_nuts"),
        *learnt_part(),
        *masks_part(),
        *tiles_part(),
        *doctor_part(),
        *loading_part(),
        *robustness_part(),
        *ensembling_part(),
        *compressing_part(),
        *losses_part(),
        *commands_part(),
    ]
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PROJECT)}")


def comparison_part(name: str) -> list[str]:
    """Pairs of detector and mask head held against each other by `maskwright compare`."""
    measured = read(f"compare-{name}")
    if measured is None:
        return []
    lines = [
        f"## Pairs of detector and mask head on {name}, {measured['budget']} each",
        "",
        f"`python benchmarks/compare.py DATA --out RUNS --only {name}`: `maskwright compare` with "
        "`--preset fast` and vertical flips.",
        "",
        "| model | mask AP % (95 %) | AP50 | boundary AP | box AP | ms | memory MB | params M | "
        "GFLOPs | file MB | steps |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in measured["models"]:
        percents = [f"{100 * row[key]:.1f}" for key in ("mask_ap50", "boundary_ap", "box_ap")]
        lines.append(
            f"| {row['model']} | {100 * row['mask_ap']:.1f} ({100 * row['mask_ap_low']:.1f} to "
            f"{100 * row['mask_ap_high']:.1f}) | {' | '.join(percents)} | {row['ms']:.0f} | "
            f"{row['peak_memory_mb']:.0f} | {row['parameters'] / 1e6:.1f} | {row['gflops']:.1f} | "
            f"{row['file_mb']:.1f} | {row['steps']} |"
        )
    lines += ["", measured["recommendation"], ""]
    lines += [f"- {note}" for note in measured["notes"]]
    plot = f"![speed against accuracy](compare-{name}.png)"
    return [*lines, "", plot, "", machine_line(measured["machine"]), ""]


def learnt_part() -> list[str]:
    """What the comparisons taught, in words that stand beside the files they speak of."""
    path = MEASURED / "learnt.md"
    return [*path.read_text(encoding="utf-8").splitlines(), ""] if path.is_file() else []


def masks_part() -> list[str]:
    """Ratios of pasting and coding masks."""
    measured = read("masks")
    if measured is None:
        return []
    lines = [
        "## Masks: from crops to COCO run lengths",
        "",
        "`python benchmarks/masks.py`: `Masks.paste(...).to_coco()` against torchvision's "
        "`paste_masks_in_image`, the threshold and pycocotools' `encode`; the same text comes out. "
        "Both sides in turn in one run, medians.",
        "",
        "| objects | picture | maskwright ms | torchvision + pycocotools ms | ratio | bar |",
        "|---|---|---|---|---|---|",
    ]
    for row in measured["results"]:
        height, width = row["image_size"]
        lines.append(
            f"| {row['num_objects']} | {height} x {width} | {row['maskwright_ms']:.2f} | "
            f"{row['torchvision_ms']:.0f} | {row['ratio']:.0f} | {row['bar']:.0f} |"
        )
    lines += [
        "",
        f"Extra memory of the largest: {measured['extra_memory_mib']:.1f} MiB (bar "
        f"{measured['extra_memory_bar_mib']:.0f} MiB).",
        "",
    ]
    known = measured["machine"]
    return [
        *lines,
        f"Measured on {known['cores']} cores ({known['torch_capability']}), Python "
        f"{known['python']}, torch {known['torch']}, torchvision {known['torchvision']}, "
        f"pycocotools {known['pycocotools']} at commit {known['commit']}.",
        "",
    ]


def doctor_part() -> list[str]:
    """What `maskwright data check` finds of planted defects, and what it invents."""
    measured = read("doctor")
    if measured is None:
        return []
    planted = [one for one in measured["sets"] if "scores" in one]
    sets = "; ".join(
        f"{one['name']} ({one['pictures']} pictures, {one['objects']:,} objects, "
        f"{one['seconds']:.1f} s)"
        for one in measured["sets"]
    )
    columns = [f"{one['name']} {what}" for one in planted for what in ("found", "false", "clean")]
    lines = [
        "## The doctor: planted defects found, and false alarms",
        "",
        f"`python benchmarks/doctor.py DATA`: `maskwright data check` on {sets}, as they are and "
        f"with defects of {sum(has_plants(measured, check) for check in measured['severities'])} "
        f"kinds planted in copies of them, {planted[0]['num_seeds']} times over. *found* is "
        "planted defects that were named; *false* those named that were neither planted nor on "
        "the clean data, consequences of other plants included; *clean* is what is named on the "
        "data as they are, whether right or not.",
        "",
        "| check | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for check, severity in measured["severities"].items():
        if has_plants(measured, check):
            cells = [cell for one in planted for cell in doctor_cells(one, check)]
            lines.append(f"| {check} ({severity}) | " + " | ".join(cells) + " |")
    others = [one for one in measured["sets"] if "scores" not in one]
    named = [f"{one['name']}: {sum(one['clean'].values()) or 'nothing'}" for one in others]
    return [
        *lines,
        "",
        f"Too small to plant in; named on the data as they are: {', '.join(named)}.",
        "",
        *doctor_remarks(planted),
        "",
        machine_line(measured["machine"]),
        "",
    ]


def doctor_remarks(planted: list[dict[str, Any]]) -> list[str]:
    """Say what lies behind the figures that are not full."""
    ways = {
        "compressed": "brighter and compressed",
        "halved": "halved and enlarged",
        "noisy": "noisy and of more contrast",
        "cut": "cut by a twenty-fifth on every side",
    }
    copies = "; ".join(
        f"{words} " + ", ".join("{} of {}".format(*one["copies_found"][way]) for one in planted)
        for way, words in ways.items()
    )
    slivers = ", ".join(
        f"{one['slivers_at_edge']} of {one['clean'].get('object-sliver', 0)}" for one in planted
    )
    names = " and ".join(one["name"] for one in planted)
    return [
        f"- *near-duplicate*: copies called alike by the way they were altered, on {names}: "
        f"{copies}. Crops are beyond a perceptual hash; name groups with `--group-pattern`. Of "
        "the nuclei pictures as they are, many of which look like crops of the same plates, no "
        "two are called alike.",
        "- *picture-damaged*: truncation to 30 to 95 % is seen, and any damage to a PNG, which "
        "holds checksums. A hole in the middle of a JPEG decodes without complaint and is missed.",
        f"- *object-sliver* on the data as they are: {slivers} touch the edge that cut them. "
        "*object-of-two-classes* on coco128: a car that is also a truck, a phone that is also a "
        "remote. *picture-dense* on nuclei is true.",
        "- The checks of classes name much on coco128, whose 128 pictures hold few objects of "
        "most of 80 classes; objects that plants take from a class count as false alarms there.",
    ]


def has_plants(measured: dict[str, Any], check: str) -> bool:
    """Say whether any defect was planted for a check."""
    return any(one.get("scores", {}).get(check, {}).get("planted") for one in measured["sets"])


def doctor_cells(one: dict[str, Any], check: str) -> list[str]:
    """Return found, false and clean of a check on one set."""
    numbers = one["scores"][check]
    found = f"{numbers['found']}/{numbers['planted']}"
    return [found, str(numbers["false_alarms"]), str(one["clean"].get(check, 0))]


def loading_part() -> list[str]:
    """Datasets: opening a large one, and what a step waits for."""
    lines = []
    if (large := read("big_coco")) is not None:
        lines += [
            "## A million annotations",
            "",
            f"`python benchmarks/big_coco.py`: a COCO json of {large['pictures']:,} pictures and "
            f"{large['objects']:,} objects, {large['file_mb']:.0f} MB.",
            "",
            "| | seconds or MB | bar |",
            "|---|---|---|",
            f"| pycocotools `COCO(path)` | {large['pycocotools_seconds']:.1f} s | |",
            f"| first open, which writes the cache | {large['first_seconds']:.1f} s | "
            "no slower than pycocotools |",
            f"| second open | {large['second_seconds']:.2f} s | 0.5 s |",
            f"| after the file was only touched | {large['touched_seconds']:.2f} s | |",
            f"| annotations in a run with four loader workers | {large['memory_mb']:.0f} MB | "
            "300 MB |",
            f"| cache on disk | {large['cache_mb']:.0f} MB | |",
            "",
            f"Python {large['python']}, pycocotools {large['versions']['pycocotools']}, "
            f"{large['repeats']} run.",
            "",
        ]
    if (data := read("data")) is not None:
        lines += [
            "## Decode, augment, collate",
            "",
            "`python benchmarks/data.py`: milliseconds per picture without workers, the three "
            "sides in turn in one run, medians; torchvision v2 and Albumentations on dense masks.",
            "",
            "| objects | side | maskwright | torchvision v2 | Albumentations | "
            "times torchvision | times Albumentations | bar |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {one['objects']} | {one['side']} | {one['maskwright_ms']:.1f} | "
            f"{one['torchvision_ms']:.1f} | {one['albumentations_ms']:.1f} | "
            f"{one['times_torchvision']:.1f} | {one['times_albumentations']:.1f} | "
            f"{one['bar']:.0f} |"
            for one in data["results"]
        ]
        lines += [
            "",
            f"Python {data['python']}, torchvision {data['versions']['torchvision']}, "
            f"Albumentations {data['versions']['albumentations']}.",
            "",
        ]
    return lines


def robustness_part() -> list[str]:
    """What the preset `robust` brings under corruption, and what it costs without."""
    measured = read("robustness")
    if measured is None:
        return []
    lines = [
        "## Robustness, before and after the preset `robust`",
        "",
        "`python benchmarks/robustness.py DATA --out RUNS`: models (`--preset fast`) trained with "
        "the recipe's own augmentation and with `--augment robust`, then `maskwright robustness`. "
        "mPC is the AP under corruption, averaged over strengths and then over corruptions; rPC "
        "is mPC over the clean AP. In %. The preset's numbers were chosen by earlier measurements "
        "on the pictures of nuclei, so there what it wins back is flattered.",
        "",
        *[robustness_training(one) for one in measured["sets"]],
        "",
        "| data | augmentation | clean mask AP (95 %) | mPC | rPC | boundary AP: clean | mPC |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in measured["sets"]:
        for name, summary in one["models"].items():
            segm, boundary = summary["segm"], summary["boundary"]
            lines.append(
                f"| {one['name']}, {one['pictures']} {one['part']} pictures | {name} | "
                f"{percent(segm['clean_AP'])} ({interval(segm['clean_AP_interval'])}) | "
                f"{percent(segm['mPC'])} | {percent(segm['rPC'])} | "
                f"{percent(boundary['clean_AP'])} | {percent(boundary['mPC'])} |"
            )
    lines.append("")
    lines += [
        f"- {one['name']}: of {percent(one['loss'])} points lost under corruption the preset "
        f"wins back {100 * one['recovered']:.0f} % (a quarter or more: "
        f"{'yes' if one['recovers_a_quarter'] else 'NO'}); the clean AP changes by "
        f"{100 * one['clean_change']:+.1f} (not below the interval: "
        f"{'yes' if one['keeps_clean_ap'] else 'NO'})."
        for one in measured["sets"]
    ]
    machines = [machine_line(one["machine"]) for one in measured["sets"]]
    return [*lines, "", *corruptions_table(measured), *dict.fromkeys(machines), ""]


def robustness_training(one: dict[str, Any]) -> str:
    """Say what was trained on a data set, and how its corruption was measured."""
    short, long = one["sides"]
    strengths = ", ".join(map(str, one["strengths"]))
    first = one.get("first_steps", 0)
    before = f"{first} steps with the recipe's own augmentation, then " if first else ""
    return (
        f"- {one['name']}: {one['model']}, {before}{one['steps']} steps of pictures of {short} "
        f"pixels ({long} at most); corruption at strengths {strengths}."
    )


def corruptions_table(measured: dict[str, Any]) -> list[str]:
    """Mask AP by corruption, averaged over strengths, of every model."""
    rows = {
        f"{one['name']} {name}": summary["segm"]["by_corruption"]
        for one in measured["sets"]
        for name, summary in one["models"].items()
    }
    names = list(next(iter(rows.values()), {}))
    lines = [
        "| corruption | " + " | ".join(rows) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for name in names:
        cells = [percent(by[name]) if name in by else "" for by in rows.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def ensembling_part() -> list[str]:
    """What several views and several models bring and cost."""
    measured = read("ensembling")
    if measured is None:
        return []
    lines = [
        "## Test-time augmentation and ensembles",
        "",
        "`python benchmarks/ensembling.py DATA --out RUNS`: SSD+FCN (first) and Faster R-CNN+Mask "
        f"R-CNN (second) on {measured['pictures']} validation pictures of nuclei with "
        f"{measured['objects']:,} objects. Gains are against the first model alone, with the 95 % "
        "interval and p-value of the paired test; in %. Milliseconds are medians, in turn.",
        "",
        "| models and views | mask AP (95 %) | boundary AP | box AP | gain (95 %) | p | ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in measured["ways"]:
        has_gain = one.get("gain_interval") is not None
        gain = f"{100 * one['gain']:+.1f} ({interval(one['gain_interval'])})" if has_gain else ""
        p_value = f"{one['p_value']:.3f}" if one.get("p_value") is not None else ""
        lines.append(
            f"| {one['name']} | {percent(one['mask_ap'])} ({interval(one['mask_ap_interval'])}) | "
            f"{percent(one['boundary_ap'])} | {percent(one['box_ap'])} | {gain} | {p_value} | "
            f"{one['milliseconds']:.0f} |"
        )
    return [*lines, "", machine_line(measured["machine"]), ""]


def compressing_part() -> list[str]:
    """What compression costs in AP and brings in time."""
    measured = read("compressing")
    if measured is None:
        return []
    lines = [
        "## Compression",
        "",
        "`python benchmarks/compressing.py MODEL DATA --out RUNS`: `maskwright compress` of an "
        "SSD+FCN of nuclei. In every trial all versions were timed in turn, so times and factors "
        "compare within a trial; scores are of the validation pictures, in %.",
        "",
        "| trial | steps | version | MB | 10^9 multiply-adds | ms (times less) | mask AP | "
        "boundary AP | runs on |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for trial in measured["trials"]:
        first = trial["versions"][0]
        for one in trial["versions"]:
            factor = first["milliseconds"] / one["milliseconds"]
            runs_on = one["runs_on"] + (f", {one['note']}" if one["note"] else "")
            lines.append(
                f"| {trial['title']} | {trial['steps']} | {one['name']} | "
                f"{one['megabytes']:.1f} | {one['multiply_adds'] / 1e9:.2f} | "
                f"{one['milliseconds']:.0f} ({factor:.2f}) | "
                f"{percent(one['scores']['mask AP'])} | {percent(one['scores']['boundary AP'])} | "
                f"{runs_on} |"
            )
    return [*lines, "", machine_line(measured["machine"]), ""]


def losses_part() -> list[str]:
    """What each choice of loss, sampling and refinement brings, one table per data set."""
    measured = read("losses")
    if measured is None:
        return []
    lines = [
        "## Losses and heads by choice",
        "",
        "`python benchmarks/losses.py DATA --out RUNS`: short trainings that differ in one choice "
        "alone (`--preset fast`, EfficientNet-Lite0 weights, two pictures a step, one seed), all "
        "of a pair for the same number of steps; the last model is scored. Gains are against the "
        "pair without a choice, with the 95 % interval of the paired bootstrap over pictures; one "
        "seed says nothing of how much trainings differ by chance. *rare* is the mean mask AP of "
        "the third of the classes with fewest training objects. In %. [losses.md](losses.md) says "
        "what to use when.",
        "",
    ]
    rows = measured["rows"]
    for data in dict.fromkeys(row["data"] for row in rows):
        lines += losses_table([row for row in rows if row["data"] == data])
    return [*lines, machine_line(measured["machine"]), ""]


def losses_table(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table of a data set."""
    first = rows[0]
    has_rare = any(row["rare_ap"] is not None for row in rows)
    lines = [
        f"On {first['data']}, {first['pictures']} {first['scored']} pictures, {first['steps']} "
        "steps:",
        "",
        "| model and choice | mask AP (95 %) | gain (95 %) | boundary AP (95 %) | gain (95 %) | "
        f"box AP | {'rare | ' if has_rare else ''}ms |",
        "|---" * (8 if has_rare else 7) + "|",
    ]
    for row in rows:
        cells = [row["title"]]
        for kind in ("segm", "boundary"):
            ends = interval(row[f"{kind}_interval"])
            cells += [f"{percent(row[f'{kind}_ap'])} ({ends})", gain_of(row, kind)]
        cells.append(percent(row["box_ap"]))
        if has_rare:
            cells.append("" if row["rare_ap"] is None else percent(row["rare_ap"]))
        lines.append("| " + " | ".join([*cells, f"{row['milliseconds']:.0f}"]) + " |")
    return [*lines, ""]


def gain_of(row: dict[str, Any], kind: str) -> str:
    """Show a gain and its interval; nothing for a row that others are held against."""
    gain = row.get(f"{kind}_gain")
    if gain is None:
        return ""
    return f"{100 * gain:+.1f} ({interval(row[f'{kind}_gain_interval'])})"


def commands_part() -> list[str]:
    """How long the two commands of the README take."""
    measured = read("commands")
    if measured is None:
        return []
    lines = [
        "## The two commands, from a fresh clone",
        "",
        "| command | seconds, set-up included | set-up alone | outcome |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{row['command']}` | {row['seconds']:.0f} | {row['setup_seconds']:.0f} | "
        f"{row['outcome']} |"
        for row in measured["commands"]
    ]
    return [*lines, "", machine_line(measured["machine"]), ""]


if __name__ == "__main__":
    main()
