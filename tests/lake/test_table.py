"""A run that has lost its lock changes nothing of a table, whatever step it is about to take."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

import intercom
from intercom.errors import LakeError
from intercom.lake.layout import TableFormat, TablePaths
from intercom.lake.parquet import ParquetFile
from intercom.lake.published import PublishedFile
from intercom.lake.state import TableState
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable

PATHS = TablePaths("acme", "contacts")
ROWS = pa.table({"id": ["1"]})
PART = PATHS.part("run-1.a", "2026-01", 0)
PARQUET, DELTA = TableFormat.PARQUET, TableFormat.DELTA
EVERY = frozenset(TableFormat)


@dataclass
class Held:
    """A table with the file of a month, a record and a staged part; `added` is a second month's file, not shown yet."""

    lake_table: LakeTable
    new: Path
    added: PublishedFile

    @property
    def stamp(self) -> str:
        return self.lake_table.published()["2026-01"]

    def state(self) -> TableState:
        found = self.lake_table.state()
        assert found is not None
        return found

    def there(self) -> dict[str, str]:
        return self.lake_table.lake.stamps("")


@pytest.fixture(params=list(TableFormat))
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Held]:
    lake_table = LakeTable(Lake(str(tmp_path / "lake")), PATHS, table_format=request.param)
    lake = lake_table.lake
    with lake.scratch() as new:
        for month in ("2026-01", "2026-02"):
            with ParquetFile(new, ROWS.schema, "v1") as file:
                file.write(ROWS)
            if month == "2026-01":
                lake_table.commit_files([lake_table.add_file(new, month, 1, None)], [])
        copy = tmp_path / "copy"
        copy.write_bytes(new.read_bytes())
        added = lake_table.add_file(new, "2026-02", 1, None)
        lake.publish(copy, PART, rows=1)
        lake_table.save(TableState("lake", "columns"))
        with ParquetFile(new, ROWS.schema, "v2") as file:
            file.write(ROWS)
        yield Held(lake_table, new, added)


STEPS: dict[str, tuple[Callable[[Held], object], frozenset[TableFormat]]] = {
    "save": (lambda held: held.lake_table.save(held.state()), EVERY),
    "note_damage": (lambda held: held.lake_table.note_damage("2026-01"), EVERY),
    "add_file": (lambda held: held.lake_table.add_file(held.new, "2026-01", 1, held.stamp), EVERY),
    "drop_file": (lambda held: held.lake_table.drop_file("2026-01", held.stamp), frozenset([PARQUET])),
    "commit_files": (lambda held: held.lake_table.commit_files([held.added], ["2026-01"]), frozenset([DELTA])),
    "delete_staged": (lambda held: held.lake_table.delete_staged([PART]), EVERY),
    "delete_kept_keys": (lambda held: held.lake_table.delete_kept_keys(), frozenset()),
    "drop_rejected_with": (lambda held: held.lake_table.drop_rejected_with(["x"]), frozenset()),
    "clear_history": (lambda held: held.lake_table.clear_history(), frozenset([DELTA])),
    "write_checkpoint": (lambda held: held.lake_table.write_checkpoint("run-1.a", "plan", {}), EVERY),
}
"""Each guarded step, and the formats in which it changes a file by itself."""


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_refused_when_the_lock_is_lost(held: Held, step: str) -> None:
    before = held.there()

    def lost() -> None:
        raise LakeError("The lock was lost.")

    held.lake_table.still_ours = lost
    with pytest.raises(LakeError, match="lock was lost"):
        STEPS[step][0](held)
    assert held.there() == before


@pytest.mark.parametrize("step", STEPS)
def test_the_lock_is_asked_for_once_and_just_before_the_step(held: Held, step: str) -> None:
    before, seen = held.there(), list[dict[str, str]]()
    held.lake_table.still_ours = lambda: seen.append(held.there())
    take, changing = STEPS[step]
    take(held)
    assert seen == [before]
    assert (held.there() != before) == (_format(held) in changing)


def _format(held: Held) -> TableFormat:
    return DELTA if held.lake_table.files.together else PARQUET


# -- nobody goes past the guard -----------------------------------------------------------------------------------

READS = {
    "lake": {"at_a_time", "each", "fetch", "open", "own_parts", "read_json", "scratch", "still_there", "url"},
    "files": {"fetch", "open", "path", "stamp", "strangers", "together"},
}


def test_outside_the_lake_a_table_is_changed_by_its_guarded_steps_only() -> None:
    package = Path(intercom.__file__).parent
    found = {
        f"{path.relative_to(package)}:{past}"
        for path in package.rglob("*.py")
        if "lake" not in path.relative_to(package).parts[:1]
        for past in _past_the_guard(path.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    "past",
    [
        "lake_table.still_ours()",
        "self._lake_table.lake.delete(paths)",
        "PartWriter(lake_table.lake, paths)",
        "read.lake_table.files.add(new, month, 1, None)",
        "files = lake_table.files",
    ],
)
def test_what_goes_past_the_guard_is_found(past: str) -> None:
    assert list(_past_the_guard(past)) != []


def _past_the_guard(source: str) -> Iterator[str]:
    """Line and text of what asks for a lock, or takes more of a table's lake and files than reading needs."""
    tree = ast.parse(source)
    reading = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.attr in READS.get(node.value.attr, ())
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        of_a_table = node.attr in READS and ast.unparse(node.value).endswith("lake_table")
        if node.attr == "still_ours" or (of_a_table and node not in reading):
            yield f"{node.lineno}: {ast.unparse(node)}"
