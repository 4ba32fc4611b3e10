"""Which refusals of a table are for a note, and what the note says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from intercom.errors import ApiError, PermissionDeniedError, RequestRejectedError
from intercom.lake.state import TableState
from intercom.sync.skipped import why_skipped
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access, Parent, Selection, Strategy, Table
from tests.support.rig import Rig


def optional(name: str) -> Table:
    return replace(TABLES[name], optional=True, selection=Selection.ALL)


ARTICLES, TAGS = optional("articles"), optional("tags")


def refused(rig: Rig, table: Table, status: int, code: str, times: int = 99) -> ApiError:
    """The error of a read that the sandbox refuses, and of every later request of the table if `times` allow."""
    body = {"type": "error.list", "errors": [{"code": code, "message": "no"}]}
    rig.server.fail(table.path, kind="status", status=status, body=body, times=times)
    with pytest.raises(ApiError) as caught:
        rig.client().for_table(table.name, table.scope).get(table.path)
    return caught.value


def skipped(rig: Rig, table: Table, error: ApiError, state: TableState | None = None) -> str | None:
    return why_skipped(table, error, rig.client(), state)


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "token_unauthorized"), (401, "unauthorized"), (403, "forbidden"), (403, "action_forbidden")],
)
def test_a_missing_permission_is_named(rig: Rig, status: int, code: str) -> None:
    error = refused(rig, TAGS, status, code)
    assert isinstance(error, PermissionDeniedError)
    assert skipped(rig, TAGS, error) == (
        f"skipped: the token may not read it without the permission {TAGS.scope!r} ({status} {code})"
    )


def test_a_token_that_may_not_say_whose_it_is_is_known_all_the_same(rig: Rig) -> None:
    error = refused(rig, TAGS, 401, "unauthorized")
    rig.workspace.options.me_status = 403
    assert skipped(rig, TAGS, error) is not None


@pytest.mark.parametrize("code", ["unauthorized", "token_revoked", "token_expired", "token_not_found"])
def test_a_token_that_is_no_longer_valid_is_a_failure(rig: Rig, code: str) -> None:
    error = refused(rig, TAGS, 401, code)
    rig.workspace.options.me_status = 401
    assert skipped(rig, TAGS, error) is None


@pytest.mark.parametrize(("status", "code"), [(402, "payment_required"), (403, "api_plan_restricted")])
def test_a_plan_that_lacks_the_table_is_said(rig: Rig, status: int, code: str) -> None:
    error = refused(rig, TAGS, status, code)
    assert skipped(rig, TAGS, error) == f"skipped: the workspace's plan does not include it ({status} {code})"


@pytest.mark.parametrize("table", [ARTICLES, TAGS])
def test_an_endpoint_that_the_workspace_lacks_is_told_from_a_missing_record(rig: Rig, table: Table) -> None:
    error = refused(rig, table, 404, "not_found")
    assert isinstance(error, RequestRejectedError)
    assert skipped(rig, table, error) == (
        "skipped: the workspace does not have it, since its plan or its settings leave the feature out (404 not_found)"
    )
    rig.server.clear_faults()
    assert skipped(rig, table, error) is None  # the address itself answers


def test_children_that_no_parent_has_are_a_feature_that_the_workspace_lacks(rig: Rig) -> None:
    """The reading passes over single parents that are not found, so the error is about all of them."""
    parent = Parent(table=TABLES["contacts"], inherits={"name": "id"})
    notes = replace(
        TAGS, name="notes", access=Access.CHILD, strategy=Strategy.REPLACE_CHILDREN, path="/contacts/{key}/notes",
        cursor_field="updated_at", partition_field=None, parent=parent,
    )  # fmt: skip
    told = skipped(rig, notes, RequestRejectedError("none of 12 contacts was found", status=404))
    assert told is not None
    assert told.startswith("skipped: the workspace does not have it")


@pytest.mark.parametrize(("status", "code"), [(400, "parameter_invalid"), (422, "data_invalid")])
def test_any_other_refusal_is_a_failure(rig: Rig, status: int, code: str) -> None:
    assert skipped(rig, TAGS, refused(rig, TAGS, status, code)) is None


def test_a_table_that_is_not_optional_is_never_skipped(rig: Rig) -> None:
    assert not any(table.optional for table in TABLES.values() if table.selection is Selection.DEFAULT)
    assert skipped(rig, TABLES["tags"], refused(rig, TAGS, 403, "forbidden")) is None


def test_a_permission_that_was_taken_away_is_said_with_what_the_lake_keeps(rig: Rig) -> None:
    rig.sync(["tags"], started_at=datetime(2026, 11, 3, 12, tzinfo=UTC))
    before = rig.rows("tags")
    told = skipped(rig, TAGS, refused(rig, TAGS, 403, "forbidden"), rig.lake_table("tags").state())
    assert told is not None
    assert told.endswith(
        f"; earlier runs could read it, and the lake keeps its {before.num_rows} rows of 2026-11-03 12:00:00 UTC"
    )
