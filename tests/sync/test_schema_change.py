"""A table whose declared columns change: its files get them without asking Intercom, and reading goes on from there."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from intercom.compaction.schema_change import migrate_columns
from intercom.lake.layout import TablePaths
from intercom.lake.parquet import version_of
from intercom.lake.storage import Lake
from intercom.lake.table import LakeTable
from intercom.sandbox import SandboxServer
from intercom.sync.ingest import ingest_table
from intercom.sync.run import Run
from intercom.tables.catalogue import TABLES
from intercom.tables.schema import ColumnKind, TableSchema
from tests.conftest import NOW
from tests.support.declarations import CONTACTS, EARLIER, declared, declared_as
from tests.support.effort import effort
from tests.support.fuses import Fuse, FusedLake, FusedWatermarks, Killed
from tests.support.rig import CONNECTION, MemoryWatermarks, Rig
from tests.support.seeded import seeded_workspace

MERGED = ("contacts", "companies", "conversations", "articles")
PAST = datetime(2026, 1, 1, tzinfo=UTC)
FEW: dict[str, Any] = {
    "contacts": 12, "companies": 0, "conversations": 0, "articles": 0, "tags": 0, "segments": 0, "history_days": 32,
}  # fmt: skip


def version_in(lake_table: LakeTable, month: str) -> str | None:
    """The version in the footer of a published file."""
    with lake_table.files.fetch(month) as path:
        return version_of(path)


def change(rig: Rig) -> set[str]:
    """New and changed contacts, so much later that no lookback reads the others again; gives their ids."""
    rig.workspace.travel(4 * 86_400)
    met = {row["id"] for row in rig.workspace.rows("contacts")[::9]}
    for each in met:
        rig.workspace.update("contacts", each, name="changed")
    met.add(rig.workspace.create("contacts")["id"])
    rig.workspace.travel(1)
    rig.server.clear_log()
    return met


def asked(rig: Rig) -> list[tuple[str, Any]]:
    """What was asked for; in no order, since some questions are asked at the same time."""
    return sorted(((request.path, request.body) for request in rig.server.log), key=repr)


def read_at(rig: Rig, table: str) -> dict[str, datetime]:
    rows = rig.rows(table)
    return dict(zip(rows.column("id").to_pylist(), rows.column("_ingested_at").to_pylist(), strict=True))


def state(rig: Rig, table: str = "contacts") -> Any:
    return rig.lake_table(table).state()


@pytest.mark.parametrize("earlier", EARLIER.values(), ids=EARLIER)
def test_the_next_run_gives_every_row_the_new_columns_and_asks_for_nothing_but_changes(
    make_rig: Callable[..., Rig], tmp_path: Path, earlier: TableSchema
) -> None:
    rig, twin = make_rig(contacts=90), make_rig(contacts=90, lake=str(tmp_path / "twin"))
    with declared(contacts=earlier):
        rig.sync(["contacts"], started_at=PAST)
        rig.check(["contacts"])
        before = read_at(rig, "contacts")
    twin.sync(["contacts"])
    met = change(rig)
    change(twin)
    results, plain = rig.sync(["contacts"]), twin.sync(["contacts"])
    rig.check(["contacts"])
    assert asked(rig) == asked(twin)
    assert results["contacts"][0].reason == "incremental"
    (read, done), (read_plainly, done_plainly) = results["contacts"], plain["contacts"]
    # Digests of rows written under other columns count for nothing: these rows are compared by the merge instead.
    assert (read.unchanged, done.unchanged) == (0, read_plainly.unchanged + done_plainly.unchanged)
    assert done == replace(done_plainly, files=done.files, unchanged=done.unchanged)
    after = read_at(rig, "contacts")
    assert {each for each in before if after[each] != before[each]} == met & before.keys()
    assert rig.sync(["contacts"])["contacts"][1].files == 0


def test_tables_that_are_read_whole_find_no_change_in_rewritten_rows(rig: Rig) -> None:
    """What was rewritten is, to the byte, what reading it again gives."""
    schemas = {
        "companies": declared_as(TABLES["companies"].schema, without="plan_name website user_count"),
        "articles": declared_as(TABLES["articles"].schema, without="state", kinds={"author_id": ColumnKind.INT}),
    }
    with declared(**schemas):
        rig.sync(schemas)
    results = rig.sync(schemas)
    rig.check(schemas)
    assert [(done.new, done.changed, done.files) for _, done in results.values()] == [(0, 0, 0), (0, 0, 0)]


def test_all_tables_at_once(rig: Rig) -> None:
    earlier = {name: declared_as(TABLES[name].schema, without="title name state type") for name in TABLES}
    earlier["data_attributes"] = declared_as(TABLES["data_attributes"].schema, without="label")
    with declared(**earlier):
        rig.sync()
        rig.check()
    rig.workspace.travel(7200)
    results = rig.sync()
    rig.check()
    assert {results[name][0].reason for name in MERGED} == {"incremental"}


def test_there_and_back_again(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=60)
    for earlier in EARLIER.values():
        with declared(contacts=earlier):
            change(rig)
            rig.sync(["contacts"])
            rig.check(["contacts"])
    rig.sync(["contacts"])
    rig.check(["contacts"])


def test_a_run_with_an_end_date_rewrites_too(rig: Rig) -> None:
    with declared(contacts=EARLIER["all of it"]):
        rig.sync(["contacts"])
    now = rig.workspace.now()
    rig.sync(["contacts"], history_from=now - 86_400, until=now)
    rig.check(["contacts"])


def test_rows_that_waited_to_be_merged_get_the_new_columns(rig: Rig) -> None:
    """The run that staged them is another version's, and died before it could merge them."""
    with declared(contacts=EARLIER["all of it"]):
        rig.sync(["contacts"])
        change(rig)
        stage(rig, EARLIER["all of it"])
    assert state(rig).staged
    rig.server.clear_log()
    rig.workspace.travel(7200)
    results = rig.sync(["contacts"])
    rig.check(["contacts"])
    assert results["contacts"][0].reason == "incremental"


