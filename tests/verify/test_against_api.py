"""A lake is compared with its workspace: what was planted is found, and a sound lake gives no alarm."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from intercom.errors import ConfigurationError
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access
from intercom.verify.case import ApiLimits
from intercom.verify.findings import Kind, TableProof
from intercom.verify.repair import repair
from intercom.verify.tables import Asked
from tests.support.compared import DAY, SEARCHED, create_unseen, found, part_of, proof, remove_part, settled
from tests.support.planted import with_value, without
from tests.support.rig import Rig

ZONES = ("America/Los_Angeles", "Pacific/Auckland")
NO_SAMPLE = ApiLimits(sample=0)


# -- sound lakes ------------------------------------------------------------------------------------------------------


def test_a_sound_lake_has_no_difference_in_any_table_and_nothing_is_written(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(further=12, contacts=60, conversations=40)
    rig.sync(TABLES)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in rig.lake_folder.rglob("*")}
    for name, table in TABLES.items():
        result = proof(rig, name)
        assert (result.differences, result.notes, result.skipped) == ((), (), None), name
        assert (result.requests == 0) is (table.access is Access.DERIVED), name
        assert result.sampled or table.access in (Access.DERIVED, Access.CHILD), name
    after = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in rig.lake_folder.rglob("*")}
    assert after == before  # no lock was taken either


@pytest.mark.parametrize("zone", ZONES)
def test_windows_of_days_are_counted_as_the_search_does_in_any_zone(make_rig: Callable[..., Rig], zone: str) -> None:
    """Most contacts are compared by counts alone: no window has to be read to find out that it is right."""
    rig = make_rig(timezone=zone)
    rig.load(["contacts"])
    result = proof(rig, "contacts", NO_SAMPLE)
    assert result.differences == ()
    assert result.windows > 8
    assert result.requests == result.windows


def change_something(rig: Rig, chance: random.Random, step: int) -> None:
    """A change as a busy workspace has them between any two requests; nothing is deleted."""
    workspace = rig.workspace
    workspace.travel(1)
    for name in (*SEARCHED, "companies", "articles"):
        rows = workspace.rows(name)
        workspace.update(name, chance.choice(rows)["id"], **{f"custom{step}": step})
        if step % 2:
            workspace.create(name)
    if step % 3 == 0:  # an import: created long ago, and changed now
        workspace.create("contacts", created_at=workspace.now() - 20 * DAY)


@pytest.mark.parametrize("name", ["contacts", "conversations", "companies", "conversation_parts"])
def test_a_workspace_that_changes_meanwhile_gives_no_alarm(make_rig: Callable[..., Rig], name: str) -> None:
    rig = make_rig(contacts=60, conversations=40, tickets=20, conversation_parts=100)
    rig.load([name, *(["conversations"] if name == "conversation_parts" else [])])
    rig.workspace.travel(3 * 3_600)
    chance, steps = random.Random(5), iter(range(10_000))

    rig.server.before_request(lambda _: change_something(rig, chance, next(steps)))
    assert proof(rig, name).differences == ()
    assert next(steps) > 5


# -- searched tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "zone"), [*(("contacts", zone) for zone in ZONES), ("conversations", "UTC"), ("tickets", "UTC")]
)
def test_a_window_that_was_never_read_is_found_by_its_counts(
    make_rig: Callable[..., Rig], name: str, zone: str
) -> None:
    rig = make_rig(timezone=zone, tickets=120)
    rig.load([name])
    planted = create_unseen(rig, name, 7)
    assert found(rig, name, NO_SAMPLE) == {Kind.MISSING: planted}


@pytest.mark.parametrize("name", ["contacts", "tickets"])
def test_a_change_that_came_late_into_the_index_is_found_by_its_count(make_rig: Callable[..., Rig], name: str) -> None:
    """Among many other changes, days ago, and without a sample."""
    rig = make_rig(tickets=120)
    rig.load([name])
    at = settled(rig, name) - 3 * DAY
    rows = [row for row in rig.workspace.rows(name) if row["updated_at"] < at - DAY]
    planted = {str(row["id"]) for row in rows[:3]}
    for key in planted:
        rig.workspace.update(name, key, updated_at=at)
    assert found(rig, name, NO_SAMPLE) == {Kind.STALE: planted}


def test_a_row_that_is_missing_and_one_too_many_do_not_hide_each_other(make_rig: Callable[..., Rig]) -> None:
    """One of each, in different windows of a table whose count is right: both are found by the windows' counts."""
    rig = make_rig(contacts=3_010)
    rig.load(["contacts"])
    gone = min(rig.workspace.rows("contacts"), key=lambda row: int(row["created_at"]))["id"]
    rig.workspace.delete("contacts", gone)
    planted = create_unseen(rig, "contacts", 1, day=10)
    assert found(rig, "contacts", ApiLimits(sample=0)) == {Kind.MISSING: planted, Kind.EXTRA: {gone}}


