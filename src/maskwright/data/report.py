"""What an import read, changed and dropped, and why: nothing is lost in silence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Finding", "ImportReport", "ImportReportBuilder", "findings_table"]

_MAX_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something an import met, and what it did about it.

    Args:
        action: "changed" and "dropped" touch the data; "noted" does not.
        what: What was counted.
        reason: The defect and the rule that was applied, one clause.
        count: How many.
        examples: Where, for the first few.
    """

    action: Literal["changed", "dropped", "noted"]
    what: Literal["objects", "pictures"]
    reason: str
    count: int
    examples: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain values, ready for JSON."""
        return {
            "action": self.action,
            "what": self.what,
            "reason": self.reason,
            "count": self.count,
            "examples": list(self.examples),
        }

    def __str__(self) -> str:
        more = ", ..." if self.has_more else ""
        where = f" ({', '.join(self.examples)}{more})" if self.examples else ""
        return f"  {self.action} {self.count} {self.what}: {self.reason}{where}"

    @property
    def has_more(self) -> bool:
        """True where `examples` names some only."""
        return self.count > len(self.examples) > 0


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """The account of one import; prints as a table with rich, as lines with `str`.

    Args:
        source: The file or folder that was read.
        num_images: Pictures listed.
        num_images_without_objects: Of these, pictures that no annotation names.
        num_objects: Annotations read.
        num_crowd: Of these, how many the source marks as a crowd.
        num_classes: Classes listed.
        findings: What was changed, dropped or noted.
    """

    source: str
    num_images: int
    num_images_without_objects: int
    num_objects: int
    num_crowd: int
    num_classes: int
    findings: tuple[Finding, ...] = ()

    @property
    def num_changed(self) -> int:
        """Objects that were changed (one changed twice counts twice)."""
        return self._num_objects("changed")

    @property
    def num_dropped(self) -> int:
        """Objects that training will not see."""
        return self._num_objects("dropped")

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values, ready for JSON."""
        return {
            "source": self.source,
            "images": self.num_images,
            "images_without_objects": self.num_images_without_objects,
            "objects": self.num_objects,
            "crowd": self.num_crowd,
            "classes": self.num_classes,
            "changed": self.num_changed,
            "dropped": self.num_dropped,
            "findings": [finding.as_dict() for finding in self.findings],
        }

    def __str__(self) -> str:
        return "\n".join([f"{self.source}: {self._headline()}", *map(str, self.findings)])

    def __rich__(self) -> Table:
        """Return the findings as a table headed by the counts; the counts alone without any."""
        if not self.findings:  # an empty table would break its heading in pieces
            from rich.markup import escape
            from rich.table import Table

            lines = Table.grid()
            lines.add_row(escape(str(self)))
            return lines
        return findings_table(self.source, self._headline(), self.findings)

    def _headline(self) -> str:
        return (
            f"{self.num_images} pictures ({self.num_images_without_objects} without objects), "
            f"{self.num_objects} objects ({self.num_crowd} crowd) of {self.num_classes} classes; "
            f"{self.num_changed} changed, {self.num_dropped} dropped"
        )

    def _num_objects(self, action: str) -> int:
        return sum(f.count for f in self.findings if f.action == action and f.what == "objects")


def findings_table(title: str, headline: str, findings: tuple[Finding, ...]) -> Table:
    """Return the findings as a table below `title` and above `headline`."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("action", "count", "why", "where", title=escape(title), caption=headline)
    for finding in findings:
        table.add_row(
            finding.action,
            f"{finding.count} {finding.what}",
            escape(finding.reason),
            escape("\n".join(finding.examples) + "\n..." * finding.has_more),
        )
    return table


@dataclass
class ImportReportBuilder:
    """Collects findings while a reader reads; a reason met again is counted up."""

    _findings: dict[tuple[str, str, str], list[Any]] = field(default_factory=dict)

    def changed(self, reason: str, where: str) -> None:
        """Count an object that was changed."""
        self._add("changed", "objects", reason, where)

    def dropped(self, reason: str, where: str) -> None:
        """Count an object that training will not see."""
        self._add("dropped", "objects", reason, where)

    def noted(self, reason: str, where: str) -> None:
        """Count an object worth a remark that was left as it is."""
        self._add("noted", "objects", reason, where)

    def changed_picture(self, reason: str, where: str) -> None:
        """Count a picture that was changed."""
        self._add("changed", "pictures", reason, where)

    def dropped_picture(self, reason: str, where: str) -> None:
        """Count a picture that is left out."""
        self._add("dropped", "pictures", reason, where)

    def noted_picture(self, reason: str, where: str) -> None:
        """Count a picture worth a remark that was left as it is."""
        self._add("noted", "pictures", reason, where)

    def findings(self) -> tuple[Finding, ...]:
        """Return what was collected, dropped first."""
        found = [
            Finding(
                action=action,  # type: ignore[arg-type]
                what=what,  # type: ignore[arg-type]
                reason=reason,
                count=count,
                examples=tuple(examples),
            )
            for (action, what, reason), (count, examples) in self._findings.items()
        ]
        order = ("dropped", "changed", "noted")
        return tuple(sorted(found, key=lambda finding: order.index(finding.action)))

    def _add(self, action: str, what: str, reason: str, where: str) -> None:
        entry = self._findings.setdefault((action, what, reason), [0, []])
        entry[0] += 1
        if len(entry[1]) < _MAX_EXAMPLES:
            entry[1].append(where)
