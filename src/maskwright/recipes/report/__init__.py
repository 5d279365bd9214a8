"""One page that says how good a model is, where it fails and what it was made of.

`report.py` gathers; the `*_sections.py` turn numbers into sections of blocks (`document.py`), and
`writing.py` makes HTML, Markdown and JSON of them by the templates in `recipes/pages`.
"""

from __future__ import annotations

from maskwright.recipes.report.report import (
    EvaluationReport,
    ReportFormat,
    report_model,
    report_predictions,
)
from maskwright.recipes.report.scores import FamilyName

__all__ = [
    "EvaluationReport",
    "FamilyName",
    "ReportFormat",
    "report_model",
    "report_predictions",
]