@pytest.mark.parametrize("name", ["contacts", "companies", "articles"])
def test_rows_that_are_gone_from_the_workspace_are_asked_for_and_found(make_rig: Callable[..., Rig], name: str) -> None:
    rig = make_rig(tickets=60)
    rig.load([name])
    planted = {str(row["id"]) for row in rig.workspace.rows(name)[3:6]}
    for key in planted:
        rig.workspace.delete(name, key)
    assert found(rig, name) == {Kind.EXTRA: planted}


def test_archived_records_that_no_search_gives_are_no_difference(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=40)
    rig.load(["contacts"])
    hidden = rig.workspace.rows("contacts")[:4]
    shown = [row for row in rig.workspace.rows("contacts") if row not in hidden]
    body = {"type": "list", "data": shown, "total_count": len(shown), "pages": None}
    rig.server.fail("/contacts/search", status=200, body=body, times=100_000)
    assert proof(rig, "contacts").differences == ()


@pytest.mark.parametrize("name", ["contacts", "tickets", "companies", "calls"])
def test_another_value_of_the_same_version_is_found_and_the_column_is_named(
    make_rig: Callable[..., Rig], name: str
) -> None:
    rig = make_rig(further=10)
    rig.load([name])
    key = str(rig.workspace.rows(name)[0]["id"])
    with_value(rig, name, key, "type", "a secret of the customer")
    (one,) = proof(rig, name).differences
    assert (one.kind, one.all_keys, one.found) == (Kind.FIELDS, (key,), "others of type")
    assert "secret" not in str(one.to_json()) + one.line


@pytest.mark.parametrize("name", ["companies", "calls"])
def test_rows_that_were_never_read_of_a_list_are_found(make_rig: Callable[..., Rig], name: str) -> None:
    rig = make_rig(further=30)
    rig.load([name])
    planted = {str(row["id"]) for row in rig.workspace.rows(name) if row.get("user_count") != 0}
    planted = set(sorted(planted)[:3])
    without(rig, name, planted)
    assert found(rig, name) == {Kind.MISSING: planted}


def test_a_small_list_with_times_is_compared_and_one_without_is_left_to_the_next_sync(rig: Rig) -> None:
    rig.load(["segments", "tags"])
    for name, alarms in (("segments", 1), ("tags", 0)):
        key = str(rig.workspace.rows(name)[0]["id"])
        without(rig, name, {key})
        result = proof(rig, name)
        assert len(result.differences) == alarms, name
        if name == "tags":
            assert "1 row of Intercom" in " ".join(result.notes)


