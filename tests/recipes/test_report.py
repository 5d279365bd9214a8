"""The report: its numbers, its page in a browser, its Markdown, and reports of nothing."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from maskwright.data import open_dataset
from maskwright.errors import ConfigError
from maskwright.evaluation import bootstrap_interval, evaluate
from maskwright.recipes.report import EvaluationReport, report_model, report_predictions
from maskwright.recipes.report.run_sections import plot_training
from maskwright.recipes.report.writing import encode_within
from page_reader import PageReader


@pytest.fixture(scope="module")
def report(discs: Path, found_discs: list[dict[str, Any]]) -> EvaluationReport:
    return report_predictions(found_discs, open_dataset(discs), families=("cells",))


@pytest.fixture(scope="module")
def page(report: EvaluationReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.write(path)
    return path


@pytest.fixture(scope="module")
def read_page(page: Path) -> PageReader:
    return PageReader(page.read_text(encoding="utf-8"))


def _headline(report: EvaluationReport, label: str) -> tuple[str, str]:
    (one,) = (one for one in report.headlines if one.label == label)
    return one.value, one.detail


def test_the_headlines_are_the_evaluators_numbers(
    report: EvaluationReport, discs: Path, found_discs: list[dict[str, Any]]
) -> None:
    metrics = evaluate(found_discs, discs)
    interval = bootstrap_interval(found_discs, discs)
    assert interval.low is not None
    assert interval.high is not None
    assert _headline(report, "mask AP %") == (
        f"{100 * metrics['segm']['AP']:.1f}",
        f"95 %: {100 * interval.low:.1f} to {100 * interval.high:.1f}",
    )
    boundary = _headline(report, "boundary AP %")[0]
    assert boundary == f"{100 * metrics['boundary']['AP']:.1f}"
    assert 0 < metrics["segm"]["AP"] < 1


def test_predictions_that_come_one_by_one_are_read_once(
    report: EvaluationReport, found_discs: list[dict[str, Any]], discs: Path
) -> None:
    made = report_predictions(iter(found_discs), open_dataset(discs), families=("cells",))
    assert made.numbers["metrics"] == report.numbers["metrics"]
    assert made.numbers["errors"] == report.numbers["errors"]


def test_every_part_is_there_and_can_be_reached(read_page: PageReader) -> None:
    sections = [one["id"] for one in read_page.named("section")]
    assert sections == [
        "metrics", "cells", "mistakes", "confusion", "curves", "calibration", "sizes", "pictures",
        "objects", "data",
    ]  # fmt: skip
    ids = [attributes["id"] for _, attributes in read_page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [one["href"] for one in read_page.named("a")]
    assert {f"#{name}" for name in sections} <= set(links)
    assert all(link is not None and link[1:] in ids for link in links)


def test_the_page_can_be_used_without_sight_and_without_a_mouse(read_page: PageReader) -> None:
    for attributes in read_page.named("img"):
        assert attributes["alt"], attributes
    for attributes in read_page.named("th"):
        assert attributes["scope"] in ("row", "col")
    assert len(read_page.named("caption")) == len(read_page.named("table"))
    sliders = read_page.named("input")
    assert len(sliders) >= 3
    assert all(one["type"] == "range" and one["aria-label"] for one in sliders)
    assert [one["lang"] for one in read_page.named("html")] == ["en"]
    levels = [int(tag[1]) for tag, _ in read_page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_the_page_needs_nothing_from_outside(page: Path, read_page: PageReader) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?://", text)
    assert not read_page.named("link")
    for attributes in read_page.named("img"):
        source = attributes["src"]
        assert source is not None
        kind, _, encoded = source.partition(";base64,")
        content = base64.b64decode(encoded)
        if kind == "data:image/svg+xml":
            drawn = content.decode()
            assert not re.search(r'(href|src)="(?!#|data:)', drawn)
        else:
            assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None


def test_truth_and_found_of_a_pair_are_of_one_size(report: EvaluationReport) -> None:
    (pictures,) = (one for one in report.sections if one.slug == "pictures")
    drawn = {name: picture.shape for name, picture, _ in pictures.pictures()}
    assert drawn["worst_01_truth"] == drawn["worst_01_found"] == (64, 64, 3)
    assert report.analysis.pictures[0].f1 < 1


def test_large_pictures_are_made_small(tmp_path: Path) -> None:
    truth, picture = _one_square(3000, 2000, tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    made = report_predictions([], open_dataset(truth))
    shapes = [p.shape for section in made.sections for _, p, _ in section.pictures()]
    assert shapes
    assert max(max(shape) for shape in shapes) <= 768


def _one_square(width: int, height: int, folder: Path) -> tuple[Path, np.ndarray]:
    square = [[10, 10, 110, 10, 110, 110, 10, 110]]
    truth = {
        "images": [{"id": 1, "width": width, "height": height, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "segmentation": square,
                "area": 10_000,
                "bbox": [10, 10, 100, 100],
                "iscrowd": 0,
            }
        ],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    return folder / "truth.json", np.zeros((height, width, 3), np.uint8)


def test_no_picture_takes_more_than_its_share() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    best, bounded = (len(encode_within(noise, ".webp", limit)) for limit in (10**9, 40_000))
    assert bounded <= 40_000 < best
    flat = np.full((64, 64, 3), 128, np.uint8)
    assert encode_within(flat, ".webp", 100_000) == encode_within(flat, ".webp", 10**9)


def test_markdown_has_its_pictures_beside_it(report: EvaluationReport, tmp_path: Path) -> None:
    written = report.write(tmp_path / "a b.md", ("markdown",))
    text = written[0].read_text(encoding="utf-8")
    links = re.findall(r"!\[[^\n]*?\]\(([^)]+)\)", text)
    assert len(links) == len(written) - 1 > 10
    for link in links:
        file = tmp_path / link.replace("%20", " ")
        assert cv2.imread(str(file)) is not None
    heads = re.findall(r"^\|[-:|]+\|$", text, flags=re.MULTILINE)
    assert len(heads) > 10
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()}
        assert len(columns) == 1, block


def test_json_holds_every_number_and_nothing_that_is_not_finite(
    report: EvaluationReport, tmp_path: Path
) -> None:
    (path,) = report.write(tmp_path / "report.json", ("json",))

    def refuse(value: str) -> None:
        raise AssertionError(value)

    numbers = json.loads(path.read_text(), parse_constant=refuse)
    assert numbers["metrics"]["numbers"]["segm"] == dict(report.scores.metrics["segm"])
    assert numbers["metrics"]["intervals"]["segm"]["AP"]
    assert numbers["metrics"]["families"]["cells"]["numbers"]["AJI"] > 0
    assert numbers["errors"]["tide"]["counts"] == report.analysis.tide.total.counts
    assert numbers["data"]["objects"] == 20


def test_several_formats_lie_beside_each_other(report: EvaluationReport, tmp_path: Path) -> None:
    report.write(tmp_path / "out.html", ("html", "markdown", "json"))
    assert {"out.html", "out.md", "out.json", "out_files"} == {p.name for p in tmp_path.iterdir()}


@pytest.mark.parametrize(("write", "message"), [((), "got none"), (("hmtl",), "'html'")])
def test_formats_that_are_not_known_are_refused(
    report: EvaluationReport, tmp_path: Path, write: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        report.write(tmp_path / "a.html", write)


def test_names_cannot_bring_their_own_html(
    discs: Path, found_discs: list[dict[str, Any]], tmp_path: Path
) -> None:
    content = json.loads(discs.read_text())
    content["categories"][0]["name"] = "<script>alert(1)</script> | `x` ![a](http:b) $x"
    content["images"][0]["file_name"] = "<img src=x onerror=alert(2)>.png"
    made = report_predictions(found_discs, content)
    made.write(tmp_path / "page.html", ("html", "markdown"))
    page = PageReader((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(page.named("script")) == 1
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert any("<script>alert(1)" in text for text in page.texts)
    markdown = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "<script" not in markdown
    assert "<img" not in markdown
    assert not re.search(r"(?<!\\)\]\(http", markdown)


@pytest.mark.parametrize("left", ["truth", "predictions", "pictures"])
def test_with_nothing_on_a_side_there_is_a_report_all_the_same(
    left: str, discs: Path, found_discs: list[dict[str, Any]], tmp_path: Path
) -> None:
    content = json.loads(discs.read_text())
    if left != "predictions":
        found_discs = []
    if left != "truth":
        content["annotations"] = []
    if left == "pictures":
        content["images"] = []
    if left == "predictions":
        found_discs = []
    made = report_predictions(found_discs, content)
    made.write(tmp_path / "page.html", ("html", "markdown", "json"))
    texts = PageReader((tmp_path / "page.html").read_text(encoding="utf-8")).texts
    assert not any(word in ("nan", "inf", "None") for text in texts for word in text.split())
    assert "The pictures were not at hand, so none are drawn." in texts


def test_a_run_shows_its_curves_its_model_and_its_data(
    disc_run: Path, discs: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    made = report_model(
        disc_run, open_dataset(discs), device="cpu", progress=lambda *done: seen.append(done)
    )
    assert seen[-1] == (12, 12)
    assert any("6 of the 12 pictures were trained on" in note for note in made.notes)
    made.write(tmp_path / "page.html")
    texts = PageReader((tmp_path / "page.html").read_text(encoding="utf-8")).texts
    for wanted in ("Report on first", "resnet18", "faster-rcnn", "1.5 minutes", "sgd, learning "
                   "rate 0.02", "horizontal flip 0.5, scale 0.7 to 1.4", "train 6, validation 3, "
                   "test 3"):  # fmt: skip
        assert wanted in texts
    assert any("highest, 50.0 %, after step 3" in text for text in texts)
    unseen = report_model(disc_run, open_dataset(discs).subset([6, 7]), device="cpu")
    assert not any("trained on" in note for note in unseen.notes)


def test_the_curves_of_a_run_are_those_of_its_log(disc_run: Path) -> None:
    import pandas as pd

    left, middle, right = plot_training(pd.read_csv(disc_run / "metrics.csv")).axes
    lines = {line.get_label(): line for line in left.lines}
    assert lines["total"].get_ydata().tolist() == [2.0, 1.5, 1.0]
    assert middle.lines[0].get_xdata().tolist() == [2, 3]
    assert middle.lines[0].get_ydata().tolist() == [25.0, 50.0]
    assert right.lines[0].get_ydata().tolist() == [0.01, 0.02, 0.01]


def _browser() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("there is no chromium on the PATH")
    return found


def _browse(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--enable-logging=stderr", "--hide-scrollbars",
         f"--user-data-dir={profile}", *options, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_the_page_without_a_complaint(
    page: Path, tmp_path: Path, scheme: str
) -> None:
    picture = tmp_path / f"{scheme}.png"
    number = {"dark": 0, "light": 1}[scheme]
    shown = _browse(
        page,
        tmp_path / "profile",
        f"--screenshot={picture}",
        "--window-size=1280,3000",
        f"--blink-settings=preferredColorScheme={number}",
    )
    assert "CONSOLE" not in shown.stderr
    pixels = cv2.imread(str(picture))
    assert pixels.shape == (3000, 1280, 3)
    assert (pixels[0, 0] > 200).all() == (scheme == "light")
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100


@pytest.mark.slow
def test_a_browser_lays_found_over_truth(page: Path, tmp_path: Path) -> None:
    dom = _browse(page, tmp_path / "profile", "--dump-dom").stdout
    assert dom.count('class="pair sliding"') >= 3
    assert "--cut: 50%" in dom