def stage(rig: Rig, schema: TableSchema, lake: Lake | None = None, **options: Any) -> None:
    """The first half of a run over contacts."""
    table, client = replace(TABLES["contacts"], schema=schema), rig.client()
    run = Run("waiting", CONNECTION, datetime.now(UTC), run_start=rig.workspace.now(), **options)
    try:
        ingest_table(table, client.for_table("contacts", table.scope), rig.lake_table("contacts", lake), rig.store, run)
    finally:
        client.close()


def test_parts_that_never_were_committed_are_dropped(rig: Rig) -> None:
    with declared(contacts=EARLIER["all of it"]):
        rig.sync(["contacts"])
        change(rig)
        with pytest.raises(Killed):
            stage(rig, EARLIER["all of it"], FusedLake(rig.lake_url, Fuse(3)))
    assert any(path.endswith(".parquet") for path in rig.lake().list("_staging"))
    rig.sync(["contacts"])
    rig.check(["contacts"])


# -- what cannot be rewritten is read again -----------------------------------------------------------------------


def test_a_record_that_does_not_tell_the_old_columns_means_reading_everything(rig: Rig) -> None:
    with declared(contacts=EARLIER["fewer columns"]):
        rig.sync(["contacts"])
    path = rig.lake_folder / TablePaths(CONNECTION, "contacts").state
    record = json.loads(path.read_text())
    del record["columns"]
    record.pop("checksum")  # as a version wrote it that had none
    path.write_text(json.dumps(record))
    results = rig.sync(["contacts"])
    rig.check(["contacts"])
    assert "columns have changed" in results["contacts"][0].reason
    assert state(rig).columns == CONTACTS


def test_a_record_of_an_older_version_learns_its_columns(rig: Rig) -> None:
    rig.load(["contacts"])
    path = rig.lake_folder / TablePaths(CONNECTION, "contacts").state
    record = json.loads(path.read_text())
    del record["columns"]
    record.pop("checksum")  # as a version wrote it that had none
    path.write_text(json.dumps(record))
    assert rig.sync(["contacts"])["contacts"][0].reason == "incremental"
    assert state(rig).columns == CONTACTS


@pytest.mark.parametrize("earlier", ["fewer columns", "texts that are JSON"])
def test_a_table_with_a_file_that_is_gone_is_read_again(rig: Rig, earlier: str) -> None:
    with declared(contacts=EARLIER[earlier]):
        rig.sync(["contacts"])
    published(rig)[0].unlink()
    change(rig)
    results = rig.sync(["contacts"])
    rig.check(["contacts"])
    assert results["contacts"][0].watermark_before is None


