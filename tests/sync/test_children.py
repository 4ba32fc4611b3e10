"""A child table in the lake, run after run: what is removed, what stays, and what is not asked for again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from intercom.compaction.compact import Compacted
from intercom.compaction.policy import CompactionMode
from intercom.errors import PermissionDeniedError, RequestRejectedError
from intercom.extract import children
from intercom.sync.ingested import Ingested
from intercom.sync.removals import count_read
from intercom.tables.catalogue import TABLES
from tests.conftest import NOW
from tests.support.fuses import Fuse, FusedLake, Killed
from tests.support.rig import IN_SLICES, Rig

PARTS = "conversation_parts"
DAY = 86_400


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    nothing = dict.fromkeys(("contacts", "companies", "articles", "tags"), 0)
    return make_rig(**nothing, conversations=12, conversation_parts=40, history_days=32)


def sync(rig: Rig, table: str = PARTS, **options: Any) -> tuple[Ingested, Compacted]:
    return rig.sync([table], **options)[table]


def asked(rig: Rig) -> list[str]:
    """The conversations whose parts were asked for since the last look."""
    paths = [request.path for request in rig.server.requests() if request.method == "GET"]
    rig.server.clear_log()
    return sorted(path.removeprefix("/conversations/") for path in paths if path.startswith("/conversations/"))


def keys(rig: Rig, conversation: str) -> set[str]:
    """The parts of a conversation that the lake has."""
    rows = rig.rows(PARTS).to_pylist()
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"] for row in rows if row["conversation_id"] == conversation}


def parts_of(rig: Rig, conversation: str) -> list[str]:
    return [part.key for part in rig.workspace.children[PARTS].of(conversation)]


def with_parts(rig: Rig, at_least: int = 3) -> str:
    return next(one.key for one in rig.workspace.tables["conversations"] if len(parts_of(rig, one.key)) >= at_least)


def append(rig: Rig, conversation: str, number: int) -> list[str]:
    """So many more parts, a second after the other."""
    made = []
    for _ in range(number):
        rig.workspace.travel(1)
        made.append(rig.workspace.create(PARTS, conversation_id=conversation)["id"])
    return made


def test_three_increments_on_one_day_are_exact(rig: Rig) -> None:
    ingested, compacted = sync(rig)
    assert (ingested.rows, compacted.new) == (40, 40)
    rig.check([PARTS])
    some = [one.key for one in rig.workspace.tables["conversations"]]
    for increment in range(3):
        rig.workspace.travel(3_000)
        append(rig, some[increment], 2)
        rig.workspace.update(PARTS, parts_of(rig, some[increment])[0], body=None, redacted=True)
        rig.workspace.delete(PARTS, parts_of(rig, with_parts(rig))[1])
        _, compacted = sync(rig)
        assert (compacted.new, compacted.removed) == (2, 1)
        rig.check([PARTS])


def test_parts_out_of_reach_stay_while_the_newest_500_are_read_again(rig: Rig) -> None:
    conversation = rig.workspace.create("conversations", statistics={"count_conversation_parts": 0})["id"]
    first = append(rig, conversation, 480)
    rig.sync([PARTS])
    rig.workspace.travel(7_200)
    later = append(rig, conversation, 140)
    gone = later[3]
    rig.workspace.delete(PARTS, gone)
    ingested, _ = sync(rig)
    assert keys(rig, conversation) == {*first, *later} - {gone}
    (hint,) = [hint for hint in ingested.hints if "500" in hint]
    assert "1 of the conversations" in hint
    rig.workspace.travel(7_200)
    newest = later[-1]
    rig.workspace.delete(PARTS, newest)
    sync(rig)
    assert keys(rig, conversation) == {*first, *later} - {gone, newest}


def test_a_part_that_is_redacted_or_deleted_leaves_the_lake(rig: Rig) -> None:
    rig.load([PARTS])
    conversation = with_parts(rig)
    redacted, deleted, *_ = parts_of(rig, conversation)
    rig.workspace.travel(7_200)
    rig.workspace.update(PARTS, redacted, body=None, redacted=True)
    rig.workspace.delete(PARTS, deleted)
    _, compacted = sync(rig)
    assert (compacted.changed, compacted.removed) == (1, 1)
    rig.check([PARTS])
    for part in parts_of(rig, conversation):
        rig.workspace.delete(PARTS, part)
    _, compacted = sync(rig)
    assert keys(rig, conversation) == set()
    rig.check([PARTS])


def test_the_parts_of_a_conversation_move_with_its_month(rig: Rig) -> None:
    rig.load([PARTS])
    conversation = with_parts(rig)
    rig.workspace.travel(7_200)
    rig.workspace.delete(PARTS, parts_of(rig, conversation)[0])
    for month in (-70 * DAY, 200 * DAY):
        rig.workspace.travel(7_200)
        rig.workspace.update("conversations", conversation, created_at=NOW + month)
        sync(rig)
        rig.check([PARTS])


@pytest.mark.parametrize("full_refresh", [False, True])
def test_that_a_conversation_is_gone_is_not_believed_of_one_answer(rig: Rig, full_refresh: bool) -> None:
    """Else new parts would be missing until it changes again, and a full refresh would remove all of its parts."""
    rig.load([PARTS])
    conversation = with_parts(rig)
    rig.workspace.travel(7_200)
    append(rig, conversation, 1)
    rig.server.fail(f"/conversations/{conversation}", "status", status=404)
    sync(rig, full_refresh=full_refresh)
    rig.check([PARTS])


def test_a_conversation_that_has_gone_meanwhile_is_skipped_and_its_parts_stay(rig: Rig) -> None:
    rig.load([PARTS])
    conversation, before = with_parts(rig), rig.rows(PARTS).num_rows
    rig.workspace.travel(7_200)
    append(rig, conversation, 1)
    rig.server.fail(f"/conversations/{conversation}", "status", status=404, times=2)
    ingested, compacted = sync(rig)
    assert (compacted.removed, rig.rows(PARTS).num_rows) == (0, before)
    assert ingested.watermark_after == rig.workspace.tables["conversations"][conversation].updated_at
    assert any("1 of the conversations had gone" in hint for hint in ingested.hints)


def test_within_the_lookback_nothing_is_asked_again_that_is_as_it_was(rig: Rig) -> None:
    some = [one.key for one in rig.workspace.tables["conversations"]][:3]
    for conversation in some:
        append(rig, conversation, 1)
    rig.workspace.travel(1)
    rig.sync([PARTS])
    assert len(asked(rig)) == 12
    rig.workspace.travel(60)
    ingested, compacted = sync(rig)
    assert (asked(rig), ingested.rows, compacted.files) == ([], 0, 0)
    append(rig, some[1], 1)
    sync(rig)
    assert asked(rig) == [some[1]]
    rig.check([PARTS])


def test_a_conversation_that_changes_while_it_is_read_is_asked_again_though_it_looks_the_same(rig: Rig) -> None:
    rig.load([PARTS])
    conversation = with_parts(rig)
    rig.workspace.travel(7_200)
    rig.workspace.update("conversations", conversation, updated_at=rig.workspace.now() + 5)
    sync(rig)
    # In the second of its updated_at, but after its parts were asked for.
    rig.workspace.update(PARTS, parts_of(rig, conversation)[0], touch=False, body=None, redacted=True)
    rig.workspace.travel(60)
    sync(rig)
    rig.check([PARTS])
    asked(rig)
    sync(rig)
    assert asked(rig) == []


def test_the_parts_follow_a_month_that_changes_alone(rig: Rig) -> None:
    conversation = with_parts(rig)
    rig.workspace.update("conversations", conversation, updated_at=NOW - 60)
    rig.workspace.travel(7_200)
    rig.sync([PARTS])
    rig.workspace.update("conversations", conversation, touch=False, created_at=NOW - 100 * DAY)
    sync(rig)
    rig.check([PARTS])


@pytest.mark.parametrize("again", ["full refresh", "damaged"])
def test_a_full_refresh_and_a_repair_ask_for_everything(rig: Rig, again: str) -> None:
    rig.load([PARTS])
    asked(rig)
    if again == "damaged":
        next(path for path in rig.lake_folder.glob(f"data/*/{PARTS}/*/*.parquet")).unlink()
    ingested, _ = sync(rig, full_refresh=again == "full refresh")
    assert len(set(asked(rig))) == 12
    assert ingested.complete
    rig.check([PARTS])


def test_a_full_refresh_removes_the_parts_of_conversations_that_are_gone(rig: Rig) -> None:
    rig.load([PARTS])
    rig.workspace.delete("conversations", with_parts(rig))
    sync(rig)
    assert rig.rows(PARTS).num_rows == 40
    _, compacted = sync(rig, full_refresh=True)
    assert compacted.removed > 0
    rig.check([PARTS])


def test_bodies_come_without_html_if_that_is_asked_for(rig: Rig) -> None:
    rig.load([PARTS])
    conversation = with_parts(rig)
    rig.workspace.travel(7_200)
    part = rig.workspace.create(PARTS, conversation_id=conversation, body="<p>Hello</p>")["id"]
    sync(rig, plain_text=True)
    bodies = {row["id"]: row["body"] for row in rig.rows(PARTS).to_pylist()}
    assert bodies[part] == "Hello"
    assert any("<p" in (body or "") for body in bodies.values())
    sync(rig, plain_text=True, full_refresh=True)
    assert not any("<p" in (row["body"] or "") for row in rig.rows(PARTS).to_pylist())


def test_a_full_refresh_keeps_parts_that_are_out_of_reach_and_removes_those_of_conversations_that_are_gone(
    rig: Rig,
) -> None:
    conversation = rig.workspace.create("conversations", statistics={"count_conversation_parts": 0})["id"]
    first = append(rig, conversation, 499)
    rig.sync([PARTS])
    rig.workspace.travel(7_200)
    later = append(rig, conversation, 3)
    other = with_parts(rig)
    rig.workspace.delete(PARTS, parts_of(rig, other)[0])
    gone = next(one for one in rig.workspace.tables["conversations"] if one.key not in (conversation, other)).key
    rig.workspace.delete("conversations", gone)
    rig.workspace.travel(1)
    ingested, _ = sync(rig, full_refresh=True)
    assert keys(rig, conversation) == {*first, *later}
    assert keys(rig, other) == set(parts_of(rig, other))
    assert (keys(rig, gone), ingested.notes) == (set(), ())
    asked(rig)
    ingested, _ = sync(rig)
    assert ingested.watermark_before == ingested.watermark_after
    assert len(asked(rig)) <= 1


def test_a_conversation_that_is_refused_fails_the_table_and_the_next_run_has_all(rig: Rig) -> None:
    rig.load([PARTS])
    conversation = with_parts(rig)
    rig.workspace.travel(7_200)
    append(rig, conversation, 1)
    rig.server.fail(f"/conversations/{conversation}", "status", status=403, times=100)
    with pytest.raises(PermissionDeniedError):
        sync(rig)
    rig.server.clear_faults()
    rig.workspace.travel(7_200)
    append(rig, next(one.key for one in rig.workspace.tables["conversations"] if one.key != conversation), 1)
    sync(rig)
    rig.check([PARTS])


def test_short_answers_are_told_and_the_watermark_waits(rig: Rig) -> None:
    rig.load([PARTS])
    conversation = with_parts(rig)
    rig.workspace.travel(7_200)
    (new,) = append(rig, conversation, 1)
    short = {"conversation_parts": {"conversation_parts": [], "total_count": 9}}
    rig.server.fail(f"/conversations/{conversation}", "status", status=200, body=short, times=2)
    ingested, compacted = sync(rig)
    assert (ingested.complete, compacted.removed) == (False, 0)
    assert ingested.watermark_after == ingested.watermark_before
    assert any("1 of the conversations" in note for note in ingested.notes)
    sync(rig)
    assert new in keys(rig, conversation)
    rig.check([PARTS])


def test_a_child_that_cannot_be_a_row_leaves_its_stored_version(rig: Rig) -> None:
    rig.load([PARTS])
    conversation = with_parts(rig)
    rig.workspace.travel(7_200)
    append(rig, conversation, 1)
    parts = [json.loads(part.body) for part in rig.workspace.children[PARTS].of(conversation)]
    odd = {**parts[0], "id": None}
    body = {"conversation_parts": {"conversation_parts": [odd, *parts[1:]], "total_count": len(parts)}}
    rig.server.fail(f"/conversations/{conversation}", "status", status=200, body=body, times=2)
    ingested, compacted = sync(rig)
    assert (ingested.rejected, compacted.removed) == (1, 0)
    assert keys(rig, conversation) == set(parts_of(rig, conversation))


@pytest.mark.parametrize("step", range(1, 5))
def test_a_run_that_is_killed_and_run_again_is_exact(rig: Rig, step: int) -> None:
    rig.load([PARTS])
    conversation = with_parts(rig)
    rig.workspace.travel(7_200)
    append(rig, conversation, 1)
    rig.workspace.delete(PARTS, parts_of(rig, conversation)[0])
    with pytest.raises(Killed):
        sync(rig, lake=FusedLake(rig.lake_url, Fuse(step)), run_id="again")
    sync(rig, run_id="again")
    rig.check([PARTS])


def test_a_try_in_slices_goes_on_where_the_one_before_was_killed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "WAITING_PARENTS", 0)
    rig = replace(rig, limits=replace(IN_SLICES, smallest_slice=4, between_checkpoints=1), in_flight=1)
    # How far a try gets in each slice depends on threads: until one slice is finished it is tried again.
    while not any(path.endswith("done.json") for path in rig.lake().list("_staging")):
        asked(rig)
        rig.server.fail(None, "status", status=400, after=12, where=lambda request: request.method == "GET")
        with pytest.raises(RequestRejectedError):
            sync(rig, run_id="again")
        rig.server.clear_faults()
    first = asked(rig)
    ingested, _ = sync(rig, run_id="again")
    second = asked(rig)
    assert ingested.rows >= 40  # those of slices that were not finished are read again
    assert 0 < len(set(second)) < 12
    assert set(first) | set(second) == {one.key for one in rig.workspace.tables["conversations"]}
    rig.check([PARTS])


def test_marks_that_wait_to_be_merged_are_no_rows(rig: Rig) -> None:
    ingested, compacted = sync(rig, when=CompactionMode.NEVER)
    assert (ingested.rows, compacted.waiting) == (40, 40)
    lake_table = rig.lake_table(PARTS)
    state = lake_table.state()
    assert state is not None
    assert count_read(TABLES[PARTS], lake_table, [(run.attempt, run.parts) for run in state.staged]) == 40
    rig.workspace.delete("conversations", with_parts(rig))
    sync(rig, full_refresh=True)
    rig.check([PARTS])


def test_segments_of_companies_follow_each_company(make_rig: Callable[..., Rig]) -> None:
    nothing = dict.fromkeys(("contacts", "conversations", "articles", "tags"), 0)
    rig = make_rig(**nothing, companies=6, company_segments=14)
    table = "company_segments"
    sync(rig, table)
    rig.check([table])
    rig.workspace.travel(7_200)
    rig.workspace.delete(table, next(iter(rig.workspace.tables[table])).key)
    rig.server.clear_log()
    _, compacted = sync(rig, table)
    assert compacted.removed == 1
    rig.check([table])
    assert len(rig.server.requests(None)) < 6 + 4
    company = rig.workspace.children[table].parent(next(iter(rig.workspace.tables[table])).key)
    rig.workspace.delete("companies", company)
    sync(rig, table, full_refresh=True, allow_mass_removal=True)
    rig.check([table])
