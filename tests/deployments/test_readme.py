"""The README says what the code does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from intercom.api.traffic import Traffic
from intercom.sync.summary import as_text
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Selection
from tests.support.results import table_result
from tests.support.rig import BY_DEFAULT

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_tables_is_the_catalogue() -> None:
    section = README.split("## Tables")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
    ]
    documented = [tuple(row[:4]) for row in rows if row[0] != "table" and set(row[0]) != {"-"}]
    assert documented == [
        (table.name, ", ".join(table.primary_key), table.cursor_field or "-", table.strategy)
        for table in TABLES.values()
    ]


def test_the_number_of_tables_and_the_permissions_they_need_are_told() -> None:
    assert f"[{len(TABLES)} tables]" in README.split("\n- ")[0]
    step = " ".join(README.split("3. **Token.**")[1].split("4. **Region.**")[0].split())
    assert set(re.findall(r"\*([^*]+)\*", step)) == {table.scope for table in TABLES.values()}


def test_the_groups_and_the_tables_that_have_to_be_named_are_listed() -> None:
    section = " ".join(README.split("### Which tables are copied")[1].split("\n\n")[2].split())
    default, named = (re.findall("[a-z_]+", section.split(f"{before}: ")[1].split(".")[0])
                      for before in ("`default`", "named"))  # fmt: skip
    assert default == list(BY_DEFAULT)
    assert named == [name for name, table in TABLES.items() if table.selection is Selection.NAME]


def test_every_option_of_the_shell_is_documented_and_no_other() -> None:
    shown = subprocess.run(
        [sys.executable, "flows/sync.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help"}
    section = README.split("### Options of sync")[1].split("\n### ")[0]
    assert set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE)) == options


def test_the_demos_output_is_shown_with_every_default_table() -> None:
    shown = README.split("It ends like this:")[1].split("```")[1]
    counts, watermarks, note = (part.splitlines() for part in shown.removeprefix("text\n").split("\n\n"))
    assert [line.split()[0] for line in counts[1:]] == list(BY_DEFAULT)
    assert [line.split()[0] for line in watermarks[1:]] == [name for name in BY_DEFAULT if TABLES[name].cursor_field]
    after = {line.split()[0]: second(" ".join(line.split()[2:])) for line in watermarks[1:]}
    tables = [
        table_result(
            name, rows_read=int(read), new=int(new), rows=int(rows), traffic=Traffic(requests=int(requests)),
            seconds=float(seconds), watermark_after=after.get(name),
        )
        for name, read, new, _, rows, requests, seconds in map(str.split, counts[1:])
    ]  # fmt: skip
    hint = " ".join(map(str.strip, note)).removeprefix("note: ")
    tables[0] = replace(tables[0], ingested=replace(tables[0].read, hints=(hint,)))
    assert as_text(tables, 80) == shown.removeprefix("text\n").rstrip("\n")


def second(time: str) -> int:
    return int(datetime.fromisoformat(f"{time}+00:00").timestamp())


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
