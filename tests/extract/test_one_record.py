"""One record of each table: by one small request, where the API has one, and never by a scroll."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from intercom.errors import PermissionDeniedError
from intercom.extract.one_record import count_by_one_record
from intercom.sandbox import Paging
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Access, Table
from tests.support.rig import Rig

READ = {name: table for name, table in TABLES.items() if table.access not in (Access.CHILD, Access.DERIVED)}
CHILDREN = {name: table for name, table in TABLES.items() if table.access is Access.CHILD}
every_table = pytest.mark.parametrize("table", READ.values(), ids=READ)
UNCOUNTED = {"help_centers"}
"""Whose list says nothing but its records."""


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(contacts=20, companies=20, conversations=5, articles=5, further=5)


@every_table
def test_the_rows_are_counted_by_one_request_of_each_kind(rig: Rig, table: Table) -> None:
    rows = len(rig.workspace.rows(table.name))
    if table.access is Access.SCROLL:  # its list leaves out companies without users
        rows = sum(1 for row in rig.workspace.rows(table.name) if row["user_count"])
    counted = count_by_one_record(rig.client().for_table(table.name), table)
    assert counted == (None if table.name in UNCOUNTED else rows)
    requests = rig.server.requests()
    assert len(requests) == len(table.requests)
    if table.access is Access.SEARCH:
        assert requests[0].body is not None
        assert requests[0].body["pagination"] == {"per_page": 1}
    elif table.access is Access.TIME_LOG:
        assert requests[0].params == {"created_at_after": "0"}
    elif table.access is not Access.LIST:
        assert requests[0].params["per_page"] == "1"


@every_table
def test_a_refusal_of_any_of_its_requests_is_raised(rig: Rig, table: Table) -> None:
    rig.server.fail(table.list_path or table.path, status=403, after=len(table.requests) - 1)
    with pytest.raises(PermissionDeniedError):
        count_by_one_record(rig.client().for_table(table.name), table)


def test_a_list_that_takes_no_size_is_asked_for_without_one(rig: Rig) -> None:
    rig.workspace.options.paging["newsfeeds"] = Paging(refused=("per_page", "page"))
    assert count_by_one_record(rig.client().for_table("newsfeeds"), TABLES["newsfeeds"]) == 5
    assert [request.params for request in rig.server.requests("/news/newsfeeds")] == [
        {"page": "1", "per_page": "1"},
        {},
    ]


@pytest.mark.parametrize("table", CHILDREN.values(), ids=CHILDREN)
def test_the_children_of_one_parent_are_asked_for_and_not_counted(rig: Rig, table: Table) -> None:
    api = rig.client().for_table(table.name)
    assert count_by_one_record(api, table) is None
    parent, children = rig.server.requests()
    before, _, after = table.path.partition("{key}")
    assert children.path.startswith(before)
    assert children.path.endswith(after)
    assert "scroll" not in parent.path
    for status, refused in ((404, False), (403, True)):
        rig.server.fail(children.path, status=status)
        if refused:
            with pytest.raises(PermissionDeniedError):
                count_by_one_record(api, table)
        else:
            assert count_by_one_record(api, table) is None


def test_an_open_scroll_is_read_on(rig: Rig) -> None:
    api, companies = rig.client().for_table("companies"), TABLES["companies"]
    rig.workspace.options.scroll_page_size = 5
    opened = api.get(companies.path).fields
    assert count_by_one_record(api, companies) is not None
    token = bytes(opened["scroll_param"]).decode().strip('"')
    following = api.get(companies.path, {"scroll_param": token}, once=True)
    assert following.fields["data"] != opened["data"]
    assert len(bytes(following.fields["data"])) > 2


def test_a_log_is_counted_by_its_pages(make_rig: Callable[..., Rig]) -> None:
    rig, table = make_rig(activity_logs=50), TABLES["activity_logs"]
    api = rig.client().for_table(table.name)
    assert count_by_one_record(api, table) == 60
    rig.workspace.options.log.oldest = 1
    assert count_by_one_record(api, table) is None
