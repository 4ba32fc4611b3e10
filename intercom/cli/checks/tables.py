"""Findings about tables: whether the token may read each, and how many rows it has."""

from __future__ import annotations

from concurrent.futures import Future

from intercom.api.client import IntercomClient
from intercom.cli.checks.findings import Finding, Verdict, fault, last_reason
from intercom.errors import ApiError, IntercomLakeError, PermissionDeniedError
from intercom.extract.one_record import count_by_one_record
from intercom.sync.skipped import why_closed
from intercom.tables.table import Table


def ask_for_one_record(client: IntercomClient, table: Table) -> int | None:
    """The number of rows that Intercom counts; None if it does not say, or for a table that needs no request."""
    return None if table.made_of else count_by_one_record(client.for_table(table.name, table.scope), table)


def table_finding(table: Table, answer: Future[int | None]) -> Finding:
    """The rows of a table, or why it cannot be read. `answer` is that of `ask_for_one_record`, and is waited for."""
    try:
        rows = answer.result()
    except ApiError as error:
        said = error.answer
        facts = {"http_status": error.status, "code": error.code}
        if isinstance(error, PermissionDeniedError):
            scope = table.scope[:1].upper() + table.scope[1:]
            cure = f'Grant "{scope}" in the Developer Hub, or leave the table out.'
            detail = f"{said}: the token may not read {table.name}"
        elif error.status is not None and error.status < 500 and error.status not in (408, 429):
            detail, cure = (
                f"{said}: Intercom refuses the request",
                "Leave the table out, and report this: it is a fault of intercom-lake.",
            )
        else:
            detail = f"no usable answer: {last_reason(error)}"
            cure = "Try again. If it fails again, leave the table out."
        return Finding(table.name, Verdict.FAIL, detail, cure, facts=facts)
    except IntercomLakeError as error:
        return fault(table.name, error)
    if table.made_of is not None:
        return Finding(table.name, Verdict.OK, f"is made from {table.made_of.name}, without a request")
    if rows is None:
        return Finding(table.name, Verdict.OK, "may be read", facts={"rows": None})
    return Finding(table.name, Verdict.OK, f"{rows:,} row{'' if rows == 1 else 's'}", facts={"rows": rows})


def unless_skipped(found: Finding, table: Table, answer: Future[int | None], client: IntercomClient) -> Finding:
    """The finding about a table that was not named: only a note where a run would skip the table."""
    error = answer.exception()
    if not table.optional or not isinstance(error, ApiError) or (reason := why_closed(table, error, client)) is None:
        return found
    cure = "Runs skip this table unless it is named, and succeed."
    return Finding(table.name, Verdict.NOTE, reason, cure, facts=found.facts)
