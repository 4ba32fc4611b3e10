"""Tables that a run leaves out: optional ones that nobody has named, and that this token or workspace cannot read.

Source of what the statuses mean: Intercom REST API reference 2.14, "Error codes".
"""

from __future__ import annotations

from typing import Final

from intercom.api.client import IntercomClient
from intercom.api.workspace import LACKS_SCOPE, is_token_known
from intercom.errors import ApiError, PermissionDeniedError
from intercom.extract.one_record import count_by_one_record
from intercom.lake.state import TableState
from intercom.sync.time_text import shown_time
from intercom.tables.table import Table

_PLAN: Final = "api_plan_restricted"
"""Code of a 403 for a workspace whose plan lacks what is asked for."""


def why_closed(table: Table, error: ApiError, client: IntercomClient) -> str | None:
    """Why the table cannot be read with this token or in this workspace; None if the error does not mean that.

    A 401 may also mean that the token is no longer valid, and a 404 that one record is gone: one more request tells
    which it is.
    """
    if error.status == 402 or error.code == _PLAN:
        return f"the workspace's plan does not include it ({error.answer})"
    if isinstance(error, PermissionDeniedError):
        if error.status == 401 and error.code != LACKS_SCOPE and not is_token_known(client):
            return None
        return f"the token may not read it without the permission {table.scope!r} ({error.answer})"
    if error.status == 404 and _is_missing(table, client):
        return f"the workspace does not have it, since its plan or its settings leave the feature out ({error.answer})"
    return None


def why_skipped(table: Table, error: ApiError, client: IntercomClient, state: TableState | None) -> str | None:
    """What to say of a table that nobody has named and that is left out of the run; None if the error is a failure.

    `state` is the table's record in the lake: if there is one, earlier runs could read the table.
    """
    reason = why_closed(table, error, client) if table.optional else None
    if reason is None:
        return None
    if state is None or state.ingested_at is None:
        return f"skipped: {reason}"
    rows = "1 row" if state.rows == 1 else f"{state.rows:,} rows"
    read_at = shown_time(int(state.ingested_at.timestamp()))
    return f"skipped: {reason}; earlier runs could read it, and the lake keeps its {rows} of {read_at} UTC"


def _is_missing(table: Table, client: IntercomClient) -> bool:
    """Whether the address of the whole table is answered with a 404, and not only that of a record or of a page."""
    if table.is_child:
        return True  # parents that are not found are passed over, unless that is all of them
    try:
        count_by_one_record(client.for_table(table.name, table.scope), table)
    except ApiError as error:
        return error.status == 404
    return False