def test_a_table_with_a_file_from_a_backup_is_read_again(rig: Rig) -> None:
    """If it were rewritten, it would count as ours from then on."""
    with declared(contacts=EARLIER["fewer columns"]):
        rig.sync(["contacts"])
        older = {path: path.read_bytes() for path in published(rig)}
        change(rig)
        rig.sync(["contacts"])
    for path, content in older.items():
        path.write_bytes(content)
    results = rig.sync(["contacts"])
    rig.check(["contacts"])
    assert results["contacts"][0].watermark_before is None


def test_a_full_refresh_rewrites_nothing_before_it_reads(rig: Rig) -> None:
    with declared(contacts=EARLIER["all of it"]):
        rig.sync(["contacts"], started_at=PAST)
    rig.sync(["contacts"], full_refresh=True)
    rig.check(["contacts"])
    assert PAST not in read_at(rig, "contacts").values()


def test_a_read_that_stays_short_of_a_table_that_cannot_be_rewritten_is_read_again(rig: Rig) -> None:
    """Files of two declarations lie in the lake then, so that nothing may be rewritten by the record."""
    with declared(contacts=EARLIER["texts that are JSON"]):
        rig.sync(["contacts"])
    file = published(rig)[0]
    kept = file.read_bytes()
    file.unlink()
    rig.serve_short(times=9)
    rig.sync(["contacts"])
    rig.server.clear_faults()
    assert state(rig).columns is None
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(kept)
    results = rig.sync(["contacts"])
    rig.check(["contacts"])
    assert results["contacts"][0].watermark_before is None


# -- a run that dies ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A few contacts in two or three months, loaded by another version, and changes. No test changes it."""
    with SandboxServer(seeded_workspace(now=NOW, **FEW)) as server:
        loaded = Rig(server, str(tmp_path_factory.mktemp("loaded") / "lake"))
        with declared(contacts=EARLIER["all of it"]):
            loaded.sync(["contacts"])
        change(loaded)
        yield loaded


@pytest.fixture(scope="module")
def died(loaded: Rig) -> list[Rig]:
    """Copies of that lake as runs have left them that died at each step."""
    return list(dead(loaded))


