"""Rows of child tables go with their parents, in a reconcile; those of parents that are there follow other rules."""

from __future__ import annotations

import pytest

from intercom.sync import vanished
from tests.support.rig import Rig, removing_and_marking

PARTS = "conversation_parts"
BOTH = ("conversations", PARTS)
MARKED = {"deleted": "mark"}
ALWAYS = 100_000


@pytest.fixture
def talk(make_rig: object) -> Rig:
    """Twelve conversations with two parts each."""
    rig: Rig = make_rig(contacts=0, companies=0, conversations=12, articles=0, history_days=20)  # type: ignore[operator]
    for row in rig.workspace.rows("conversations"):
        for _ in range(2):
            rig.workspace.create(PARTS, conversation_id=row["id"])
    rig.workspace.travel(7_200)
    return rig


def parents(rig: Rig) -> list[str]:
    return sorted(set(rig.rows(PARTS).column("conversation_id").to_pylist()))


def delete(rig: Rig, conversations: int) -> list[str]:
    gone = [str(row["id"]) for row in rig.workspace.rows("conversations")[:conversations]]
    for one in gone:
        rig.workspace.delete("conversations", one)
    return gone


@removing_and_marking
def test_parts_go_with_their_conversation(talk: Rig, marks: bool) -> None:
    talk.options = MARKED if marks else {}
    talk.load(BOTH)
    delete(talk, 2)
    talk.server.clear_log()
    done = talk.reconcile(BOTH)
    assert [merged.removed for _, merged in done.values()] == [2, 4]
    talk.check(BOTH)
    children = [
        request
        for request in talk.server.requests()
        if request.path.startswith("/conversations/") and request.method == "GET"
    ]
    assert len(children) <= 8  # two conversations and one that is there, for both tables; none for its parts
    assert [merged.removed for _, merged in talk.reconcile(BOTH).values()] == [0, 0]


def test_parts_of_conversations_that_went_before_go_with_the_next_reconcile(talk: Rig) -> None:
    """A full refresh of the conversations alone has removed them; so has a reconcile that did not reach the parts."""
    talk.load(BOTH)
    delete(talk, 2)
    talk.sync(["conversations"], full_refresh=True)
    assert len(parents(talk)) == 12
    _, merged = talk.reconcile(BOTH)[PARTS]
    assert merged.removed == 4
    talk.check(BOTH)


def test_parts_stay_where_the_run_has_not_read_their_conversations(talk: Rig) -> None:
    talk.load(BOTH)
    delete(talk, 2)
    talk.sync(["conversations"], full_refresh=True)
    _, merged = talk.reconcile([PARTS])[PARTS]
    assert merged.removed == 0
    assert len(parents(talk)) == 12


def test_parts_of_a_conversation_that_is_there_by_its_own_address_stay(talk: Rig) -> None:
    """A full refresh has believed a search that lacks some, so that the lake has their parts alone."""
    talk.load(BOTH)
    hidden = [row["id"] for row in talk.workspace.rows("conversations")[:3]]
    rows = [row for row in talk.workspace.rows("conversations") if row["id"] not in hidden]
    body = {"type": "conversation.list", "conversations": rows, "total_count": len(rows), "pages": None}
    talk.server.fail("/conversations/search", status=200, body=body, times=ALWAYS)
    talk.sync(["conversations"], full_refresh=True)
    assert not set(hidden) & set(talk.rows("conversations").column("id").to_pylist())
    ingested, merged = talk.reconcile(BOTH)[PARTS]
    assert (merged.removed, ingested.kept) == (0, 3)
    talk.server.clear_faults()
    talk.reconcile(BOTH)
    talk.check(BOTH)


def test_of_many_conversations_parts_go_by_the_second_sweep(talk: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vanished, "ASKED_ONE_BY_ONE", 2)
    monkeypatch.setattr(vanished, "KEPT_ASKED", 1)
    talk.sync(BOTH)
    delete(talk, 5)
    assert [merged.removed for _, merged in talk.reconcile(BOTH).values()] == [0, 0]
    assert [merged.removed for _, merged in talk.reconcile(BOTH).values()] == [5, 0]
    assert [merged.removed for _, merged in talk.reconcile(BOTH).values()] == [0, 10]
    talk.check(BOTH)
