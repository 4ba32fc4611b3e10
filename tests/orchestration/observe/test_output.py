"""The summary on a terminal: one that has gone, or that lacks letters, is no reason to fail."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from intercom.orchestration.observe.output import OUTPUT, Output, columns, show


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "pr\u00e9nom"), ("ascii", r"pr\xe9nom")])
def test_letters_that_the_terminal_lacks_are_written_as_their_numbers(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding=encoding))
    show("pr\u00e9nom", {})
    assert terminal.getvalue().decode(encoding).strip() == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_only_a_terminal_has_columns_that_lines_are_wrapped_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert columns() == 72
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert columns() is None


PROGRAM = "from intercom.orchestration.observe.output import show; input(); show('done', {})"


def test_a_pipe_that_nobody_reads_any_more_leaves_the_exit_status() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        errors = process.stderr.read()
    assert process.returncode == 0, errors


@pytest.mark.parametrize(("output", "shown"), [("table", "done"), ("json", '{"a":"é"}'), ("quiet", "")])
def test_the_shell_chooses_what_is_printed(output: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = OUTPUT.set(Output(output))
    try:
        show("done", {"a": "é"})
    finally:
        OUTPUT.reset(before)
    assert "".join(capsys.readouterr().out.split()) == shown
