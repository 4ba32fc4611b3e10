"""Conversations that give no usable answer, run after run: the others are copied, and none is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from intercom.compaction.compact import Compacted
from intercom.compaction.policy import CompactionMode
from intercom.errors import RequestRejectedError, RetriableApiError
from intercom.extract import children
from intercom.lake.state import TableState
from intercom.lake.state_json import state_from_json, state_to_json
from intercom.sync.ingested import Ingested
from intercom.sync.owed import notes_on_owed, still_owed
from intercom.tables.conversation_parts import CONVERSATION_PARTS
from intercom.tables.owed import OwedParent
from tests.support.fuses import Fuse, FusedLake, Killed
from tests.support.rig import IN_SLICES, Rig

PARTS = "conversation_parts"
DAY = 86_400
FOR_EVER = 100_000


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    nothing = dict.fromkeys(("contacts", "companies", "articles", "tags"), 0)
    return make_rig(**nothing, conversations=12, conversation_parts=40, history_days=32)


def sync(rig: Rig, table: str = PARTS, **options: Any) -> tuple[Ingested, Compacted]:
    return rig.sync([table], **options)[table]


def recorded(rig: Rig, table: str = PARTS) -> TableState:
    state = rig.lake_table(table).state()
    assert state is not None
    return state


def owed(rig: Rig, table: str = PARTS) -> list[str]:
    return [one.key for one in recorded(rig, table).owed]


def parts_of(rig: Rig, conversation: str) -> list[str]:
    return [part.key for part in rig.workspace.children[PARTS].of(conversation)]


def keys(rig: Rig, conversation: str) -> set[str]:
    return {row["id"] for row in rig.rows(PARTS).to_pylist() if row["conversation_id"] == conversation}


def asked(rig: Rig, conversation: str) -> int:
    """How often a conversation was asked for since the last look."""
    paths = [request.path for request in rig.server.requests()]
    rig.server.clear_log()
    return paths.count(f"/conversations/{conversation}")


def two_with_parts(rig: Rig) -> tuple[str, str]:
    found = [one.key for one in rig.workspace.tables["conversations"] if len(parts_of(rig, one.key)) >= 3]
    return found[0], found[1]


def break_and_change(rig: Rig, conversation: str) -> None:
    """The conversation changes, an hour and more after the last run, and is never answered again."""
    rig.workspace.travel(7_200)
    rig.workspace.create(PARTS, conversation_id=conversation)
    rig.workspace.delete(PARTS, parts_of(rig, conversation)[0])
    rig.server.fail(f"/conversations/{conversation}", "status", status=500, times=FOR_EVER)


def with_one_owed(rig: Rig) -> str:
    """A lake that is exact but for one conversation, which is owed, and has changed long before the watermark."""
    sync(rig)
    conversation, other = two_with_parts(rig)
    break_and_change(rig, conversation)
    rig.workspace.travel(7_200)
    rig.workspace.create(PARTS, conversation_id=other)
    sync(rig)
    rig.workspace.travel(2 * DAY)
    assert owed(rig) == [conversation]
    return conversation


def test_a_conversation_that_always_fails_is_owed_until_it_answers(rig: Rig) -> None:
    rig.load([PARTS])
    conversation, other = two_with_parts(rig)
    before = keys(rig, conversation)
    break_and_change(rig, conversation)
    rig.workspace.travel(7_200)
    rig.workspace.create(PARTS, conversation_id=other)
    since = rig.workspace.now()
    asked(rig, conversation)
    ingested, _ = sync(rig)
    assert ingested.complete
    assert ingested.watermark_after == rig.workspace.tables["conversations"][other].updated_at
    assert (keys(rig, conversation), keys(rig, other)) == (before, set(parts_of(rig, other)))
    assert asked(rig, conversation) == 7

    for _ in range(2):
        rig.workspace.travel(DAY)
        ingested, compacted = sync(rig)
        (note,) = ingested.notes
        assert "1 of the conversations" in note
        assert f"(id {conversation})" in note
        assert f"since {datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M}" in note
        assert (asked(rig, conversation), compacted.files) == (1, 0)

    rig.server.clear_faults()
    ingested, _ = sync(rig)
    rig.check([PARTS])
    assert (ingested.notes, owed(rig), asked(rig, conversation)) == ((), [], 2)  # a part is gone, as two answers say
    sync(rig)
    assert asked(rig, conversation) == 0


def test_an_owed_conversation_that_is_gone_is_not_owed_and_its_parts_stay(rig: Rig) -> None:
    conversation = with_one_owed(rig)
    before = keys(rig, conversation)
    rig.server.clear_faults()
    rig.workspace.delete("conversations", conversation)
    ingested, _ = sync(rig)
    assert (ingested.notes, owed(rig), keys(rig, conversation)) == ((), [], before)


def test_a_newer_version_that_is_read_settles_what_is_owed(rig: Rig) -> None:
    conversation = with_one_owed(rig)
    created_at = rig.workspace.tables["conversations"][conversation].created_at
    assert isinstance(created_at, int)
    rig.server.clear_faults()
    rig.workspace.update("conversations", conversation, created_at=created_at - 70 * DAY)
    asked(rig, conversation)
    sync(rig)
    assert (owed(rig), asked(rig, conversation)) == ([], 2)
    rig.check([PARTS])


def test_a_newer_version_that_fails_takes_the_place_of_the_owed_one(rig: Rig) -> None:
    conversation = with_one_owed(rig)
    (first,) = recorded(rig).owed
    rig.workspace.create(PARTS, conversation_id=conversation)
    asked(rig, conversation)
    sync(rig)
    (second,) = recorded(rig).owed
    assert (first.at != second.at, first.since, asked(rig, conversation)) == (True, second.since, 1)
    rig.server.clear_faults()
    rig.workspace.travel(DAY)
    sync(rig)
    rig.check([PARTS])


def test_a_table_fails_if_many_conversations_do_and_what_is_owed_stays_recorded(rig: Rig) -> None:
    conversation = with_one_owed(rig)
    before = recorded(rig).watermark
    for one in rig.workspace.tables["conversations"]:
        if one.key != conversation:
            rig.workspace.create(PARTS, conversation_id=one.key)
            rig.server.fail(f"/conversations/{one.key}", "status", status=503, times=FOR_EVER)
    with pytest.raises(RetriableApiError, match="too many to go on"):
        sync(rig)
    assert (owed(rig), recorded(rig).watermark) == ([conversation], before)
    rig.server.clear_faults()
    sync(rig)
    rig.check([PARTS])


@pytest.mark.parametrize("permitted", [False, True])
def test_a_full_refresh_keeps_the_parts_of_an_owed_conversation(rig: Rig, permitted: bool) -> None:
    conversation = with_one_owed(rig)
    before = keys(rig, conversation)
    gone = two_with_parts(rig)[1]
    rig.workspace.delete("conversations", gone)
    ingested, _ = sync(rig, full_refresh=True, allow_mass_removal=permitted)
    assert keys(rig, conversation) == before
    assert (ingested.complete, owed(rig)) == (True, [conversation])
    assert any("nothing was removed" in note for note in ingested.notes)
    rig.server.clear_faults()
    sync(rig, full_refresh=True)
    rig.check([PARTS])
    assert owed(rig) == []


def test_what_a_first_load_owes_is_read_later(rig: Rig) -> None:
    conversation, _ = two_with_parts(rig)
    rig.server.fail(f"/conversations/{conversation}", "status", status=500, times=FOR_EVER)
    sync(rig)
    assert (owed(rig), keys(rig, conversation)) == ([conversation], set())
    rig.server.clear_faults()
    rig.workspace.travel(2 * DAY)
    sync(rig)
    rig.check([PARTS])


def test_what_a_backfill_owes_is_read_by_the_next_run_and_backfills_ask_for_what_is_owed(rig: Rig) -> None:
    conversation, other = two_with_parts(rig)
    for one in (conversation, other):
        rig.server.fail(f"/conversations/{one}", "status", status=500, times=FOR_EVER)
    rig.workspace.travel(2 * DAY)
    sync(rig, until=rig.workspace.now() - DAY)
    assert set(owed(rig)) == {conversation, other}
    rig.server.clear_faults()
    rig.server.fail(f"/conversations/{other}", "status", status=500, times=FOR_EVER)
    sync(rig, history_from=rig.workspace.now() - 2 * 3_600, until=rig.workspace.now() - 3_600)
    assert (owed(rig), keys(rig, conversation)) == ([other], set(parts_of(rig, conversation)))
    rig.server.clear_faults()
    sync(rig)
    assert owed(rig) == []
    rig.check([PARTS])


def test_slices_of_an_earlier_try_do_not_forget_what_they_owe(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "WAITING_PARENTS", 0)
    rig = replace(rig, limits=replace(IN_SLICES, smallest_slice=4, between_checkpoints=1), in_flight=1)
    conversation, _ = two_with_parts(rig)
    rig.server.fail(f"/conversations/{conversation}", "status", status=500, times=FOR_EVER)
    while not any(path.endswith("done.json") for path in rig.lake().list("_staging")):
        refused = rig.server.fail(
            None, "status", status=400, after=6,
            where=lambda request: request.method == "GET" and request.path != f"/conversations/{conversation}",
        )  # fmt: skip
        with pytest.raises(RequestRejectedError):
            sync(rig, run_id="again")
        assert refused.hits == 1
    asked(rig, conversation)
    sync(rig, run_id="again")
    assert owed(rig) == [conversation]
    rig.server.clear_faults()
    rig.workspace.travel(2 * DAY)
    sync(rig)
    rig.check([PARTS])


@pytest.mark.parametrize("run_id", ["first", "second"])
def test_a_run_that_dies_anywhere_leaves_it_owed_or_read(rig: Rig, run_id: str) -> None:
    conversation = with_one_owed(rig)
    rig.server.clear_faults()
    for step in range(1, 12):
        rig.workspace.travel(DAY)
        with suppress(Killed):
            sync(rig, lake=FusedLake(rig.lake_url, Fuse(step)), run_id="first")
        assert (
            conversation in owed(rig)
            or recorded(rig).staged
            or keys(rig, conversation) == set(parts_of(rig, conversation))
        )
    sync(rig, run_id=run_id)
    rig.check([PARTS])


def test_what_is_owed_is_read_also_while_rows_wait_to_be_merged(rig: Rig) -> None:
    rig.load([PARTS])
    conversation, _ = two_with_parts(rig)
    break_and_change(rig, conversation)
    sync(rig, when=CompactionMode.NEVER)
    rig.workspace.travel(DAY)
    sync(rig, when=CompactionMode.NEVER)
    rig.server.clear_faults()
    sync(rig, when=CompactionMode.NEVER)
    assert owed(rig) == []
    sync(rig)
    rig.check([PARTS])


def test_an_answer_that_is_short_does_not_settle_what_is_owed(rig: Rig) -> None:
    conversation = with_one_owed(rig)
    rig.server.clear_faults()
    short = {"conversation_parts": {"conversation_parts": [], "total_count": 9}}
    rig.server.fail(f"/conversations/{conversation}", "status", status=200, body=short, times=2)
    ingested, _ = sync(rig)
    assert (ingested.complete, owed(rig)) == (True, [conversation])
    sync(rig)
    assert owed(rig) == []
    rig.check([PARTS])


def test_a_damaged_lake_is_read_anew_with_what_is_owed(rig: Rig) -> None:
    conversation = with_one_owed(rig)
    next(path for path in rig.lake_folder.glob(f"data/*/{PARTS}/*/*.parquet")).unlink()
    sync(rig)
    assert owed(rig) == [conversation]
    rig.server.clear_faults()
    rig.workspace.travel(DAY)
    sync(rig)
    rig.check([PARTS])


def test_a_record_of_before_owes_nothing(rig: Rig) -> None:
    rig.load([PARTS])
    record = state_to_json(recorded(rig))
    del record["owed"]
    assert state_from_json(json.loads(json.dumps(record))).owed == ()


def test_items_of_a_newsfeed_without_an_answer_stay(make_rig: Callable[..., Rig]) -> None:
    nothing = dict.fromkeys(("contacts", "conversations", "articles", "companies"), 0)
    rig, table = make_rig(**nothing, newsfeeds=2, newsfeed_items=8), "newsfeed_items"
    sync(rig, table)
    rig.check([table])
    one, other = (feed.key for feed in rig.workspace.tables["newsfeeds"])
    for feed in (one, other):
        rig.workspace.delete(table, rig.workspace.children[table].of(feed)[0].key)
    rig.server.fail(f"/news/newsfeeds/{one}/items", "status", status=500, times=FOR_EVER)
    before = rig.rows(table).num_rows
    for _ in range(2):
        ingested, _ = sync(rig, table)
        assert (rig.rows(table).num_rows, owed(rig, table)) == (before, [one])
        assert any("nothing was removed" in note for note in ingested.notes)
    rig.server.clear_faults()
    rig.server.fail(f"/news/newsfeeds/{one}/items", "status", status=500, times=FOR_EVER, after=1)
    sync(rig, table)  # one try finds what is gone, and the second read of it fails
    assert (rig.rows(table).num_rows, owed(rig, table)) == (before, [one])
    rig.server.clear_faults()
    sync(rig, table)
    assert owed(rig, table) == []
    rig.check([table])


def test_segments_of_a_company_without_an_answer_are_owed(make_rig: Callable[..., Rig]) -> None:
    nothing = dict.fromkeys(("contacts", "conversations", "articles", "tags"), 0)
    rig, table = make_rig(**nothing, companies=6, company_segments=14), "company_segments"
    company = next(iter(rig.workspace.tables["companies"])).key
    rig.server.fail(f"/companies/{company}/segments", "status", status=500, times=FOR_EVER)
    sync(rig, table)
    assert owed(rig, table) == [company]
    rig.server.clear_faults()
    rig.workspace.travel(2 * DAY)
    sync(rig, table)
    assert owed(rig, table) == []
    rig.check([table])


# -- the list ---------------------------------------------------------------------------------------------------------


def one(key: str, at: int = 1, since: int = 5) -> OwedParent:
    return OwedParent(key, {"conversation_id": f'"{key}"'}, None, at, "ab", since)


@pytest.mark.parametrize(
    ("saved", "known", "found", "replaced", "after"),
    [
        ([one("a")], [one("a")], {}, False, [one("a")]),
        ([one("a")], [one("a")], {"a": None}, False, []),
        ([one("a")], [one("a")], {"a": one("a", at=2)}, False, [one("a", at=2)]),
        ([one("a")], [one("a")], {"b": one("b")}, True, [one("b")]),
        # Another run has added these meanwhile, or asked for a newer version.
        ([one("a"), one("b")], [one("a")], {"a": None, "b": None}, True, [one("b")]),
        ([one("a", at=2)], [one("a")], {"a": None}, False, [one("a", at=2)]),
    ],
)
def test_what_is_owed_after_a_run(
    saved: list[OwedParent],
    known: list[OwedParent],
    found: dict[str, OwedParent | None],
    replaced: bool,
    after: list[OwedParent],
) -> None:
    assert still_owed(saved, known, found, replaced=replaced) == tuple(after)


def test_the_note_names_the_one_that_is_owed_for_longest() -> None:
    assert list(notes_on_owed(CONVERSATION_PARTS, [])) == []
    (note,) = notes_on_owed(CONVERSATION_PARTS, [one("a", since=90), one("b", since=60), one("c", since=75)])
    assert note.startswith(
        "conversation_parts: 3 of the conversations gave no usable answer, since 1970-01-01 00:01:00 UTC (id b)."
    )
