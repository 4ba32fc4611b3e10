"""How a report reads: what runs do meanwhile, damaged files, columns that rules protect, tables that are not there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from intercom.compaction.policy import CompactionMode
from intercom.errors import ConfigurationError
from intercom.lake.storage import Lake
from intercom.report import reading
from intercom.report.conversations import conversations
from intercom.report.facts import LakeFacts, connection_in, read_facts
from intercom.report.overview import freshness, tiles
from intercom.report.page import sections
from intercom.report.people import people_and_articles
from intercom.report.reading import TRIES, Tally, scan
from intercom.report.tallies import Values
from intercom.tables.catalogue import TABLES
from tests.conftest import BUCKET
from tests.support.reported import MADE_AT
from tests.support.rig import CONNECTION, Rig, in_four_months


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A lake of its own, to be changed."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


class Meddling(Values):
    """Counts, and lets something happen at the first slice of a pass."""

    def __init__(self, happens: Callable[[], None]) -> None:
        super().__init__("role")
        self._happens = happens

    def add(self, rows: pa.Table, month: str) -> None:
        if not self.counts:
            self._happens()
        super().add(rows, month)


def told(facts: LakeFacts) -> str:
    """All sentences of the page."""
    return "\n".join(note for section in sections(facts) for note in section.notes)


@in_four_months
def test_a_table_that_changes_while_it_is_read_is_counted_anew(rig: Rig) -> None:
    rig.sync(["contacts"])
    files = sorted(rig.lake_folder.glob("data/*/contacts/*/data.parquet"))
    passes: list[Tally] = []

    def happens() -> None:
        if len(passes) == 1:
            files[-1].unlink()  # as a compaction does with a month that has no rows any more
        if len(passes) == 2:
            files[0].unlink()  # one that was read already

    def make() -> Sequence[Tally]:
        passes.append(Meddling(happens))
        return [passes[-1]]

    done, (counted,) = scan(TABLES["contacts"], rig.lake_table("contacts"), make)
    assert len(passes) == 3
    assert done.failure is None
    assert isinstance(counted, Values)
    assert 0 < counted.counts.total() == done.rows < len(rig.workspace.rows("contacts"))


def test_a_table_that_changes_at_each_try_is_not_told(rig: Rig) -> None:
    rig.sync(["contacts"])
    (first, *_) = sorted(rig.lake_folder.glob("data/*/contacts/*/data.parquet"))

    def happens() -> None:
        first.write_bytes(first.read_bytes())  # another time of change, so another version

    done, (counted,) = scan(TABLES["contacts"], rig.lake_table("contacts"), lambda: [Meddling(happens)])
    assert done.failure == f"runs changed it each of the {TRIES} times that it was read"
    assert isinstance(counted, Values)
    assert not counted.counts


def test_only_slices_of_the_columns_that_are_counted_are_in_memory(
    reported: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ROWS_AT_ONCE", 7)
    slices: list[pa.Table] = []

    class Keeping(Values):
        def add(self, rows: pa.Table, month: str) -> None:
            slices.append(rows)
            super().add(rows, month)

    done, _ = scan(TABLES["contacts"], reported.lake_table("contacts"), lambda: [Keeping("role")])
    assert sum(rows.num_rows for rows in slices) == done.rows == 290
    assert max(rows.num_rows for rows in slices) <= 7
    assert {tuple(rows.column_names) for rows in slices} == {("_ingested_at", "_deleted_at", "role")}


def test_a_damaged_file_is_told_and_stops_nothing(copy: Path) -> None:
    file = copy / "data" / CONNECTION / "tags" / "data.parquet"
    file.write_bytes(file.read_bytes()[:-40])
    facts = read_facts(Lake(str(copy)), CONNECTION, MADE_AT)
    assert facts.tables["tags"].scan.damaged
    assert "tags: its file is damaged, and only its rows before the damage are counted." in freshness(facts).notes
    assert facts.tables["contacts"].scan.rows == 290


def test_why_tables_have_failed_in_their_last_run_is_told_once_for_each_reason(folder: Path) -> None:
    facts = read_facts(Lake(str(folder)), CONNECTION, MADE_AT)
    assert not any("Failed in" in note for note in freshness(facts).notes)
    refused = {"last_status": "failed", "last_error": "GET /me: status 401.\nPut the present token into the block."}
    long = {"last_status": "failed", "last_error": "no answer " * 100}
    mended = {"last_status": "synced", "last_error": "an older one"}
    entries = {"contacts": refused, "tags": refused, "articles": long, "teams": mended}
    known = {name: {**entry, **entries.get(name, {})} for name, entry in facts.history.tables.items()}
    notes = freshness(replace(facts, history=replace(facts.history, tables=known))).notes
    told = [note for note in notes if note.startswith("Failed in the last run: ")]
    assert told[0].endswith(": contacts and tags. GET /me: status 401. Put the present token into the block.")
    assert told[1].startswith("Failed in the last run: articles. no answer")
    assert told[1].endswith("...")
    assert len(told[1]) < 350
    assert len(told) == 2


def test_tables_that_are_not_there_are_left_out_with_a_line_each(folder: Path, tmp_path: Path) -> None:
    for part in ("_state/lake.json", f"_state/{CONNECTION}/segments.json", f"data/{CONNECTION}/segments"):
        target = tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (folder / part).is_dir() else shutil.copy)(folder / part, target)
    facts = read_facts(Lake(str(tmp_path)), connection_in(Lake(str(tmp_path)), None), MADE_AT)
    assert list(facts.tables) == ["segments"]
    assert [figure for section in sections(facts) for figure in section.figures] == []
    for line in (
        "This lake does not have: contacts, companies, ",
        "conversations: not in this lake. Volume, times to reply and to close, and open conversations are left out.",
        "contacts: not in this lake. Their tags are left out.",
        "articles: not in this lake; left out.",
        "This lake has no summary of a run",
        "Verifications: no result is in this lake.",
    ):
        assert line in told(facts)
    shown = {tile.title: tile.value for tile in tiles(facts) if tile.title != "Up to date as of"}
    assert list(shown.values()) == ["6", "–", "–", "–", "–", "–", "0"]


def test_columns_that_rules_protect_are_left_out_and_never_shown(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=30, conversations=20, companies=0, articles=0)
    rig.options = {
        "columns": {
            "contacts": {"hash": ["location.country"], "exclude": ["role"]},
            "conversations": {
                "mask": ["team_assignee_id"],
                "exclude": ["tags.tags.name", "statistics.time_to_admin_reply"],
            },
            "teams": {"hash": ["name"]},
        },
        "hash_key": "a key of sixteen letters and more",
    }
    rig.sync(["contacts", "conversations", "teams", "tags"])
    facts = read_facts(rig.lake(), CONNECTION, MADE_AT)
    assert facts.tables["contacts"].scan.rows == 30
    assert [figure.title for figure in conversations(facts).figures] == [
        "Conversations by week",
        "Time to the first close, in hours",
    ]
    assert [figure.title for figure in people_and_articles(facts).figures] == ["Tags used most"]
    for line in (
        "contacts by country: left out, since the connection's rules hash or mask contacts.location_country.",
        "contacts by role: left out, since the connection's rules leave out contacts.role.",
        "Tags of conversations: left out, since the connection's rules leave out conversations.tag_names.",
        "Time to the first reply: left out, since the connection's rules leave out "
        "conversations.statistics_time_to_admin_reply.",
        "Open conversations by team: left out, since",
        "contacts: location.country (hash), role (exclude)",
    ):
        assert line in told(facts)


def test_rows_that_wait_to_be_merged_are_told_and_in_no_other_number(rig: Rig) -> None:
    rig.sync(["contacts"], when=CompactionMode.NEVER)
    facts = read_facts(rig.lake(), CONNECTION, MADE_AT)
    waiting = len(rig.workspace.rows("contacts"))
    assert (facts.tables["contacts"].waiting, facts.tables["contacts"].scan.rows) == (waiting, 0)
    section = freshness(facts)
    assert section.listings[0].numbers.headings[-1] == "not merged yet"
    assert section.listings[0].numbers.rows[0][-1] == str(waiting)
    assert "Staged rows that are not merged yet are in no other number of this page." in section.notes


def test_of_one_protected_column_of_two_the_other_is_shown(facts: LakeFacts) -> None:
    contacts = facts.tables["contacts"]
    for column, title in (("role", "Contacts by role"), ("location_country", "Contacts by country")):
        values = Values(column)
        values.counts.update({("x",): 3, (None,): 2})
        alone = replace(facts, tables={"contacts": replace(contacts, tallies={"people": values})})
        (figure,) = people_and_articles(alone).figures
        assert figure.title == title
        assert [row[-1] for row in figure.numbers.rows] == ["3", "2"]


def test_a_lake_in_an_object_store_is_the_same(folder: Path, facts: LakeFacts, s3_storage: dict[str, Any]) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=s3_storage["endpoint_url"])
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and re.match(rf"data/{CONNECTION}/(articles|tags)/|_state/|_rejected/", name):
            client.put_object(Bucket=BUCKET, Key=f"crm/{name}", Body=path.read_bytes())
    client.close()
    lake = Lake(f"s3://{BUCKET}/crm", s3_storage)
    found = read_facts(lake, connection_in(lake, None), MADE_AT)
    assert found.history == facts.history
    for name in ("articles", "tags"):
        here, there = found.tables[name], facts.tables[name]
        assert (here.scan, here.rejected, here.freshness.by_month) == (
            there.scan,
            there.rejected,
            there.freshness.by_month,
        )
    assert people_and_articles(found).figures[-1] == people_and_articles(facts).figures[-1]


def test_of_several_connections_one_has_to_be_named(copy: Path) -> None:
    lake = Lake(str(copy))
    assert connection_in(lake, None) == CONNECTION
    for folder in ("data", "_state"):
        shutil.copytree(copy / folder / CONNECTION, copy / folder / "b%2Fc")
    with pytest.raises(ConfigurationError, match=r"several connections: acme, b/c\. Name one with --connection"):
        connection_in(lake, None)
    assert connection_in(lake, "b/c") == "b/c"
    with pytest.raises(ConfigurationError, match="no table of connection 'nobody'"):
        connection_in(lake, "nobody")


def test_a_folder_without_a_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no table: nothing was synced"):
        connection_in(Lake(str(tmp_path)), None)
