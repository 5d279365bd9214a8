"""What is recommended of numbers that are known."""

from __future__ import annotations

import pytest

from maskwright.recipes.comparison_report import plot_comparison
from maskwright.recipes.recommendation import (
    ComparedModel,
    are_undecided,
    pareto_front,
    recommend,
)


def _model(name: str, ap: float, ms: float, half: float | None = 0.02) -> ComparedModel:
    return ComparedModel(
        model=name, detector=name.split("+")[0], mask_head="fcn", backbone="resnet18",
        mask_ap=ap, mask_ap_low=None if half is None else ap - half,
        mask_ap_high=None if half is None else ap + half, mask_ap50=ap, boundary_ap=ap, box_ap=ap,
        ms=ms, peak_memory_mb=None, parameters=10, gflops=1.0, file_mb=1.0, steps=1,
        training_seconds=1.0, run=f"models/{name}",
    )  # fmt: skip


def _names(models: list[ComparedModel]) -> list[str]:
    return [one.model for one in models]


def test_the_front_holds_what_nothing_else_beats() -> None:
    models = [_model("a", 0.5, 90), _model("b", 0.4, 20), _model("c", 0.3, 30), _model("d", 0.1, 5)]
    assert _names(pareto_front(models)) == ["d", "b", "a"]


def test_equals_are_on_the_front_together_and_the_slower_of_two_alike_is_not() -> None:
    assert _names(pareto_front([_model("a", 0.5, 9), _model("b", 0.5, 9)])) == ["a", "b"]
    assert _names(pareto_front([_model("a", 0.5, 9), _model("b", 0.5, 8)])) == ["b"]
    assert _names(pareto_front([_model("a", 0.5, 9), _model("b", 0.4, 9)])) == ["a"]
    assert pareto_front([]) == []


def test_intervals_that_overlap_or_are_missing_are_undecided() -> None:
    assert are_undecided(_model("a", 0.50, 1), _model("b", 0.53, 1))
    assert not are_undecided(_model("a", 0.50, 1), _model("b", 0.55, 1))
    assert are_undecided(_model("a", 0.1, 1, half=None), _model("b", 0.9, 1))


def test_a_clearly_better_model_is_recommended_however_slow() -> None:
    found = recommend([_model("slow", 0.5, 900), _model("fast", 0.4, 9)])
    assert found.model == "slow"
    assert found.front == ("fast", "slow")
    assert "Clearly less accurate than slow: fast." in found.reason
    assert "Pareto front of speed and mask AP: fast (9 ms, 40.0), slow" in found.reason


def test_a_much_faster_model_is_recommended_where_accuracy_is_undecided() -> None:
    found = recommend([_model("slow", 0.50, 90), _model("fast", 0.48, 9)])
    assert found.model == "fast"
    assert "undecided whether it is more accurate" in found.reason
    assert "Undecided against slow, since the 95 % intervals overlap: fast" in found.reason


def test_a_little_faster_is_no_reason_and_wide_intervals_are_none_either() -> None:
    assert recommend([_model("a", 0.50, 90), _model("b", 0.48, 80)]).model == "a"
    wide = [_model("a", 0.50, 90, half=0.4), _model("b", 0.20, 9, half=0.4)]
    assert recommend(wide).model == "a"


def test_a_single_model_is_recommended_as_such() -> None:
    found = recommend([_model("a", 0.5, 9)])
    assert found.model == "a"
    assert "only model" in found.reason


@pytest.mark.parametrize(
    ("ap", "words"), [(-1.0, "hold no object"), (0.0, "a larger budget is needed")]
)
def test_nothing_is_recommended_where_nothing_was_measured(ap: float, words: str) -> None:
    found = recommend([_model("a", ap, 9, half=None), _model("b", ap, 8, half=None)])
    assert found.model is None
    assert words in found.reason


def test_no_model_gives_no_recommendation() -> None:
    found = recommend([])
    assert (found.model, found.front) == (None, ())


def test_the_plot_has_the_front_in_it_and_bears_nothing_to_plot() -> None:
    [axes] = plot_comparison([_model("ssd+fcn", 0.5, 90), _model("yolo+fcn", 0.4, 9)]).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert {"Pareto front", "ssd", "yolo"} <= set(labels)
    assert {text.get_text() for text in axes.texts} == {"ssd+fcn", "yolo+fcn"}
    assert axes.get_xscale() == "log"
    assert plot_comparison([]).axes
    assert plot_comparison([_model("ssd+fcn", -1.0, 90, half=None)]).axes
