"""Parts of conversations that are deleted, in whole runs: they leave the lake, wherever their conversation is now."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.parquet as pq
import pytest

from intercom.compaction.compact import Compacted
from intercom.compaction.policy import CompactionMode
from tests.support.rig import Rig, in_both_formats

PARTS = "conversation_parts"
DAY = 86_400


@in_both_formats
def test_parts_that_are_deleted_leave_the_lake_also_if_their_conversation_moves(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(conversations=6)
    conversations = [row["id"] for row in rig.workspace.rows("conversations")]
    for number in range(30):
        rig.workspace.create(
            PARTS, conversation_id=conversations[number % 5], created_at=rig.workspace.now() - 5_000 + number
        )
    rig.workspace.travel(7_200)
    assert counts(synced(rig)) == (30, 0, 0, 30)
    assert synced(rig).files == 0

    rig.workspace.travel(7_200)
    rig.workspace.delete(PARTS, parts_of(rig, conversations[0])[0])
    assert counts(synced(rig)) == (0, 0, 1, 29)

    rig.workspace.travel(7_200)
    moved = conversations[1]
    created_at = next(row["created_at"] for row in rig.workspace.rows("conversations") if row["id"] == moved)
    rig.workspace.delete(PARTS, parts_of(rig, moved)[0])
    rig.workspace.update("conversations", moved, created_at=created_at - 70 * DAY)
    assert counts(synced(rig)) == (0, 5, 1, 28)

    for part in parts_of(rig, moved):
        rig.workspace.delete(PARTS, part)
    assert counts(synced(rig)) == (0, 0, 5, 23)


@pytest.mark.parametrize("waits", [False, True], ids=["merged", "waiting"])
@in_both_formats
def test_a_full_refresh_keeps_older_parts_than_intercom_gives_and_removes_those_that_are_gone(
    make_rig: Callable[..., Rig], waits: bool
) -> None:
    rig = make_rig(conversations=3, history_days=5)
    long, short, none = (row["id"] for row in rig.workspace.rows("conversations"))
    rig.workspace.update("conversations", none, statistics={"count_conversation_parts": 0})
    second = iter(range(rig.workspace.now() - 3_000, rig.workspace.now()))

    def say(conversation: str, parts: int) -> None:
        for _ in range(parts):
            rig.workspace.create(PARTS, conversation_id=conversation, created_at=next(second))
        rig.workspace.travel(7_200)

    say(short, 5)
    say(long, 480)
    rig.sync([PARTS], when=CompactionMode.NEVER if waits else CompactionMode.ALWAYS)
    say(long, 140)
    rig.workspace.delete(PARTS, parts_of(rig, short)[0])
    rig.workspace.travel(10)
    rig.sync([PARTS], when=CompactionMode.NEVER if waits else CompactionMode.ALWAYS)
    rig.workspace.delete(PARTS, parts_of(rig, short)[0])
    rig.workspace.delete(PARTS, parts_of(rig, long)[300])

    rig.workspace.travel(10)
    ingested, done = rig.sync([PARTS], full_refresh=True)[PARTS]
    rig.check([PARTS])
    assert ingested.complete
    assert not ingested.notes
    assert (done.new, done.changed, done.removed, done.rows) == (0, 0, 2, 622)
    assert counts(synced(rig)) == (0, 0, 0, 622)


def test_a_repair_does_not_doubt_older_parts_than_intercom_gives(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(conversations=2, history_days=5)
    long, other = (row["id"] for row in rig.workspace.rows("conversations"))
    rig.workspace.update("conversations", other, created_at=rig.workspace.now() - 70 * DAY)
    second = iter(range(rig.workspace.now() - 3_000, rig.workspace.now()))
    rig.workspace.create(PARTS, conversation_id=other)
    for parts in (480, 170):
        for _ in range(parts):
            rig.workspace.create(PARTS, conversation_id=long, created_at=next(second))
        rig.workspace.travel(7_200)
        rig.sync([PARTS])
    (month,) = [file for file in rig.lake_folder.rglob(f"{PARTS}/*/*.parquet") if pq.read_metadata(file).num_rows == 1]
    month.unlink()
    ingested, done = rig.sync([PARTS])[PARTS]
    rig.check([PARTS])
    assert ingested.complete
    assert not ingested.notes
    assert counts(done) == (1, 0, 0, 651)


def test_backfills_of_parts_and_a_later_run_have_all(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(conversations=8, conversation_parts=30)
    ends = sorted(row["updated_at"] for row in rig.workspace.rows("conversations"))
    rig.sync([PARTS], history_from=0, until=ends[3])
    assert rig.rows(PARTS).num_rows < 30
    rig.sync([PARTS], history_from=ends[3], until=ends[6])
    rig.sync([PARTS])
    rig.check([PARTS])
    for number in range(2):
        rig.workspace.travel(7_200)
        conversation = rig.workspace.children[PARTS].parent(next(iter(rig.workspace.tables[PARTS])).key)
        rig.workspace.delete(PARTS, parts_of(rig, conversation)[0])
        rig.workspace.travel(10)
        now = rig.workspace.now()
        rig.sync([PARTS], history_from=now - 100, until=now)
        if number:
            rig.sync([PARTS])
        rig.check([PARTS])


def synced(rig: Rig) -> Compacted:
    """A run a little later, after which the lake has exactly what the workspace has."""
    rig.workspace.travel(10)
    _, done = rig.sync([PARTS])[PARTS]
    rig.check([PARTS])
    return done


def counts(done: Compacted) -> tuple[int, int, int, int]:
    return done.new, done.changed, done.removed, done.rows


def parts_of(rig: Rig, conversation: str) -> list[str]:
    return [record.key for record in rig.workspace.children[PARTS].of(conversation)]
