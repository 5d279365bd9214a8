from __future__ import annotations

import io
import json

from rich.console import Console

from maskwright.evaluation import evaluate


def _text(metrics) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(metrics.to_table())
    return console.export_text()


def test_table_shows_percent_undefined_numbers_classes_and_notes(scene) -> None:
    coco, results = scene(31, small=True)
    coco["categories"] += [{"id": 50, "name": "unused"}, {"id": 51, "name": "[bold]odd"}]
    results.append({**results[0], "category_id": 51})
    metrics = evaluate(results, coco, max_detections=150)
    text = _text(metrics)
    assert f"{100 * metrics['segm']['AP']:.1f}" in text
    assert "n/a" in text  # no large object in small pictures
    assert "150 detections" in text
    assert "as asked, and not at COCO's 100" in " ".join(text.split())
    assert "unused" not in text
    assert "[bold]odd" in text
    listed = [name for name in metrics.per_class["bbox"] if name in ("date", "nut", "fig")]
    assert sorted(listed, key=text.rindex) == listed


def test_report_is_valid_json_and_holds_everything(scene) -> None:
    coco, results = scene(32)
    metrics = evaluate(results, coco)
    report = json.loads(json.dumps(metrics.report(), allow_nan=False))
    assert report["numbers"] == metrics.as_dict()
    assert report["max_detections"] == 100
    assert report["images"] == len(coco["images"])
    assert set(report["per_class"]["boundary"]) == {"date", "fig", "nut"}
    assert set(report["per_class"]["segm"]["nut"]) == {
        "AP", "AP50", "AR", "APs", "APm", "APl", "objects", "detections", "AP_interval"
    }  # fmt: skip
    assert set(report["per_size"]["segm"]["small"]) == {"AP", "AP50", "AR", "objects"}


def test_tables_of_nothing_are_printed_all_the_same() -> None:
    text = _text(evaluate([], {"images": [], "annotations": [], "categories": []}))
    assert "every number is undefined" in text
