"""The README, and the pages that its parts have moved to, say what the code does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from intercom.api.traffic import Traffic
from intercom.sync.summary import as_text
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Selection
from tests.support.markdown import DOCS, section
from tests.support.results import table_result
from tests.support.rig import BY_DEFAULT

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_table_of_tables_is_the_catalogue() -> None:
    lines = [line for line in page("reference/tables.md").splitlines() if line.startswith("|")]
    rows = [[re.sub(r"\[(\w+)\]\(.*?\)", r"\1", cell).strip() for cell in line.strip("|").split("|")] for line in lines]
    documented = [tuple(row[:4]) for row in rows if row[0] != "table" and set(row[0]) != {"-"}]
    assert documented == [
        (table.name, ", ".join(table.primary_key), table.cursor_field or "-", table.strategy)
        for table in TABLES.values()
    ]


def test_the_readme_has_each_table_once_below_what_selects_it() -> None:
    rows = [line.strip("| ").split(" | ") for line in section(README, "Tables").splitlines() if "_" in line]
    listed = {said: re.findall(r"\w+", names) for said, names in (row for row in rows if len(row) == 2)}
    assert sorted(name for names in listed.values() for name in names) == sorted(TABLES)
    for said, names in listed.items():
        default, derived, by_name = said == "by default", "rows that the lake has" in said, said.startswith("by name")
        for table in map(TABLES.__getitem__, names):
            assert (table.selection is Selection.DEFAULT) is default
            assert (table.made_of is not None) is derived
            assert (table.selection is Selection.NAME) is by_name


def test_the_number_of_tables_and_the_permissions_they_need_are_told() -> None:
    for text, opening in ((README, "2. **Token.**"), (page("tutorials/first-lake.md"), "3. **Token.**")):
        step = " ".join(re.split(r"\n\d\. ", text.split(opening)[1])[0].split())
        assert set(re.findall(r"\*([^*]+)\*", step)) == {table.scope for table in TABLES.values()}
    for text in (README, page("index.md")):
        assert f"[{len(TABLES)} tables]" in text.split("```")[0]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 250


def test_the_groups_and_the_tables_that_have_to_be_named_are_listed() -> None:
    groups = " ".join(page("how-to/choose-tables.md").split("\n\n")[2].split())
    default, named = (re.findall("[a-z_]+", groups.split(f"{before}: ")[1].split(".")[0])
                      for before in ("`default`", "named"))  # fmt: skip
    assert default == list(BY_DEFAULT)
    assert named == [name for name, table in TABLES.items() if table.selection is Selection.NAME]


def test_every_option_of_the_shell_is_documented_and_no_other() -> None:
    shown = subprocess.run(
        [sys.executable, "flows/sync.py", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help"}
    documented = re.findall(r"^\| `(--[a-z-]+)", page("reference/sync-options.md"), re.MULTILINE)
    assert set(documented) == options


@pytest.mark.parametrize("text", [README, page("tutorials/first-lake.md")], ids=["README", "tutorial"])
def test_the_demos_output_is_shown_with_every_default_table(text: str) -> None:
    shown = text.split("ends like this:")[1].split("```")[1]
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
    seen = [line.split(" | ")[0] for line in page("how-to/runbook.md").splitlines() if line.startswith("| ")][1:]
    quoted = {
        part.strip()
        for quote in re.findall("`([^`]+)`", "\n".join(seen))
        for part in re.split(r"\.\.\.|<[a-z]+>|[0-9]+", quote)
    }
    said = messages()
    assert len(quoted) > 15
    assert [text for text in sorted(quoted - of_others) if text not in said] == []
