"""The README says what the code does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from intercom.tables import TABLES

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
    section = README.split("### Options")[1].split("\n### ")[0]
    assert set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)) == options


def test_the_demos_output_is_shown_with_every_table() -> None:
    shown = README.split("It ends like this:")[1].split("```")[1]
    begun = [line.split()[0] for line in shown.splitlines()[2:] if line.strip()]
    assert begun[: len(TABLES)] == list(TABLES)
    assert set(begun[len(TABLES) :]) == {"note:"}