@pytest.fixture
def few_rows(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(**FEW)


def dead(loaded: Rig, target: TableSchema = CONTACTS) -> Iterator[Rig]:
    """A copy of the lake for each step up to the end of the rewrite at which a run can die, just after it died there.

    A reader finds each row once in each of them.
    """
    half_done = 0
    for burns_at in count(1):  # each step: half of them would miss a rewrite that is half done
        rig = copied(loaded, f"died-{burns_at}")
        fuse = Fuse(burns_at)
        plain, rig.store = rig.store, FusedWatermarks(rig.store, fuse)
        with pytest.raises(Killed):
            rig.sync(["contacts"], lake=FusedLake(rig.lake_url, fuse))
        rig.store = plain
        rows = [pq.read_table(file, partitioning=None) for file in published(rig)]
        ids = [each for found in rows for each in found.column("id").to_pylist()]
        assert len(ids) == len(set(ids)) >= 12
        begun, lake_table = state(rig).rewriting, rig.lake_table("contacts")
        done = [
            begun is not None and version_in(lake_table, month) == begun.version for month in lake_table.published()
        ]
        half_done += any(done) and not all(done)
        rewritten = state(rig).columns == target
        yield rig
        if rewritten:
            break  # the steps that follow are those of any run
    assert half_done


def copied(rig: Rig, name: str) -> Rig:
    """The same workspace and watermarks, and a copy of the lake that keeps the times of its files."""
    store = MemoryWatermarks()
    store.kept = dict(rig.store.kept)
    lake = Path(f"{rig.lake_url}-{name}")
    shutil.copytree(rig.lake_url, lake)
    return Rig(rig.server, str(lake), store=store)


def copies(died: list[Rig]) -> Iterator[Rig]:
    """Lakes to go on with: in `make test` of each third step, beginning with a random one."""
    stride = effort(3, 1)
    for rig in died[random.randrange(stride) :: stride]:
        copy = copied(rig, "goes-on")
        yield copy
        shutil.rmtree(copy.lake_folder)


def some(rigs: Iterable[Rig]) -> Iterator[Rig]:
    """Each second of the rigs in `make test`, all in `make soak`."""
    stride = effort(2, 1)
    begin = random.randrange(stride)
    return (rig for number, rig in enumerate(rigs) if number % stride == begin)


def published(rig: Rig) -> list[Path]:
    return sorted((rig.lake_folder / "data" / CONNECTION / "contacts").rglob("*.parquet"))


def test_a_rewrite_that_dies_at_any_step_is_finished_by_the_next_run(few_rows: Rig) -> None:
    with declared(contacts=EARLIER["all of it"]):
        few_rows.sync(["contacts"])
        change(few_rows)
        stage(few_rows, EARLIER["all of it"])  # and these rows are to be merged first
    change(few_rows)
    for rig in dead(few_rows):
        assert rig.sync(["contacts"])["contacts"][0].reason == "incremental"
        rig.check(["contacts"])


def test_texts_are_turned_into_json_once(few_rows: Rig) -> None:
    """Columns of the same Arrow type do not show which files are done; their versions do."""
    with declared(contacts=EARLIER["texts that are JSON"]):
        few_rows.sync(["contacts"])
    for rig in some(dead(few_rows)):
        rig.sync(["contacts"])
        rig.check(["contacts"])


def test_texts_were_json_and_are_turned_into_it_once(few_rows: Rig) -> None:
    few_rows.load(["contacts"])
    with declared(contacts=EARLIER["texts that are JSON"]):
        for rig in some(dead(few_rows, EARLIER["texts that are JSON"])):
            rig.sync(["contacts"])
            rig.check(["contacts"])


def test_a_rewrite_that_dies_may_be_followed_by_yet_another_declaration(died: list[Rig]) -> None:
    for rig in copies(died):
        with declared(contacts=EARLIER["more columns"]):
            assert rig.sync(["contacts"])["contacts"][0].reason == "incremental"
            rig.check(["contacts"])


def test_a_rewrite_that_dies_may_be_followed_by_the_old_version(died: list[Rig]) -> None:
    for rig in copies(died):
        with declared(contacts=EARLIER["all of it"]):
            assert rig.sync(["contacts"])["contacts"][0].reason == "incremental"
            rig.check(["contacts"])


def test_a_rewrite_that_dies_may_be_followed_by_damage(died: list[Rig]) -> None:
    for rig in copies(died):
        published(rig)[-1].unlink()
        assert rig.sync(["contacts"])["contacts"][0].watermark_before is None
        rig.check(["contacts"])
        assert rig.sync(["contacts"])["contacts"][0].reason == "incremental"


def test_a_rewrite_that_dies_may_be_followed_by_a_full_refresh(died: list[Rig]) -> None:
    for rig in copies(died):
        rig.sync(["contacts"], full_refresh=True)
        rig.check(["contacts"])
        assert rig.sync(["contacts"])["contacts"][0].reason == "incremental"


def test_a_full_refresh_after_a_rewrite_that_died_may_die_too(died: list[Rig]) -> None:
    """It has committed, and not merged: what the record says of half rewritten files has to be so."""
    for rig in copies(died):
        stage(rig, CONTACTS, full_refresh=True)
        results = rig.sync(["contacts"])
        rig.check(["contacts"])
        assert results["contacts"][0].reason == "incremental"


def test_what_is_rewritten_already_is_left_alone(died: list[Rig]) -> None:
    for rig in copies(died):
        lake_table, begun = rig.lake_table("contacts"), state(rig)
        if begun.rewriting is None:
            continue
        before = lake_table.published()
        done = {month for month in before if version_in(lake_table, month) == begun.rewriting.version}
        migrate_columns(TABLES["contacts"], lake_table, begun, rig.store)
        after = lake_table.published()
        assert {month for month in before if after[month] == before[month]} == done


# -- fields without a column --------------------------------------------------------------------------------------


def test_fields_without_a_column_are_named_once_and_are_no_warning(rig: Rig) -> None:
    contacts = rig.sync(["contacts"])["contacts"][0]
    assert contacts.hints == ("contacts: 2 fields have no column and are kept in _extra: beta_score, beta_signals",)
    assert contacts.notes == ()
    assert rig.sync(["tags"])["tags"][0].hints == ()


def test_many_and_long_names_are_cut_short(rig: Rig) -> None:
    for row in rig.workspace.rows("tags"):
        rig.workspace.update("tags", row["id"], **{f"{'n' * 60}{number}": "secret" for number in range(12)})
    rig.workspace.update("tags", row["id"], **{"a\nb": 1})
    (hint,) = rig.sync(["tags"])["tags"][0].hints
    assert hint.startswith("tags: 13 fields have no column and are kept in _extra: 'a\\nb', nnn")
    assert hint.endswith(", ...")
    assert len(hint) < 600
    assert "secret" not in hint
