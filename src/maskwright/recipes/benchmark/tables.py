"""Tables of a benchmark for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table

from maskwright.recipes.benchmark.result import Bench, MeasuredSide

__all__ = ["bench_tables"]


def bench_tables(bench: Bench) -> Iterator[RenderableType]:
    """Yield times and memory, stages, agreement and a line on the machine."""
    yield _times(bench)
    yield _stages(bench)
    if any(side.agreement is not None for side in bench.sides):
        yield _agreements(bench)
    for line in (_machine(bench), *bench.notes):
        yield Padding(line, (0, 1))


def _times(bench: Bench) -> Table:
    plural = "" if bench.pictures == 1 else "s"
    table = Table(
        title=f"{bench.model}: picture file to run lengths, {bench.pictures} picture{plural}, "
        f"{bench.rounds} rounds in turn"
    )
    table.add_column("")
    for name in ("ms", "from to", "pictures/s", f"times {bench.reference}", "GFLOP/s"):
        table.add_column(name, justify="right")
    for name in ("loaded MiB", "above MiB", "objects"):
        table.add_column(name, justify="right")
    for side in bench.sides:
        table.add_row(*_row(side))
    return table


def _row(side: MeasuredSide) -> list[str]:
    ratio, speed = side.ratio, side.gigaflops_per_second
    return [
        side.name,
        _ms(side.milliseconds),
        f"{_ms(side.fastest)} {_ms(side.slowest)}",
        f"{side.pictures_per_second:.2f}",
        f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
        "" if speed is None else f"{speed:.0f}",
        _mib(side.loaded_mib),
        _mib(side.above_mib),
        str(side.objects),
    ]


def _stages(bench: Bench) -> Table:
    names = list(dict.fromkeys(name for side in bench.sides for name in side.stages))
    table = Table(title="Milliseconds by stage", box=None, padding=(0, 2, 0, 0))
    table.add_column("")
    if bench.gigaflops:
        table.add_column("GFLOP", justify="right")
    for side in bench.sides:
        table.add_column(side.name, justify="right")
    for name in names:
        cells = [name]
        if bench.gigaflops:
            count = bench.gigaflops.get(name)
            cells.append("" if count is None else f"{count:.2f}")
        cells += [_ms(side.stages[name]) if name in side.stages else "" for side in bench.sides]
        table.add_row(*cells)
    total = ["all"]
    if bench.gigaflops:
        total.append(f"{sum(bench.gigaflops.values()):.2f}")
    table.add_row(*total, *(_ms(side.milliseconds) for side in bench.sides))
    return table


def _agreements(bench: Bench) -> Table:
    table = Table(
        title=f"Results beside those of {bench.reference}", box=None, padding=(0, 2, 0, 0)
    )
    table.add_column("")
    for name in ("matched", "box", "score", "pixels of a mask"):
        table.add_column(name, justify="right")
    for side in bench.sides:
        if (one := side.agreement) is not None:
            table.add_row(
                side.name,
                f"{one.matched} of {one.other_objects}",
                f"{one.box_px:.4f} px",
                f"{one.score:.1e}",
                f"{100 * one.mask_pixels:.4f} %",
            )
    return table


def _machine(bench: Bench) -> str:
    facts, peak = bench.machine, bench.peak
    versions = ", ".join(
        f"{name} {facts[name]}"
        for name in ("torch", "torchvision", "onnxruntime", "openvino")
        if name in facts
    )
    return (
        f"{facts['processor']} ({facts['capability']}), {facts['cores']} cores, {peak.threads} "
        f"threads; at most {peak.product:.0f} GFLOP/s in a matrix product, "
        f"{peak.convolution:.0f} in a direct convolution; Python {facts['python']}, {versions}."
    )


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _mib(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
