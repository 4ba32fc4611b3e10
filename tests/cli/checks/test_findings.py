"""Findings as lines of a terminal, as JSON and as an exit status."""

from __future__ import annotations

import pytest

from intercom.cli.checks.findings import Finding, Verdict, exit_status, name_column, summary

OK = Finding("tags", Verdict.OK, "12 rows", facts={"rows": 12})
WARN = Finding("clock", Verdict.WARN, "apart", "Set it.")
FAILED = Finding("tags", Verdict.FAIL, "403: the token may not read tags.", 'Grant "Read tags".')
WRONG = Finding("lake", Verdict.FAIL, "no such", setting=True)


def test_a_long_finding_is_wrapped_below_its_own_text() -> None:
    finding = Finding("companies", Verdict.FAIL, "word " * 30, "s3://a-bucket/" + "very-long/" * 9)
    first, *others = finding.lines(15).splitlines()
    assert first.startswith("  FAIL  companies        word")
    assert all(line.startswith(" " * 25) and line[25] != " " for line in others)
    assert all(len(line) <= 80 for line in [first, *others[:-1]])
    assert others[-1].strip() == finding.cure  # an address stays whole


def test_the_cure_follows_as_a_sentence() -> None:
    line = "  FAIL  tags             403: the token may not read tags. Grant "
    assert FAILED.lines(15).startswith(line)


def test_the_same_as_json() -> None:
    assert OK.to_json() == {"check": "tags", "status": "ok", "detail": "12 rows", "facts": {"rows": 12}}
    assert WRONG.to_json() == {"check": "lake", "status": "fail", "detail": "no such"}
    assert FAILED.to_json()["cure"] == 'Grant "Read tags".'


def test_the_column_of_names_has_room_for_the_longest_table() -> None:
    assert name_column(["tags"]) == 15
    column = name_column(["conversation_teammates", "tags"])
    findings = [Finding("conversation_teammates", Verdict.NOTE, "text " * 30), Finding("tags", Verdict.OK, "text")]
    lines = [line for finding in findings for line in finding.lines(column).splitlines()]
    assert {line.index("text") for line in lines} == {2 + 4 + 2 + 22 + 2}
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("findings", "status", "last"),
    [
        ([OK], 0, "All is well."),
        ([OK, WARN], 0, "All is well, with 1 warning."),
        ([OK, WARN, WARN], 0, "All is well, with 2 warnings."),
        ([OK, FAILED, WARN], 1, "1 of 3 checks failed, 1 warning."),
        ([FAILED, WRONG], 2, "2 of 2 checks failed."),
    ],
)
def test_a_wrong_setting_is_told_from_another_failure(findings: list[Finding], status: int, last: str) -> None:
    assert (exit_status(findings), summary(findings)) == (status, last)
