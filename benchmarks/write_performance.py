"""Write docs/performance.md from the files in benchmarks/measured.

    python benchmarks/write_performance.py

Every number on the page comes from those files; change them by measuring again.
"""

from __future__ import annotations

from typing import Any

from measured_files import PROJECT, machine_line, read
from tiles_page import tiles_part
from write_results import masks_part

PAGE = PROJECT / "docs" / "performance.md"


def main() -> None:
    """Write the page from what has been measured so far."""
    parts = [
        "# Performance",
        "",
        "Written by `benchmarks/write_performance.py` from the files in `benchmarks/measured`; "
        "change nothing here by hand. Ratios carry over to other machines better than times do.",
        "",
        *network_part(),
        *step_part(),
        *precision_part(),
        *small_networks_part(),
        *convolutions_part(),
        *engine_part(),
        *memory_part(),
        *masks_part(),
        *tiles_part(),
    ]
    PAGE.write_text("\n".join(parts), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PROJECT)}")


def network_part() -> list[str]:
    """Mask R-CNN from a file to run lengths."""
    measured = read("inference")
    if measured is None:
        return []
    lines = [
        "## Mask R-CNN R50-FPN, exact float32: picture file to COCO run lengths",
        "",
        "`python benchmarks/inference.py`: a JPEG of 480 x 640, resized to 800 x 1088 as usual, "
        "through the network to COCO results with run lengths. Each side is a process of its own, "
        "all predict in turn, medians; the same random weights on all sides, and the same "
        "detections come out. torchvision runs as a user runs it, with pycocotools' `encode`. "
        f"The bar is {measured['bar']:g} times, the goal {measured['goal']:g}.",
        "",
        "| detections | side | ms | times as fast as torchvision | GFLOP/s | peak MiB |",
        "|---|---|---|---|---|---|",
    ]
    for found in measured["results"]:
        reference = found["sides"]["torchvision"]["milliseconds"]
        lines += [
            f"| {found['detections']} | {name} | {side['milliseconds']:.0f} | "
            f"{_ratio(side, reference)} | {_speed(side)} | {side['peak_mib']} |"
            for name, side in found["sides"].items()
        ]
    lines += _peak_lines(measured)
    lines += ["", "How far the results are apart from torchvision's, at most:", ""]
    lines += ["| detections | side | box | score | pixels of a mask |", "|---|---|---|---|---|"]
    for found in measured["results"]:
        lines += [
            f"| {found['detections']} | {name} | {off['box_px']:.4f} px | {off['score']:.1e} | "
            f"{100 * off['mask_pixels']:.4f} % |"
            for name, off in found["agreement"].items()
        ]
    for found in measured["results"]:
        lines += ["", *stages_table(found)]
    return [*lines, "", machine_line(measured["machine"]), ""]


def step_part() -> list[str]:
    """A training step of the reference Mask R-CNN, and where ours spend theirs."""
    measured = read("step_speed")
    if measured is None:
        return []
    size, batch = measured["size"], measured["batch_size"]
    lines = [
        f"## A training step: Mask R-CNN R50-FPN, {size} px, batch {batch}, fp32",
        "",
        "`python benchmarks/step_speed.py --json benchmarks/measured/step_speed.json`: the same "
        "random weights, pictures, objects and samples on both sides, frozen batch norms, three "
        "stages that learn, SGD. Each side is a process of its own; they take steps in turn, "
        f"medians of {measured['rounds']}. The losses of the first step are "
        f'{measured["first_losses_apart"]:.0e} apart at most. "Memory kept" is '
        "`maskwright.keep_memory()`, which the command line does.",
        "",
        "| side | pictures per second | times as fast as torchvision | peak MiB | of it before the "
        "first step |",
        "|---|---|---|---|---|",
    ]
    reference = measured["sides"]["torchvision"]["seconds"]
    lines += [
        f"| {name} | {side['pictures_per_second']:.3f} | {reference / side['seconds']:.2f} | "
        f"{side['peak_mib']} | {side['loaded_mib']} |"
        for name, side in measured["sides"].items()
    ]
    lines += [
        "",
        "Milliseconds of our step by stage, through `fit` with a moving average and a loader "
        "process that reads from the disk; a stage is counted without those inside it:",
        "",
    ]
    names = list(dict.fromkeys(name for each in measured["profiles"].values() for name in each))
    lines += ["| model | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    lines += [
        f"| {model} | " + " | ".join(f"{stages.get(name, 0):g}" for name in names) + " |"
        for model, stages in measured["profiles"].items()
    ]
    return [*lines, "", machine_line(measured["machine"]), ""]


