"""Where time goes, by stage, and the process that answers."""

from __future__ import annotations

import io
import json
from typing import Any

from maskwright.recipes.benchmark.child import Stages, serve


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class _Network:
    def __init__(self, clock: _Clock) -> None:
        self.clock = clock

    def outer(self, value: int) -> int:
        self.clock.now += 1.0
        value = self.inner(value=value)
        self.clock.now += 2.0
        return value

    def inner(self, *, value: int) -> int:
        self.clock.now += 10.0
        if value < 0:
            raise ValueError("below zero")
        return value + 1


def test_nested_stages_are_counted_apart_and_add_up() -> None:
    clock = _Clock()
    stages, network = Stages(clock), _Network(clock)
    stages.watch(network, "outer", "a")
    stages.watch(network, "inner", "b")
    with stages.of("whole"):
        clock.now += 0.5
        assert network.outer(3) == 4
        assert network.outer(4) == 5
    assert stages.take() == {"b": 20.0, "a": 6.0, "whole": 0.5}
    assert stages.take() == {}


def test_a_stage_that_fails_is_counted_and_leaves_the_others_right() -> None:
    clock = _Clock()
    stages, network = Stages(clock), _Network(clock)
    stages.watch(network, "inner", "b")
    for value in (-1, 1):
        try:
            network.inner(value=value)
        except ValueError:
            clock.now += 5.0
    with stages.of("c"):
        clock.now += 1.0
    assert stages.take() == {"b": 20.0, "c": 1.0}


def _answers(*requests: dict[str, Any]) -> list[dict[str, Any]]:
    asked = io.StringIO("".join(json.dumps(each) + "\n" for each in requests))
    said = io.StringIO()
    serve(asked, said)
    return [json.loads(line) for line in said.getvalue().splitlines()]


def test_a_side_that_nobody_knows_is_an_answer_not_a_crash() -> None:
    (answer,) = _answers({"name": "x", "kind": "detectron3"})
    assert answer == {"error": "'detectron3'", "kind": "KeyError"}


def test_a_function_of_the_users_is_served_and_results_are_given_where_they_are_wanted(
    tmp_path: Any, monkeypatch: Any
) -> None:
    (tmp_path / "served_peer.py").write_text(
        "def load():\n    return lambda path: [{'score': 0.5, 'bbox': [0, 0, 1, 1], 'of': path}]\n"
    )
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    side = {
        "name": "mine",
        "kind": "own",
        "function": "served_peer:load",
        "folder": str(tmp_path),
        "threads": None,
    }
    ready, first, second = _answers(
        side,
        {"picture": "a.png", "wants_results": True},
        {"picture": "b.png", "wants_results": False},
    )
    assert ready == {"ready": "mine"}
    assert first["results"] == [{"score": 0.5, "bbox": [0, 0, 1, 1], "of": "a.png"}]
    assert first["objects"] == second["objects"] == 1
    assert "results" not in second
    assert set(first["stages"]) == {"predict"}
    assert 0 <= first["stages"]["predict"] <= first["seconds"]
