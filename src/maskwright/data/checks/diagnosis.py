"""What the checks found, for people, programs and continuous integration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from maskwright.data.checks.check import Check, Defect, Severity
from maskwright.data.checks.survey import Survey

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["CheckResult", "Diagnosis"]

_SHOWN = 3
_COLOURS: dict[Severity, str] = {"error": "red", "warning": "yellow", "note": "cyan"}


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """The defects that one check found, at least one.

    Args:
        check: The check.
        defects: What it found, in the order of parts and pictures.
    """

    check: Check
    defects: tuple[Defect, ...]

    @property
    def num_fixable(self) -> int:
        """Defects that `write_fixed` mends."""
        return sum(bool(self.remedy_of(defect)) for defect in self.defects)

    def remedy_of(self, defect: Defect) -> str:
        """Return what `write_fixed` does about a defect of this check; "" for nothing."""
        return self.check.remedy if defect.remedy is None else defect.remedy

    def as_dict(self, survey: Survey) -> dict[str, Any]:
        """Return the result as plain values, ready for JSON."""
        return {
            "check": self.check.name,
            "severity": self.check.severity,
            "title": self.check.title,
            "mend": self.check.mend,
            "count": len(self.defects),
            "fixable": self.num_fixable,
            "defects": [
                {
                    "part": None if defect.part is None else survey.parts[defect.part].name,
                    "picture": defect.file_name or None,
                    "annotations": list(defect.annotation_ids),
                    "detail": defect.detail,
                    "fix": self.remedy_of(defect) or None,
                }
                for defect in self.defects
            ],
        }


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The account of one check-up; prints as a table with rich, as lines with `str`.

    Args:
        survey: What was looked at.
        results: One for each check that found something, errors first, then by the table.
        num_checks: Checks that were made.
    """

    survey: Survey = field(repr=False)
    results: tuple[CheckResult, ...]
    num_checks: int

    def __getitem__(self, name: str) -> tuple[Defect, ...]:
        """Return the defects that the check of this name found, () if none."""
        return next((one.defects for one in self.results if one.check.name == name), ())

    def count(self, severity: Severity) -> int:
        """Count the defects of one severity."""
        of_it = (one for one in self.results if one.check.severity == severity)
        return sum(len(one.defects) for one in of_it)

    def is_well(self, *, strict: bool = False) -> bool:
        """Say whether there are no errors, and with `strict` no warnings either."""
        return not (self.count("error") or (strict and self.count("warning")))

    @property
    def num_fixable(self) -> int:
        """Defects that `write_fixed` mends."""
        return sum(one.num_fixable for one in self.results)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, ready for JSON."""
        return {
            "parts": [
                {
                    "name": part.name,
                    "pictures": len(part.pictures),
                    "objects": part.inspected.report.num_objects,
                    "classes": len(part.class_names),
                }
                for part in self.survey.parts
            ],
            "checks": self.num_checks,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "notes": self.count("note"),
            "fixable": self.num_fixable,
            "results": [one.as_dict(self.survey) for one in self.results],
        }

    def headline(self) -> str:
        """Return the counts in one line."""
        counts = ", ".join(
            f"{count} {severity}{'s' * (count != 1)}"
            for severity in get_args(Severity)
            if (count := self.count(severity))
        )
        return f"{self.num_checks} checks: {counts or 'nothing found'}"

    def part_lines(self) -> Iterator[str]:
        """Yield what each part holds."""
        for part in self.survey.parts:
            report = part.inspected.report
            yield (
                f"{part.name}: {len(part.pictures)} pictures, {report.num_objects} objects of "
                f"{len(part.class_names)} classes"
            )

    def where(self, defect: Defect) -> str:
        """Name the place of a defect: part, picture and annotations; "" for all of it."""
        words = []
        if defect.part is not None and len(self.survey.parts) > 1:
            words.append(self.survey.parts[defect.part].name)
        if defect.file_name:
            words.append(defect.file_name)
        if 0 < len(defect.annotation_ids) <= _SHOWN:
            words.append("annotation " + ", ".join(map(str, defect.annotation_ids)))
        return " ".join(words)

    def __str__(self) -> str:
        lines = [*self.part_lines(), self.headline()]
        for one in self.results:
            lines.append(f"{one.check.severity} {one.check.name}: {len(one.defects)}")
            lines += [f"  {line}" for line in self._first(one)]
        return "\n".join(lines)

    def __rich__(self) -> RenderableType:
        """Return a table of what was found, below what was looked at."""
        from rich.console import Group
        from rich.markup import escape
        from rich.table import Table

        lines = [escape(line) for line in self.part_lines()]
        if not self.results:
            return Group(*lines, f"[green]{self.headline()}[/green]")
        table = Table("", "n", "what, and how to mend it", "where, the first few", show_lines=True)
        for one in self.results:
            colour = _COLOURS[one.check.severity]
            fix = f"\n--fix: {one.num_fixable} of {len(one.defects)}" * bool(one.num_fixable)
            table.add_row(
                f"[{colour}]{one.check.severity}[/{colour}]",
                str(len(one.defects)),
                f"[bold]{escape(one.check.title)}[/bold]\n[dim]{one.check.name}[/dim]\n"
                f"{escape(one.check.mend)}{fix}",
                escape("\n".join(self._first(one))),
            )
        return Group(*lines, table, self.headline())

    def _first(self, one: CheckResult) -> list[str]:
        lines = []
        for defect in one.defects[:_SHOWN]:
            where = self.where(defect)
            lines.append(f"{where}: {defect.detail}" if where else defect.detail)
        more = len(one.defects) - _SHOWN
        return [*lines, f"and {more} more"] if more > 0 else lines
