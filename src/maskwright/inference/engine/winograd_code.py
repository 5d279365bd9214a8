# ruff: noqa: ARG001  # an operation's arguments reach its code as a list
"""Winograd's convolution as machine code, made by Numba's LLVM: F(4 x 4, 3 x 3) in float32.

Fast Algorithms for Convolutional Neural Networks, Lavin and Gray 2016,
https://arxiv.org/abs/1509.09308, section 4.3: a patch of 6 x 6 places is transformed, multiplied
with transformed weights place by place, which is 36 matrix products over the channels, and
transformed back to 4 x 4 results: a quarter of the multiplications of a direct convolution.

Three operations are written in LLVM's vectors, because Numba does not vectorise loops with dozens
of streams: both transforms, and the product of a few rows with a panel of columns, whose sums stay
in registers. `convolve_tiles` calls them for a block of patches at a time, which fits the
processor's cache.

Shapes: b pictures, (h, w) of a map, c channels read, k written, t patches of a block, p columns of
a panel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from maskwright.masks.kernels import intrinsic, kernel

__all__ = ["SPARE", "Layout", "convolve_tiles", "vector_layout"]

SPARE = 16
"""Floats after the rows of a block of each place, so that the 36 do not share lines of a cache."""

_FLOAT = 4  # bytes


class Layout(NamedTuple):
    """How a processor's registers are used.

    Args:
        lanes: Floats of a vector.
        panel: Vectors of a panel of columns.
        rows: Patches that one product takes; rows x panel sums must fit the registers, besides
            the panel itself and a factor.
    """

    lanes: int
    panel: int
    rows: int

    @property
    def columns(self) -> int:
        """Columns of a panel."""
        return self.lanes * self.panel


def vector_layout() -> Layout | None:
    """Return the layout for the processor that Numba compiles for; None without fused products."""
    from llvmlite.binding import get_host_cpu_features, get_process_triple
    from numba import config

    if get_process_triple().startswith(("aarch64", "arm64")):
        return Layout(lanes=4, panel=4, rows=6)  # 32 registers
    features = get_host_cpu_features()
    asked = config.CPU_FEATURES  # type: ignore[attr-defined]  # set when Numba is imported
    if asked is not None:
        asked = str(asked).split(",")
        features = {name: f"+{name}" in asked for name in features}
    if features.get("avx512f"):
        return Layout(lanes=16, panel=2, rows=14)  # 32 registers
    if features.get("avx2") and features.get("fma"):
        return Layout(lanes=8, panel=2, rows=6)  # 16 registers
    return None


class _Code:
    """Writes LLVM code for vectors of floats; addresses are integers, in bytes."""

    def __init__(self, builder: Any) -> None:
        from llvmlite import ir

        self.ir, self.builder = ir, builder
        layout = vector_layout()
        assert layout is not None
        self.lanes, self.panel, self.rows = layout
        self.float, self.integer = ir.FloatType(), ir.IntType(64)
        self.vector = ir.VectorType(self.float, self.lanes)

    def number(self, value: int) -> Any:
        return self.integer(value)

    def at(self, address: Any, *floats: Any) -> Any:
        """Move an address by some floats: values, or Python's integers."""
        for each in floats:
            step = each if not isinstance(each, int) else self.number(each)
            address = self.builder.add(address, self.builder.mul(step, self.number(_FLOAT)))
        return address

    def load(self, address: Any, kind: Any = None) -> Any:
        kind = kind or self.vector
        pointer = self.builder.inttoptr(address, kind.as_pointer())
        return self.builder.load(pointer, align=_FLOAT, typ=kind)

    def store(self, value: Any, address: Any) -> None:
        pointer = self.builder.inttoptr(address, self.vector.as_pointer())
        self.builder.store(value, pointer, align=_FLOAT)

    def constant(self, value: float) -> Any:
        return self.ir.Constant(self.vector, [value] * self.lanes)

    def everywhere(self, scalar: Any) -> Any:
        """Return a vector of one number."""
        one = self.builder.insert_element(
            self.ir.Constant(self.vector, self.ir.Undefined), scalar, self.ir.IntType(32)(0)
        )
        mask = self.ir.Constant(self.ir.VectorType(self.ir.IntType(32), self.lanes), None)
        return self.builder.shuffle_vector(one, one, mask)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        from numba.core.cgutils import get_or_insert_function

        kind = self.ir.FunctionType(self.vector, [self.vector] * 3)
        name = f"llvm.fma.v{self.lanes}f32"
        fused = get_or_insert_function(  # type: ignore[no-untyped-call]
            self.builder.module, kind, name
        )
        return self.builder.call(fused, (a, b, c))

    def times(self, factor: float, a: Any, c: Any) -> Any:
        """Return factor * a + c."""
        return self.fma(self.constant(factor), a, c)

    def loop(self, stop: Any, step: int, starts: Sequence[Any], body: Any) -> list[Any]:
        """Run `body(index, values) -> values` for 0, step, ... below `stop`, at least once."""
        builder = self.builder
        before = builder.block
        inside = builder.append_basic_block("loop")
        after = builder.append_basic_block("done")
        builder.branch(inside)
        builder.position_at_end(inside)
        index = builder.phi(self.integer)
        values = [builder.phi(start.type) for start in starts]
        index.add_incoming(self.number(0), before)
        for value, start in zip(values, starts, strict=True):
            value.add_incoming(start, before)
        results = body(index, values)
        following = builder.add(index, self.number(step))
        end = builder.block
        index.add_incoming(following, end)
        for value, result in zip(values, results, strict=True):
            value.add_incoming(result, end)
        builder.cbranch(builder.icmp_signed("<", following, stop), inside, after)
        builder.position_at_end(after)
        return list(results)


