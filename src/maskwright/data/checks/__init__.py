"""The doctor: what may be wrong with annotated pictures, one small check each."""

from __future__ import annotations

from maskwright.data.checks.check import Check, Defect, Place, Remedy, Severity
from maskwright.data.checks.checking import check_dataset
from maskwright.data.checks.diagnosis import CheckResult, Diagnosis
from maskwright.data.checks.fixing import write_fixed
from maskwright.data.checks.table import CHECKS

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "Defect",
    "Diagnosis",
    "Place",
    "Remedy",
    "Severity",
    "check_dataset",
    "write_fixed",
]