def _ratio(side: dict[str, Any], reference: float) -> str:
    """The median of neighbouring pairs and where eight tenths of them lie, where measured so."""
    if "ratio" not in side:
        return f"{reference / side['milliseconds']:.2f}"
    ratio = side["ratio"]
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _speed(side: dict[str, Any]) -> str:
    speed = side.get("gigaflops_per_second")
    return "" if speed is None else f"{speed:.0f}"


def _peak_lines(measured: dict[str, Any]) -> list[str]:
    if "peak" not in measured:
        return []
    peak, first = measured["peak"], measured["results"][0]
    return [
        "",
        f"Arithmetic: {sum(first['gigaflops'].values()):.0f} GFLOP with {first['detections']} "
        f"detections. The machine computes at most {peak['product']:.0f} GFLOP/s in a matrix "
        f"product and {peak['convolution']:.0f} in a direct convolution; Winograd's algorithm does "
        "with a quarter of the multiplications, so the engine may be above them.",
    ]


def stages_table(found: dict[str, Any]) -> list[str]:
    """Where the time of each side goes."""
    lines = [
        f"Milliseconds by stage with {found['detections']} detections (torchvision's heads are box "
        "and mask head together):",
        "",
        "| side | stages |",
        "|---|---|",
    ]
    for name, side in found["sides"].items():
        stages = ", ".join(f"{stage} {ms:.0f}" for stage, ms in side["stages"].items())
        lines.append(f"| {name} | {stages} |")
    return lines


