"""The checks of `intercom-lake check`, in the order in which they are told; independent ones run at the same time.

Modules are imported by the main thread. Prefect is not: its settings and blocks are read without it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from threading import Thread
from typing import Any, TypeVar

from intercom.api.workspace import Workspace, ask_workspace
from intercom.cli.checks.findings import Finding, Verdict, fault
from intercom.cli.checks.lake import lake_findings, owner_findings
from intercom.cli.checks.prefect import prefect_findings
from intercom.cli.checks.settings import Asked, PrefectAccess, connection_in_use, open_lake, prefect_access
from intercom.cli.checks.tables import ask_for_one_record, table_finding, unless_skipped
from intercom.cli.checks.workspace import (
    client_of,
    clock_findings,
    may_read_all_the_same,
    rate_limit_finding,
    refused_token,
    token_findings,
)
from intercom.errors import ApiError, IntercomLakeError
from intercom.lake.storage import Lake
from intercom.tables.selection import SelectedTables

_Done = TypeVar("_Done")
_LAST_SECONDS = 3.0


def checks(asked: Asked, selected: SelectedTables) -> Iterator[Finding]:
    """Each finding, when it and those before it are there."""
    with _quiet():
        yield from _checked(asked, selected)


def _checked(asked: Asked, selected: SelectedTables) -> Iterator[Finding]:
    prefect = prefect_access(asked)
    lake = open_lake(asked, prefect)
    told = _begun(prefect_findings, prefect, asked.connection)
    tried = _begun(lake_findings, lake, asked.connection) if isinstance(lake, Lake) else None
    try:
        workspace = yield from _intercom_findings(asked, prefect, selected)
    except BaseException:  # Ctrl-C
        if tried is not None:
            with suppress(TimeoutError):
                tried.exception(_LAST_SECONDS)  # the trial removes what it has written
        raise
    if isinstance(lake, Finding):
        yield lake
    elif tried is not None:
        yield from tried.result()
        yield from owner_findings(lake, asked.connection, selected.tables, workspace)
    yield from told.result()
    if prefect.api is not None:
        prefect.api.close()


def _intercom_findings(
    asked: Asked, prefect: PrefectAccess, selected: SelectedTables
) -> Generator[Finding, None, Workspace | None]:
    """Connection, token, clock, rate limit and tables; the generator's value is the workspace, None if unknown."""
    try:
        connection, place = connection_in_use(asked, prefect)
    except IntercomLakeError as error:
        yield fault("connection", error)
        return None
    detail = f"{connection.name}, from {place}"
    if connection.base_url != connection.region.base_url:
        detail += f", at {connection.base_url}"
    yield Finding("connection", Verdict.OK, detail, facts={"from": place, "base_url": connection.base_url})
    if connection.remark:
        happened, _, cure = connection.remark.partition(". ")
        yield Finding("file", Verdict.WARN, happened, f"{cure}.")
    if connection.settings.rules:
        yield Finding("columns", Verdict.OK, f"protected: {connection.settings.protected}")
    with closing(client_of(connection)) as client:
        began, workspace = time.time(), None
        try:
            workspace = ask_workspace(client)
        except ApiError as error:
            yield refused_token(connection, error)
            if not may_read_all_the_same(error):
                return None
        else:
            yield from token_findings(connection, workspace)
            yield from clock_findings(workspace, began, time.time())
        yield rate_limit_finding(client.limiter, connection)
        asked_for = [(table, _begun(ask_for_one_record, client, table)) for table in selected.tables]
        try:
            for table, answer in asked_for:
                found = table_finding(table, answer)
                yield found if table.name in selected.named else unless_skipped(found, table, answer, client)
        except BaseException:
            client.stop()
            raise
    return workspace


def _begun(work: Callable[..., _Done], *given: Any) -> Future[_Done]:
    """Begin work in a thread that the end of the process does not wait for: Ctrl-C ends a check at once."""
    future: Future[_Done] = Future()

    def run() -> None:
        try:
            future.set_result(work(*given))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, name="check", daemon=True).start()
    return future


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing meanwhile: what warnings would say, findings say."""
    logger = logging.getLogger("intercom")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
