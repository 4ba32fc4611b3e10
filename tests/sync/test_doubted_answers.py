"""Children that one answer lacks: asked for once more before they go, whatever the answer counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from intercom.compaction.policy import CompactionMode
from intercom.sandbox.children import CHILDREN
from intercom.tables.catalogue import TABLES
from tests.support.rig import Rig

ASKED_ONE_BY_ONE = ("contact_notes", "contact_segments", "contact_subscriptions", "company_segments", "newsfeed_items")
every_child = pytest.mark.parametrize("table", [*ASKED_ONE_BY_ONE, "conversation_parts"])


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(contacts=4, companies=3, conversations=3, articles=0, further=6, history_days=32)


def with_children(rig: Rig, table: str) -> tuple[str, str]:
    """A parent that has at least two children after this, and the path that they are asked for by."""
    parent = next(iter(rig.workspace.tables[CHILDREN[table].table].keys))
    for number in (1, 2):
        rig.workspace.create(table, **{CHILDREN[table].member: parent, "id": f"77{number}"})
    rig.workspace.travel(4_000)
    return parent, TABLES[table].path.replace("{key}", parent)


def change(rig: Rig, table: str, parent: str) -> None:
    rig.workspace.travel(4_000)
    rig.workspace.update(CHILDREN[table].table, parent, name="changed")
    rig.workspace.travel(4_000)
    rig.server.clear_log()


@pytest.mark.parametrize("table", ASKED_ONE_BY_ONE)
@pytest.mark.parametrize("kind", ["hollow", "shard_away", "short"])
@pytest.mark.parametrize("when", [CompactionMode.ALWAYS, CompactionMode.NEVER])
def test_rows_that_one_answer_lacks_stay(rig: Rig, table: str, kind: str, when: CompactionMode) -> None:
    parent, path = with_children(rig, table)
    rig.sync([table], when=when)
    change(rig, table, parent)
    rig.server.fail(path, kind=kind, times=1, every=2)
    rig.sync([table])
    assert len(rig.server.requests(path)) == 2
    rig.check([table])


@every_child
def test_a_row_that_two_answers_lack_goes(rig: Rig, table: str) -> None:
    parent, path = with_children(rig, table)
    rig.sync([table])
    gone = rig.workspace.children[table].of(parent)[0].key
    change(rig, table, parent)
    rig.workspace.delete(table, gone)
    rig.workspace.travel(1)
    _, merged = rig.sync([table])[table]
    assert (merged.removed, len(rig.server.requests(path))) == (1, 2)
    rig.check([table])


@every_child
def test_whole_answers_are_not_asked_for_again(rig: Rig, table: str) -> None:
    parent, path = with_children(rig, table)
    rig.sync([table])
    change(rig, table, parent)
    rig.workspace.create(table, **{CHILDREN[table].member: parent, "id": "773"})
    rig.workspace.travel(1)
    rig.sync([table])
    assert len(rig.server.requests(path)) == 1
    rig.check([table])
