"""The README says what the code does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from intercom.tables.catalogue import TABLES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_tables_is_the_catalogue() -> None:
    section = README.split("## Tables")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    documented = [tuple(row[:4]) for row in rows[2:]]
    assert documented == [
        (table.name, ", ".join(table.primary_key), table.cursor_field or "-", table.strategy)
        for table in TABLES.values()
    ]


def test_every_option_of_the_shell_is_documented_and_no_other() -> None:
    shown = subprocess.run(
        [sys.executable, "flows/sync.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help"}
    section = README.split("### Options of sync")[1].split("\n### ")[0]
    assert set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)) == options


def test_the_demos_output_is_shown_with_every_table() -> None:
    shown = README.split("It ends like this:")[1].split("```")[1]
    begun = [line.split()[0] for line in shown.splitlines()[2:] if line.strip()]
    assert begun[: len(TABLES)] == list(TABLES)
    assert set(begun[len(TABLES) :]) == {"note:"}


def messages() -> str:
    """All texts of the package, with a blank for what is filled in."""
    texts = []
    for file in (ROOT / "intercom").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else " " for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def test_what_the_runbook_quotes_is_what_the_code_says() -> None:
    of_others = {"No space left", "Access Denied"}  # the operating system's, and S3's
    section = README.split("## Runbook")[1].split("\n## ")[0]
    seen = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| ")][1:]
    quoted = {
        part.strip()
        for quote in re.findall("`([^`]+)`", "\n".join(seen))
        for part in re.split(r"\.\.\.|<[a-z]+>|[0-9]+", quote)
    }
    said = messages()
    assert len(quoted) > 15
    assert [text for text in sorted(quoted - of_others) if text not in said] == []
