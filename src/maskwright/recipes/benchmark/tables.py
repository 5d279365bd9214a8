"""Tables of a benchmark for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table

from maskwright.recipes.benchmark.result import Bench

__all__ = ["bench_tables"]


def bench_tables(bench: Bench) -> Iterator[RenderableType]:
    """Yield times, stages, memory and agreement, and lines on the machine."""
    tables = [_times(bench), _stages(bench)]
    if any(side.loaded_mib is not None for side in bench.sides):
        tables.append(_memory(bench))
    if any(side.agreement is not None for side in bench.sides):
        tables.append(_agreements(bench))
    for table in tables:
        yield Padding(table, (0, 0, 1, 0))
    yield from (_machine(bench), *bench.notes)


def _times(bench: Bench) -> Table:
    pictures = "1 picture" if bench.pictures == 1 else f"{bench.pictures} pictures"
    rounds = "1 round" if bench.rounds == 1 else f"{bench.rounds} rounds in turn"
    table = _table(
        f"{bench.model}, picture file to run lengths\n{pictures}, {rounds}; times as fast as "
        f"{bench.reference}, and where eight tenths of the pairs lie"
    )
    for name in ("ms", "least", "most", "a second", "times", "range", "GFLOP/s", "objects"):
        table.add_column(name, justify="right", no_wrap=True)
    for side in bench.sides:
        ratio, speed = side.ratio, side.gigaflops_per_second
        table.add_row(
            side.name,
            _ms(side.milliseconds),
            _ms(side.fastest),
            _ms(side.slowest),
            f"{side.pictures_per_second:.2f}",
            f"{ratio.median:.2f}",
            f"{ratio.low:.2f} to {ratio.high:.2f}",
            "" if speed is None else f"{speed:.0f}",
            str(side.objects),
        )
    return table


def _memory(bench: Bench) -> Table:
    table = _table("Resident memory, MiB")
    for name in ("model loaded", "at the peak", "above"):
        table.add_column(name, justify="right")
    for side in bench.sides:
        table.add_row(side.name, _mib(side.loaded_mib), _mib(side.peak_mib), _mib(side.above_mib))
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold")
    return table


def _stages(bench: Bench) -> Table:
    names = list(dict.fromkeys(name for side in bench.sides for name in side.stages))
    table = _table("Milliseconds by stage")
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
    table = _table(f"Results beside those of {bench.reference}")
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
        f"thread{'s' * (peak.threads != 1)}; at most {peak.product:.0f} GFLOP/s in a matrix "
        f"product, {peak.convolution:.0f} in a direct convolution; Python {facts['python']}, "
        f"{versions}."
    )


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _mib(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