def test_entries_of_a_log_that_were_never_read_are_found(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(activity_logs=500)
    rig.load(["activity_logs"])
    at = settled(rig, "activity_logs") - 20 * DAY
    planted = {
        str(row["id"])
        for row in rig.workspace.rows("activity_logs")
        if at - 5 * DAY < int(row["created_at"]) < at + 5 * DAY
    }
    assert len(planted) > 20
    without(rig, "activity_logs", planted)
    assert found(rig, "activity_logs") == {Kind.MISSING: planted}


@pytest.mark.parametrize("planted", ["missing", "fields", "extra"])
def test_parts_are_compared_by_conversation(make_rig: Callable[..., Rig], planted: str) -> None:
    """By the number that the conversation says where it says one, else those that are drawn."""
    rig = make_rig(conversations=30, conversation_parts=200)
    rig.load(["conversations", "conversation_parts"])
    part, conversation = part_of(rig)
    if planted == "missing":
        without(rig, "conversation_parts", {part})
    elif planted == "fields":
        with_value(rig, "conversation_parts", part, "part_type", "other")
    else:
        remove_part(rig, part)
    assert found(rig, "conversation_parts") == {Kind(planted): {conversation}}


def test_the_requests_are_bounded_and_windows_that_were_not_read_are_told(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(contacts=400)
    rig.load(["contacts"])
    create_unseen(rig, "contacts", 300)
    rig.server.clear_log()
    result = proof(rig, "contacts", ApiLimits(sample=0, most_requests=12))
    assert len(rig.server.requests("/contacts/search")) <= 12
    assert result.requests <= 12
    assert {one.kind for one in result.differences} == {Kind.COUNT}
    assert all("12 requests are allowed" in one.found for one in result.differences)


def test_retries_count_among_the_requests_that_are_allowed(rig: Rig) -> None:
    rig.load(["contacts"])
    rig.server.fail("/contacts/search", status=503, times=1_000)
    rig.server.clear_log()
    result = proof(rig, "contacts", ApiLimits(most_requests=5))
    assert len(rig.server.requests("/contacts/search")) == result.requests == 5
    assert result.notes


@pytest.mark.parametrize("status", [403, 500])
def test_a_table_that_intercom_refuses_is_not_proven(rig: Rig, status: int) -> None:
    rig.load(["contacts"])
    rig.server.fail("/contacts/search", status=status, times=1_000)
    result = proof(rig, "contacts")
    assert not result.proven
    assert result.failure is not None
    assert "not compared to the end" in result.failure
    assert result.differences == ()


def test_the_token_of_another_workspace_proves_nothing_and_brings_no_row(make_rig: Callable[..., Rig]) -> None:
    rig, other = make_rig(contacts=9), make_rig(contacts=9, seed=5)
    other.workspace.options = replace(other.workspace.options, app_id="other123")
    rig.sync(["contacts"])
    create_unseen(rig, "contacts", 1)
    planted, before = proof(rig, "contacts").differences, rig.rows("contacts")
    assert planted
    rig.server = other.server
    result = proof(rig, "contacts")
    assert (result.proven, result.differences, result.requests) == (False, (), 0)
    assert "belongs to other123" in str(result.failure)
    client = rig.client()
    asked = Asked.of(client, ApiLimits())
    with pytest.raises(ConfigurationError, match="belongs to other123"):
        repair(rig.lake(), rig.connection, [TableProof("contacts", differences=planted)], "mend", rig.store, asked)
    client.close()
    assert rig.rows("contacts").equals(before)


def test_a_run_meanwhile_is_no_difference(make_rig: Callable[..., Rig]) -> None:
    """The lake is changed by a sync in the middle of the verification, between its index and its conclusions."""
    rig = make_rig()
    rig.load(["contacts"])
    create_unseen(rig, "contacts", 3)
    rows = rig.workspace.rows("contacts")
    for row in rows[:5]:
        rig.workspace.update("contacts", row["id"], touch=False, name="Changed")
    requests = iter(range(10_000))

    def sync_once(_: object) -> None:
        if next(requests) == 6:
            rig.server.clear_hooks()
            rig.sync(["contacts"], full_refresh=True)

    rig.server.before_request(sync_once)
    result = proof(rig, "contacts")
    assert (result.differences, result.notes) == ((), ())
    rig.check(["contacts"])


def test_a_table_whose_history_begins_on_a_day_is_compared_from_there_on(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(tickets=120)
    since = rig.workspace.now() - 40 * DAY
    names = ("contacts", "tickets")
    rig.sync(names, history_from=since - since % DAY)
    for name in names:
        assert proof(rig, name).differences == (), name
        planted = create_unseen(rig, name, 4, day=15)
        create_unseen(rig, name, 4, day=60)
        assert found(rig, name, NO_SAMPLE) == {Kind.MISSING: planted}, name


def test_a_table_that_the_next_sync_reads_anew_is_not_compared(rig: Rig) -> None:
    assert "no record" in proof(rig, "contacts").notes[0]
    rig.sync(["contacts"], until=rig.workspace.now() - 30 * DAY)
    assert "end date" in proof(rig, "contacts").notes[0]