def _forth(code: _Code, d: Sequence[Any]) -> list[Any]:
    """B^T d of the paper, for six vectors."""
    subtract, add = code.builder.fsub, code.builder.fadd
    even, odd = code.times(-4, d[2], d[4]), code.times(-4, d[1], d[3])
    near, far = subtract(d[4], d[2]), subtract(d[3], d[1])
    return [
        code.times(4, d[0], code.times(-5, d[2], d[4])),
        add(even, odd),
        subtract(even, odd),
        code.times(2, far, near),
        code.times(-2, far, near),
        code.times(4, d[1], code.times(-5, d[3], d[5])),
    ]


def _back(code: _Code, m: Sequence[Any]) -> list[Any]:
    """A^T m of the paper, for six vectors."""
    subtract, add = code.builder.fsub, code.builder.fadd
    sum1, difference1 = add(m[1], m[2]), subtract(m[1], m[2])
    sum2, difference2 = add(m[3], m[4]), subtract(m[3], m[4])
    return [
        add(add(m[0], sum1), sum2),
        code.times(2, difference2, difference1),
        code.times(4, sum2, sum1),
        code.times(8, difference2, add(difference1, m[5])),
    ]


@intrinsic
def _transform_patch(
    typing_context: Any, source: Any, row: Any, column: Any, to: Any, step: Any, channels: Any
) -> Any:
    """Read 6 x 6 places of all channels and write their 36 transforms `step` floats apart."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(builder)
        source, row, column, to, step, channels = values

        def body(index: Any, _: Any) -> list[Any]:
            columns = []
            for j in range(6):
                place = code.at(source, index, builder.mul(column, code.number(j)))
                rows = [
                    code.load(code.at(place, builder.mul(row, code.number(i)))) for i in range(6)
                ]
                columns.append(_forth(code, rows))
            for i in range(6):
                for j, value in enumerate(_forth(code, [each[i] for each in columns])):
                    code.store(value, code.at(to, index, builder.mul(step, code.number(6 * i + j))))
            return []

        code.loop(channels, code.lanes, [], body)
        return context.get_dummy_value()

    return _void(typing_context, 6), build


@intrinsic
def _transform_back(
    typing_context: Any,
    products: Any,
    step: Any,
    to: Any,
    row: Any,
    column: Any,
    bias: Any,
    lowest: Any,
    channels: Any,
) -> Any:
    """Read 36 products `step` floats apart, write 4 x 4 results with their bias.

    `lowest` is the address of a number below which no result falls (0: a rectifier).
    """

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(builder)
        products, step, to, row, column, bias, lowest, channels = values
        floor = code.everywhere(code.load(lowest, code.float))

        def body(index: Any, _: Any) -> list[Any]:
            columns = []
            for j in range(6):
                places = [
                    code.at(products, index, builder.mul(step, code.number(6 * i + j)))
                    for i in range(6)
                ]
                columns.append(_back(code, [code.load(place) for place in places]))
            shift = code.load(code.at(bias, index))
            for i in range(4):
                line = code.at(to, index, builder.mul(row, code.number(i)))
                for j, value in enumerate(_back(code, [each[i] for each in columns])):
                    moved = builder.fadd(value, shift)
                    # NaN is not below and passes, as it passes a rectifier of PyTorch
                    kept = builder.select(builder.fcmp_ordered("<", moved, floor), floor, moved)
                    code.store(kept, code.at(line, builder.mul(column, code.number(j))))
            return []

        code.loop(channels, code.lanes, [], body)
        return context.get_dummy_value()

    return _void(typing_context, 8), build


@intrinsic
def _multiply_rows(
    typing_context: Any, rows: Any, row: Any, panel: Any, to: Any, to_row: Any, channels: Any
) -> Any:
    """Write the products of a layout's rows, `row` floats apart, with one panel of columns."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = _Code(builder)
        rows, row, panel, to, to_row, channels = values
        width = code.lanes * code.panel
        # three rows share an address in a register, the others are reached by multiples of `row`
        bases = [code.at(rows, builder.mul(row, code.number(i))) for i in range(0, code.rows, 3)]
        count = code.rows * code.panel

        def body(_: Any, values: Any) -> list[Any]:
            sums, moving, here = values[:count], values[count:-1], values[-1]
            columns = [code.load(code.at(here, v * code.lanes)) for v in range(code.panel)]
            added = []
            for i in range(code.rows):
                place = code.at(moving[i // 3], builder.mul(row, code.number(i % 3)))
                factor = code.everywhere(code.load(place, code.float))
                for v, column in enumerate(columns):
                    added.append(code.fma(factor, column, sums[i * code.panel + v]))
            return [*added, *[code.at(base, 1) for base in moving], code.at(here, width)]

        found = code.loop(channels, 1, [*[code.constant(0.0)] * count, *bases, panel], body)
        for i in range(code.rows):
            line = code.at(to, builder.mul(to_row, code.number(i)))
            for v in range(code.panel):
                code.store(found[i * code.panel + v], code.at(line, v * code.lanes))
        return context.get_dummy_value()

    return _void(typing_context, 6), build


def _void(typing_context: Any, count: int) -> Any:
    from numba import types

    del typing_context
    return types.void(*[types.int64] * count)


@kernel
def convolve_tiles(
    x: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray,
    lowest: np.ndarray,
    out: np.ndarray,
    first: int,
    last: int,
    transformed: np.ndarray,
    products: np.ndarray,
    patch: np.ndarray,
    tile: np.ndarray,
    rows_at_once: int,
) -> None:
    """Convolve the patches `first` to `last` of the pictures, counted row by row, into `out`.

    Args:
        x: (b, h, w, c), padded by one place of zeros in thought.
        weights: (36, k / p, c, p) transformed.
        bias: (k,)
        lowest: (1,) no result is below it.
        out: (b, h, w, k)
        first: Patch to begin with.
        last: Patch to stop before.
        transformed: (36, t c + SPARE) room for a block of patches; t a multiple of
            `rows_at_once`.
        products: (36, t k + SPARE) likewise.
        patch: (6, 6, c) room for a patch at the border.
        tile: (4, 4, k) likewise.
        rows_at_once: The layout's rows.
    """
    height, width, channels = x.shape[1:]
    panels, _, columns = weights.shape[1:]
    written = out.shape[3]
    rows, across = (height + 3) // 4, (width + 3) // 4
    block = min((transformed.shape[1] - SPARE) // channels, (products.shape[1] - SPARE) // written)
    read_from, write_to, weights_at = x.ctypes.data, out.ctypes.data, weights.ctypes.data
    transformed_at, products_at = transformed.ctypes.data, products.ctypes.data
    step, product_step = transformed.shape[1], products.shape[1]
    for start in range(first, last, block):
        count = min(block, last - start)
        for i in range(count):
            picture, place = divmod(start + i, rows * across)
            y, left = 4 * (place // across) - 1, 4 * (place % across) - 1
            to = transformed_at + 4 * i * channels
            if y >= 0 and left >= 0 and y + 6 <= height and left + 6 <= width:
                corner = read_from + 4 * channels * ((picture * height + y) * width + left)
                _transform_patch(corner, width * channels, channels, to, step, channels)
            else:
                patch[:] = 0
                top, bottom = max(y, 0), min(y + 6, height)
                near, far = max(left, 0), min(left + 6, width)
                patch[top - y : bottom - y, near - left : far - left] = x[
                    picture, top:bottom, near:far
                ]
                _transform_patch(patch.ctypes.data, 6 * channels, channels, to, step, channels)
        for xi in range(36):
            for panel in range(panels):
                panel_at = weights_at + 4 * (xi * panels + panel) * channels * columns
                for row in range(0, count, rows_at_once):
                    _multiply_rows(
                        transformed_at + 4 * (xi * step + row * channels),
                        channels,
                        panel_at,
                        products_at + 4 * (xi * product_step + row * written + panel * columns),
                        written,
                        channels,
                    )
        for i in range(count):
            picture, place = divmod(start + i, rows * across)
            y, left = 4 * (place // across), 4 * (place % across)
            product = products_at + 4 * i * written
            bias_at, lowest_at = bias.ctypes.data, lowest.ctypes.data
            if y + 4 <= height and left + 4 <= width:
                corner = write_to + 4 * written * ((picture * height + y) * width + left)
                _transform_back(
                    product,
                    product_step,
                    corner,
                    width * written,
                    written,
                    bias_at,
                    lowest_at,
                    written,
                )
            else:
                _transform_back(
                    product,
                    product_step,
                    tile.ctypes.data,
                    4 * written,
                    written,
                    bias_at,
                    lowest_at,
                    written,
                )
                bottom, right = min(4, height - y), min(4, width - left)
                out[picture, y : y + bottom, left : left + right] = tile[:bottom, :right]
