"""The part of the pages that is measured by `benchmarks/tiles.py`."""

from __future__ import annotations

from typing import Any

from measured_files import machine_line, read


def tiles_part() -> list[str]:
    """Joining the objects of overlapping tiles."""
    measured = read("tiles")
    if measured is None:
        return []
    lines = ["## Tiles: one result of many", ""]
    if (joining := measured.get("joining")) is not None:
        lines += [
            f"Joining {joining['detections']:,} detections of {joining['tiles']:,} tiles to "
            f"{joining['joined']:,} of {joining['objects']:,} generated objects took "
            f"{joining['seconds']:.2f} s; all masks exact: "
            f"{'yes' if joining['is_exact'] else 'NO'}.",
            "",
        ]
    if (mosaic := measured.get("perfect mosaic")) is not None:
        found = mosaic["perfect_detector"]
        lines += [
            f"A mosaic of {mosaic['pictures']:,} real nuclei pictures, {mosaic['side']:,} pixels a "
            f"side, cut into {found['tiles']:,} tiles in which every nucleus is found as far as it "
            f"is seen: {found['joined']:,} of {mosaic['objects']:,} nuclei after "
            f"{found['seconds_to_join']:.1f} s of joining, all masks exact: "
            f"{'yes' if found['is_exact'] else 'NO'}. This measures the joining, not a network.",
            "",
        ]
    lines += mosaic_lines(measured.get("mosaic"))
    lines += slicer_lines(measured.get("slicer"))
    machines = [machine_line(one["machine"]) for one in measured.values()]
    return [*lines, *dict.fromkeys(machines), ""]


def mosaic_lines(mosaic: dict[str, Any] | None) -> list[str]:
    """What a model finds on the large mosaic, and what its seams change."""
    if mosaic is None:
        return []
    counts, seams = mosaic["counts"], mosaic["seams"]
    return [
        "The same mosaic with a trained model, read window by window from a TIFF of "
        f"{mosaic['megabytes_of_file']:,} MB: {mosaic['tiles']:,} tiles in "
        f"{mosaic['seconds']:,.0f} s, peak resident memory {mosaic['peak_mib']:,} MiB with "
        "Python and libraries (bar 2,048 MiB), of which "
        f"{mosaic['peak_mib_before']:,} MiB before the first tile.",
        "",
        "| counted from a score of | mosaic | picture by picture | truth | mosaic to truth | "
        "mosaic to picture by picture | half covered by another: mosaic | picture by picture | "
        "truth |",
        "|---" * 9 + "|",
        *[
            f"| {one['score']:g} | {one['mosaic']:,} | {one['single_pictures']:,} | "
            f"{counts['truth']:,} | {100 * one['error_to_truth']:+.2f} % | "
            f"{100 * one['error_to_single_pictures']:+.2f} % | {one['covering_pairs']:,} | "
            f"{one['covering_pairs_in_single_pictures']:,} | "
            f"{counts['covering_pairs_in_truth']:,} |"
            for one in (counts["at 0.5"], counts["balanced"])
        ],
        "",
        f"The second score is the one from which picture by picture as many are found as there "
        f"are. Nuclei whose centres lie where tiles overlap are counted "
        f"{100 * seams['count_error_of_overlaps']:+.2f} % against those elsewhere: seams neither "
        "lose nor double. Pictures that were cut for the mosaic lose a neighbour's context, so the "
        "network itself finds other things at their borders.",
        "",
    ]


def slicer_lines(slicer: dict[str, Any] | None) -> list[str]:
    """Seconds and memory beside other slicers."""
    if slicer is None:
        return []
    ways = {name: slicer[name] for name in ("tiles", "supervision", "sahi") if name in slicer}
    lines = [
        f"`python benchmarks/tiles.py slicer`: the same model, tiles and overlap on a mosaic of "
        f"{slicer['side']:,} pixels a side with {slicer['objects']:,} nuclei, each in a process of "
        "its own. The slicers are given what has a score of 0.5 and more, maskwright joins "
        "everything the model gives and is counted above 0.5.",
        "",
        "| way | seconds | peak MiB | of it before | found | recall |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {'maskwright' if name == 'tiles' else name} | {one['seconds']} | {one['peak_mib']:,} | "
        f"{one['peak_mib_before']:,} | {one['found']:,} | {one['recall']:.3f} |"
        for name, one in ways.items()
    ]
    return [*lines, ""]
