"""The parts of docs/results.md on trainings of a fixed time, and their plots."""

from __future__ import annotations

from typing import Any

from measured_files import PROJECT, machine_line, read

CURVES = PROJECT / "docs" / "curves.png"
TIME_TO_AP = PROJECT / "docs" / "time_to_ap.png"
TRAININGS = ("nuclei-scratch", "nuclei-transfer", "fruit_nuts-transfer")


def training_part() -> list[str]:
    """Scores of the default recipes on real data at a fixed time."""
    trials = [trial for name in TRAININGS if (trial := read(name)) is not None]
    if not trials:
        return []
    plot_curves(trials)
    lines = [
        "## Mask R-CNN on real data in a fixed time",
        "",
        "`python benchmarks/training.py DATA --out RUNS`: the recipe that `maskwright train` "
        "chooses for a processor (`--preset fast`), plus vertical flips, for the stated time; then "
        "the best model (by validation mask AP) scored at full resolution. The validation pictures "
        "choose the best model; test pictures choose nothing.",
        "",
        "| data | part | minutes | steps | mask AP | AP50 | AP75 | boundary AP | box AP |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for trial in trials:
        for part in ("validation", "test"):
            if (scores := trial[part]) is not None:
                segm, boundary, box = scores["segm"], scores["boundary"], scores["bbox"]
                lines.append(
                    f"| {trial['title']} | {part} | {trial['minutes']:g} | {trial['steps']} | "
                    f"{segm['AP']:.3f} | {segm['AP50']:.3f} | {segm['AP75']:.3f} | "
                    f"{boundary['AP']:.3f} | {box['AP']:.3f} |"
                )
    lines += ["", "![learning curves](curves.png)", "", machine_line(trials[0]["machine"]), ""]
    return lines


def time_to_ap_part() -> list[str]:
    """Mask AP after so many minutes, beside other tools."""
    measured = read("time_to_ap")
    if measured is None:
        return []
    plot_time_to_ap(measured["curves"])
    lines = [
        "## Accuracy per minute, beside other tools",
        "",
        "`python benchmarks/time_to_ap.py DATA --out RUNS`: each side trains alone for the same "
        "time on the same pictures, with `--preset fast` on our side, and is scored by pycocotools "
        "at full resolution with 400 detections a picture. On nuclei the validation pictures are "
        "scored, of the best of each side's checkpoints; fruit_nuts and coco128 are scored on the "
        "pictures of the training (overfit). Transfer starts from EfficientNet-Lite0 trained on "
        "ImageNet; the others start from random weights.",
        "",
        "| data | side | minutes | seeds | mask AP (lowest to highest) |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['data']} | {row['side']} | {row['minutes']:g} | {row['seeds']} | "
        f"{row['mean_AP']:.3f} ({row['lowest_AP']:.3f} to {row['highest_AP']:.3f}) |"
        for row in measured["rows"]
    ]
    lines += ["", "![mask AP over minutes](time_to_ap.png)", ""]
    machines = [machine_line(one["machine"]) for one in measured["curves"]]
    return [*lines, *dict.fromkeys(machines), ""]


def plot_time_to_ap(curves: list[dict[str, Any]]) -> None:
    """Draw a panel for each data set; ours with what the training itself saw."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(style="whitegrid")
    sets = list(dict.fromkeys(one["data"] for one in curves))
    figure, axes = plt.subplots(
        1, len(sets), figsize=(5.5 * len(sets), 3.8), layout="constrained", squeeze=False
    )
    colours = sns.color_palette("colorblind")
    for axis, name in zip(axes[0], sets, strict=True):
        own = [one for one in curves if one["data"] == name]
        for one, colour in zip(own, colours, strict=False):
            points = sorted(one["watched"] or one["curve"], key=lambda point: point["minutes"])
            model = f" {one['model']}" if one["model"] else ""
            axis.plot(
                [point["minutes"] for point in points],
                [point["AP"] for point in points],
                marker="o",
                markersize=4,
                color=colour,
                label=f"{one['side']}{model}, {one['minutes']:g} min",
            )
        axis.set(title=name, xlabel="minutes of training", ylabel="mask AP", ylim=(0, None))
        axis.legend(fontsize=8)
    figure.savefig(TIME_TO_AP, dpi=110, metadata={"Software": None})
    plt.close(figure)


def plot_curves(trials: list[dict[str, Any]]) -> None:
    """Draw loss and validation AP over the steps of each training."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    sns.set_theme(style="whitegrid")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for trial, colour in zip(trials, sns.color_palette("colorblind"), strict=False):
        steps = [row["step"] for row in trial["losses"]]
        left.plot(steps, smooth([row["total"] for row in trial["losses"]]), color=colour)
        label = trial["title"].replace(" trained on ImageNet", "")
        points = trial["curve"]
        right.plot(
            [row["step"] for row in points],
            [row["segm_AP"] for row in points],
            marker="o",
            color=colour,
            label=label,
        )
    left.set(xlabel="step", ylabel="training loss", ylim=(0, None))
    right.set(xlabel="step", ylabel="validation mask AP", ylim=(0, None))
    right.legend(fontsize=8)
    figure.savefig(CURVES, dpi=110, metadata={"Software": None})
    plt.close(figure)


def smooth(values: list[float], keep: float = 0.8) -> list[float]:
    """Return the exponentially weighted mean, as TensorBoard draws it."""
    smoothed, weight, total = [], 0.0, 0.0
    for value in values:
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        smoothed.append(total / weight)
    return smoothed