def convolutions_part() -> list[str]:
    """Winograd against direct convolutions, layer by layer."""
    measured = read("convolutions")
    if measured is None:
        return []
    lines = [
        "## 3 x 3 convolutions by Winograd's algorithm",
        "",
        "`python benchmarks/convolutions.py`: the layers of stride 1 of the same network, our "
        "F(4 x 4, 3 x 3) against oneDNN's direct convolution, both with packed weights and their "
        "rectifier, in turn. Errors are the largest difference from float64 as a part of the "
        "largest result. The engine takes Winograd's algorithm from 28 patches of 4 x 4 and 32 "
        "channels on.",
        "",
        "| layer | maps | runs | GFLOP | direct ms | Winograd ms | ratio | error, direct | error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in measured["results"]:
        pictures, channels, height, width, written = row["shape"]
        maps = f"{pictures} x {channels} x {height} x {width} to {written}"
        kept = "" if row["is_chosen"] else " (not taken)"
        lines.append(
            f"| {row['layer']}{kept} | {maps} | {row['times']} | {row['gigaflop']:.1f} | "
            f"{row['direct_ms']:.2f} | {row['winograd_ms']:.2f} | {row['ratio']:.2f} | "
            f"{row['direct_error']:.0e} | {row['winograd_error']:.0e} |"
        )
    return [*lines, "", machine_line(measured["machine"]), ""]


def precision_part() -> list[str]:
    """The same network in int8."""
    measured = read("precision")
    if measured is None:
        return []
    parity, kept = measured["parity"], measured["in_fp32"]
    whole = [name for name, precision in measured["graphs"].items() if precision == "fp32"]
    scores = ", ".join(
        f"{name} {100 * before:.2f} to {100 * parity['after'][name]:.2f} %"
        for name, before in parity["before"].items()
    )
    lines = [
        "## Mask R-CNN R50-FPN in int8, OpenVINO",
        "",
        "`python benchmarks/precision.py`: a trained model of torchvision's architecture, exported "
        "by `maskwright export --to openvino --int8 --calibrate` and held against torchvision's "
        "eager network with the same weights on real pictures, in turn. "
        f"The bar is {measured['bar']:g} times with scores within {measured['max_drop']:g}, the "
        f"goal {measured['goal']:g}.",
        "",
        f"Scores on {parity['pictures']} pictures, float32 to int8: {scores}. In float32 stayed: "
        f"{', '.join(kept + whole) or 'nothing'}.",
        "",
        "| size | side | ms | times as fast as torchvision | objects |",
        "|---|---|---|---|---|",
    ]
    for size in ("standard", "training"):
        lines += [
            f"| {size} | {name} | {side['milliseconds']:.0f} | {_ratio(side, 0.0)} | "
            f"{side['objects']} |"
            for name, side in measured[size]["sides"].items()
        ]
    return [*lines, "", machine_line(measured["machine"]), ""]


def small_networks_part() -> list[str]:
    """Our fastest pair beside YOLO11n-seg."""
    measured = read("small_networks")
    if measured is None:
        return []
    lines = [
        f"## A small network at {measured['side']} pixels, beside YOLO11n-seg",
        "",
        "`python benchmarks/small_networks.py`: models of `benchmarks/time_to_ap.py` after as long "
        f"a training, from picture files (mosaics of nuclei, {measured['side']} pixels a side) to "
        "run lengths, everything with a score of 0.25 and more. Ultralytics' `predict` with "
        "`retina_masks`, which gives masks at full resolution, and pycocotools' `encode`. The "
        f"bar is {measured['bar']:g} times {measured['reference']}.",
        "",
        f"| side | ms | times as fast as {measured['reference']} | objects | peak MiB |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {side['milliseconds']:.0f} | {_ratio(side, 0.0)} | {side['objects']} | "
        f"{side['peak_mib']} |"
        for name, side in measured["sides"].items()
    ]
    return [*lines, "", machine_line(measured["machine"]), ""]


def memory_part() -> list[str]:
    """Memory on a large picture."""
    measured = read("memory")
    if measured is None:
        return []
    height, width = measured["image_size"]
    masks = measured["masks_mib"]
    lines = [
        f"## Memory: {measured['objects']} objects on {height} x {width} pixels",
        "",
        "`python benchmarks/memory.py`: peak resident memory above that of the process with its "
        "model loaded, each side in a process of its own.",
        "",
        "From the mask head's crops to run lengths, which is what grows with objects and picture: "
        f"{masks['maskwright']:.1f} MiB against torchvision's {masks['torchvision']:.0f}, "
        f"{measured['masks_ratio']:.0f} times less (bar {measured['bar']:g}).",
        "",
        "The whole prediction, picture file to run lengths, by Mask R-CNN R50-FPN:",
        "",
        "| side | loaded MiB | above MiB | objects |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {side['loaded_mib']} | {side['above_mib']} | {side['objects']} |"
        for name, side in measured["prediction"].items()
    ]
    floors = ", ".join(f"{name} {value} MiB" for name, value in measured["floors_mib"].items())
    return [
        *lines,
        "",
        f"No side can do without: {floors}.",
        "",
        machine_line(measured["machine"]),
        "",
    ]


def engine_part() -> list[str]:
    """What the engine does and what it costs, in words."""
    return [
        "## What the engine does",
        "",
        '- `mw.load(path)` gives the engine (`runtime="torch"`); `runtime="eager"` gives the '
        "model as it was trained, for comparison.",
        '- `runtime="measured"` lets every exact runtime that is installed predict in turn, takes '
        "the quickest and remembers it ([bench.md](bench.md)).",
        "- Batch norms are folded into convolutions, channels come last in memory, activations "
        "and shortcuts are done in passing (oneDNN, which PyTorch brings).",
        "- RoIAlign reads feature maps as tables (embedding bags); the mask head draws the mask "
        "of the found class alone.",
        "- 3 x 3 convolutions go by Winograd's algorithm. Numba compiles its code once, at the "
        "first prediction after an installation, in some seconds, and keeps it on disk.",
        "- Price in memory: the weights of those convolutions take four times their size (220 MB "
        "for R50-FPN).",
        "- `maskwright.keep_memory()` lets the process keep memory it has used, by glibc's "
        "`mallopt`: no page faults for every large activation. The command line does it; in the "
        "library it is opt-in, because what the process holds then stays at its highest point "
        "(see the peaks above) until it ends. MASKWRIGHT_KEEP_MEMORY=0 prevents it. With other C "
        "libraries nothing happens.",
        '- bfloat16 (`precision="bf16"`) is refused on processors without such arithmetic; with '
        "it results are not exact.",
        "",
    ]


if __name__ == "__main__":
    main()
