"""What the data doctor says: one thing found, the files it is about, and the remedy."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

SHOWN_FILES = 3


@dataclass(frozen=True)
class Finding:
    """An error stops everything, a warning does not, a note says what was assumed or is there.

    The warnings no-train and no-val stop training alone.
    """

    code: str
    """Stable and short, for programs: size-mismatch."""
    severity: Severity
    message: str
    """What was found, without the files."""
    files: tuple[str, ...] = ()
    """All files or ids it is about; pairs are joined by " = "."""
    fix: str = ""
    """What to do about it; empty where nothing needs to be done."""

    def text(self) -> str:
        """Message, the first files and the remedy, on one line."""
        parts = [self.message]
        if self.files:
            parts.append(self.shown_files())
        sentence = ": ".join(parts)
        return f"{sentence}. {self.fix}" if self.fix else sentence

    def shown_files(self) -> str:
        """The first files and how many more there are."""
        more = len(self.files) - SHOWN_FILES
        shown = ", ".join(self.files[:SHOWN_FILES])
        return f"{shown} and {more:,} more" if more > 0 else shown

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "files": list(self.files),
            "fix": self.fix,
        }


def sort_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, then warnings, then notes; else as they came."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """counted(1, "image") -> "1 image", counted(2400, "image") -> "2,400 images"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
