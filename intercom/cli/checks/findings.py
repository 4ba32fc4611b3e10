"""What `check` has found: one finding per line, in a shape that fits 80 columns, and the same as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from intercom.errors import ApiError, ConfigurationError, IntercomLakeError

_WIDTH = 80
_SHORTEST_COLUMN = 15
"""Columns of the names at least, so that checks of few tables and of the default ones look alike."""


class Verdict(StrEnum):
    """How a check came out. A note is neither good nor bad; a warning lets a run go on."""

    OK = "ok"
    NOTE = "note"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check: what was found, and the cure where something is not as it should be.

    `setting`: the fault is in what the user has written, not in what answers. `facts` are values for programs.
    """

    check: str
    verdict: Verdict
    detail: str
    cure: str = ""
    setting: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def lines(self, column: int) -> str:
        """The finding as text, wrapped. `column` is the width of the column that has its name."""
        text = f"{self.detail.rstrip('.')}. {self.cure}" if self.cure else self.detail
        head = f"  {self.verdict:<4}  {self.check:<{column}}  "
        return textwrap.fill(
            text,
            _WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_long_words=False,
            break_on_hyphens=False,
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        found: dict[str, Any] = {"check": self.check, "status": self.verdict.lower(), "detail": self.detail}
        if self.cure:
            found["cure"] = self.cure
        return found | {"facts": dict(self.facts)} if self.facts else found


def fault(check: str, error: IntercomLakeError, **facts: Any) -> Finding:
    """An error as a finding: our messages say in the first sentence what happened, and then what to do."""
    detail, _, cure = str(error).partition(". ")
    return Finding(check, Verdict.FAIL, detail, cure, setting=isinstance(error, ConfigurationError), facts=facts)


def last_reason(error: ApiError) -> str:
    """Why a request was given up, from an error's message: what was said at last."""
    text = str(error)
    said = text.partition("at last: ")[2].partition(". Run the flow")[0]
    return said or (f"status {error.status}" if error.status is not None else text)


def name_column(tables: Iterable[str]) -> int:
    """Width of the column of names, for checks of these tables."""
    return max([_SHORTEST_COLUMN, *map(len, tables)])


def exit_status(findings: Iterable[Finding]) -> int:
    """0 when nothing failed, 2 when a setting is wrong, else 1."""
    failed = [finding for finding in findings if finding.verdict is Verdict.FAIL]
    if any(finding.setting for finding in failed):
        return 2
    return 1 if failed else 0


def summary(findings: Iterable[Finding]) -> str:
    """The last line: how many checks failed."""
    verdicts = [finding.verdict for finding in findings]
    failed, warned = verdicts.count(Verdict.FAIL), verdicts.count(Verdict.WARN)
    warnings = f"{warned} warning{'s' if warned > 1 else ''}" if warned else ""
    if failed:
        return f"{failed} of {len(verdicts)} checks failed" + (f", {warnings}." if warned else ".")
    return f"All is well, with {warnings}." if warned else "All is well."
