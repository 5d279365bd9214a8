"""Writes ONNX graphs in the words of arithmetic: values that can be added, compared and reshaped.

    graph = GraphBuilder(opset=20)
    x = graph.input("x", np.float32, ["n"])
    graph.output("y", (x * 2.0).at_least(1.0), np.float32, ["n"])

Numbers of Python become constants: int64, float32 and bool; NumPy's keep their type. Operators are
those of the ONNX standard (https://onnx.ai/onnx/operators), by which the shapes go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

__all__ = ["GraphBuilder", "Number", "Value"]

Number: TypeAlias = "Value | bool | int | float | np.ndarray | np.generic"
"""What operators take: a value of the graph, or a constant."""

_IR_VERSION = 10
"""Of the file format: that of ONNX 1.16, of early 2024, which every runtime of today reads."""


class Value:
    """A tensor of a graph, known by its name.

    Args:
        graph: Where it is computed.
        name: In the graph.
    """

    def __init__(self, graph: GraphBuilder, name: str) -> None:
        self.graph, self.name = graph, name

    def __add__(self, other: Number) -> Value:
        return self.graph.add("Add", self, other)

    def __sub__(self, other: Number) -> Value:
        return self.graph.add("Sub", self, other)

    def __mul__(self, other: Number) -> Value:
        return self.graph.add("Mul", self, other)

    def __truediv__(self, other: Number) -> Value:
        """Divide; integers are cut towards zero."""
        return self.graph.add("Div", self, other)

    def __mod__(self, other: Number) -> Value:
        return self.graph.add("Mod", self, other)

    def __gt__(self, other: Number) -> Value:
        return self.graph.add("Greater", self, other)

    def __ge__(self, other: Number) -> Value:
        return self.graph.add("GreaterOrEqual", self, other)

    def __lt__(self, other: Number) -> Value:
        return self.graph.add("Less", self, other)

    def __le__(self, other: Number) -> Value:
        return self.graph.add("LessOrEqual", self, other)

    def __and__(self, other: Number) -> Value:
        return self.graph.add("And", self, other)

    def equals(self, other: Number) -> Value:
        """Return where both are equal."""
        return self.graph.add("Equal", self, other)

    def at_least(self, other: Number) -> Value:
        """Return the larger of each pair."""
        return self.graph.add("Max", self, other)

    def at_most(self, other: Number) -> Value:
        """Return the smaller of each pair."""
        return self.graph.add("Min", self, other)

    def cast(self, dtype: type) -> Value:
        """Return the same numbers in another type; floats are cut towards zero."""
        return self.graph.add("Cast", self, to=_onnx_type(dtype))

    def side(self, axis: int) -> Value:
        """Return the length of an axis, a number."""
        return self.graph.add("Shape", self, start=axis, end=axis + 1).squeeze(0)

    def reshape(self, *sides: Value | int) -> Value:
        """Return the same numbers in rows of another length; at most one side is -1."""
        return self.graph.add("Reshape", self, self.graph.vector(*sides), allowzero=1)

    def unsqueeze(self, *axes: int) -> Value:
        """Return it with axes of length 1 in these places of the result."""
        return self.graph.add("Unsqueeze", self, np.array(axes, np.int64))

    def squeeze(self, *axes: int) -> Value:
        """Return it without these axes, whose length is 1."""
        return self.graph.add("Squeeze", self, np.array(axes, np.int64))

    def transpose(self, *order: int) -> Value:
        """Return it with its axes in another order."""
        return self.graph.add("Transpose", self, perm=list(order))

    def cut(self, start: int | Value, stop: int | Value, axis: int) -> Value:
        """Return the entries of an axis from `start` to `stop`, exclusive."""
        first, last = self.graph.vector(start), self.graph.vector(stop)
        return self.graph.add("Slice", self, first, last, np.array([axis], np.int64))

    def take(self, index: Number, axis: int = 0) -> Value:
        """Return the entries of an axis that `index` names."""
        return self.graph.add("Gather", self, index, axis=axis)

    def take_each(self, index: Value, batch_axes: int = 0) -> Value:
        """Return what each row of `index` (..., d) names: the place on the next d axes.

        Args:
            index: Places.
            batch_axes: So many leading axes are walked along in both.
        """
        return self.graph.add("GatherND", self, index, batch_dims=batch_axes)

    def put(self, index: Value, rows: Value) -> Value:
        """Return it with `rows` in the places that `index` (n, d) names."""
        return self.graph.add("ScatterND", self, index, rows)

    def largest(self, *axes: int, keep: bool = False) -> Value:
        """Return the maximum over axes."""
        return self.graph.add("ReduceMax", self, np.array(axes, np.int64), keepdims=int(keep))

    def smallest(self, *axes: int, keep: bool = False) -> Value:
        """Return the minimum over axes."""
        return self.graph.add("ReduceMin", self, np.array(axes, np.int64), keepdims=int(keep))

    def sum(self, *axes: int, keep: bool = False) -> Value:
        """Return the sum over axes."""
        return self.graph.add("ReduceSum", self, np.array(axes, np.int64), keepdims=int(keep))

    def top(self, count: Value, axis: int) -> tuple[Value, Value]:
        """Return the `count` largest along an axis, falling, and their places; equals in order."""
        values, places = self.graph.add_many("TopK", self, self.graph.vector(count), axis=axis)
        return values, places

    def where(self, yes: Number, no: Number) -> Value:
        """Return `yes` where it is true and `no` elsewhere."""
        return self.graph.add("Where", self, yes, no)

    def places(self) -> Value:
        """Return where it is true, (n, axes), row by row."""
        return self.graph.add("NonZero", self).transpose(1, 0)


class GraphBuilder:
    """Collects the nodes of a graph in the order in which they are made.

    Args:
        opset: Version of the standard operators.
    """

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._scopes: list[list[Any]] = [[]]
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._initializers: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._count = 0

    def input(self, name: str, dtype: type, shape: Sequence[str | int]) -> Value:
        """Return an input of the graph; axes with a name have any length."""
        self._inputs.append(_tensor_type(name, dtype, shape))
        return Value(self, name)

    def output(self, name: str, value: Value, dtype: type, shape: Sequence[str | int]) -> None:
        """Make a value an output of the graph."""
        self._node("Identity", [value.name], [name], {})
        self._outputs.append(_tensor_type(name, dtype, shape))

    def constant(self, value: Number) -> Value:
        """Return a constant of the graph; a value of the graph is handed back."""
        if isinstance(value, Value):
            return value
        array = _array(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            import onnx

            made = self._new("constant")
            self._initializers.append(onnx.numpy_helper.from_array(array, made.name))
            self._constants[key] = made
        return self._constants[key]

    def vector(self, *numbers: Value | int) -> Value:
        """Return numbers, (), as one vector of int64."""
        if not any(isinstance(each, Value) for each in numbers):
            return self.constant(np.array(numbers, np.int64))
        parts = [
            each.reshape(1) if isinstance(each, Value) else np.array([each]) for each in numbers
        ]
        return self.concat(parts, 0) if len(parts) > 1 else self.constant(parts[0])

    def full(self, value: Number, *sides: Value | int) -> Value:
        """Return a tensor of these sides with the same constant everywhere."""
        import onnx

        filling = onnx.numpy_helper.from_array(_array(value).reshape(1))  # type: ignore[arg-type]
        return self.add("ConstantOfShape", self.vector(*sides), value=filling)

    def count_to(self, stop: Value | int) -> Value:
        """Return 0, 1, ... to `stop`, exclusive, in int64."""
        return self.add("Range", 0, stop, 1)

    def concat(self, parts: Sequence[Number], axis: int) -> Value:
        """Return the parts behind each other along an axis."""
        return self.add("Concat", *parts, axis=axis)

    def add(self, operator: str, *inputs: Number, **attributes: Any) -> Value:
        """Return the output of a node."""
        return self.add_many(operator, *inputs, outputs=1, **attributes)[0]

    def add_many(
        self, operator: str, *inputs: Number, outputs: int = 2, **attributes: Any
    ) -> tuple[Value, ...]:
        """Return the outputs of a node."""
        names = [self.constant(each).name for each in inputs]
        made = tuple(self._new(operator.lower()) for _ in range(outputs))
        self._node(operator, names, [each.name for each in made], attributes)
        return made

    def inline(self, model: Any, name: str, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """Put another model's graph here; returns its outputs.

        Args:
            model: A `ModelProto` of standard operators of this graph's version.
            name: That its nodes and tensors begin with.
            inputs: What it reads, by the names of its inputs.
        """
        import onnx

        prefix = f"{name}/"
        graph = onnx.compose.add_prefix_graph(model.graph, prefix)
        for old, value in inputs.items():
            self._node("Identity", [value.name], [prefix + old], {})
        self._scopes[-1].extend(graph.node)
        self._initializers.extend(graph.initializer)
        return {each.name: Value(self, prefix + each.name) for each in model.graph.output}

    def loop(self, count: Value, body: Callable[[Value], Value]) -> Value:
        """Return `body(0)`, `body(1)`, ... to `count`, exclusive, along a new first axis.

        Args:
            count: How many; for none the sides of the result are not defined.
            body: Given the number of the round; may read every value made before. Its results
                have equal sides.
        """
        import onnx

        index, going = self._new("index"), self._new("going")
        with self._scope() as nodes:
            result = body(index)
            still = self.add("Identity", going)
        inputs = [_tensor_type(index.name, np.int64, []), _tensor_type(going.name, np.bool_, [])]
        outputs = [_tensor_type(still.name, np.bool_, [])]
        outputs.append(onnx.helper.make_empty_tensor_value_info(result.name))
        subgraph = onnx.helper.make_graph(nodes, "body", inputs, outputs)
        return self.add("Loop", count, True, body=subgraph)

    def to_model(self, name: str, metadata: Mapping[str, str]) -> Any:
        """Return the `ModelProto`, checked."""
        import onnx

        (nodes,) = self._scopes
        graph = onnx.helper.make_graph(
            nodes, name, self._inputs, self._outputs, initializer=self._initializers
        )
        model = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid("", self.opset)],
            ir_version=_IR_VERSION,
            producer_name="maskwright",
        )
        onnx.helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        return model

    def _node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attributes: Mapping[str, Any],
    ) -> None:
        import onnx

        self._scopes[-1].append(
            onnx.helper.make_node(operator, list(inputs), list(outputs), **attributes)
        )

    def _new(self, stem: str) -> Value:
        self._count += 1
        return Value(self, f"{stem}_{self._count}")

    @contextmanager
    def _scope(self) -> Iterator[list[Any]]:
        """Collect nodes apart, for the body of a loop."""
        self._scopes.append([])
        try:
            yield self._scopes[-1]
        finally:
            self._scopes.pop()


def _array(value: bool | int | float | np.ndarray | np.generic) -> np.ndarray:
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    kinds: dict[type, type] = {bool: np.bool_, int: np.int64, float: np.float32}
    return np.array(value, kinds[type(value)])


def _onnx_type(dtype: type) -> int:
    import onnx

    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _tensor_type(name: str, dtype: type, shape: Sequence[str | int]) -> Any:
    import onnx

    return onnx.helper.make_tensor_value_info(name, _onnx_type(dtype), list(shape))
