"""The checks of `intercom-lake check`, in the order in which they are told; independent ones run at the same time.

Modules are imported by the main thread. Prefect is not: its settings and blocks are read without it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.fair_share import QUOTA_SECONDS
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.api.workspace import Workspace, ask_workspace, is_region, regions_that_accept
from intercom.cli.commands.check_findings import Finding, Verdict
from intercom.config.connection import Connection, connection_slug
from intercom.config.connections_file import read_entries
from intercom.config.lookup import DEFAULT_FILE, TOKEN_VARIABLE, find_connection
from intercom.config.storage_options import block_named, checked_options, options_from_block, parse_options
from intercom.errors import ApiError, ConfigurationError, IntercomLakeError, PermissionDeniedError, PrefectError
from intercom.extract.one_record import count_by_one_record
from intercom.lake.layout import TablePaths
from intercom.lake.locks.holders import Holder, holders_of
from intercom.lake.storage import Lake
from intercom.lake.trial import try_store
from intercom.orchestration.server.api_settings import ApiSettings, read_api_settings
from intercom.sync.skipped import why_closed
from intercom.tables.catalogue import TABLES
from intercom.tables.selection import SelectedTables, select_tables, unknown_names, valid_names
from intercom.tables.table import Access, Table

if TYPE_CHECKING:
    from intercom.orchestration.server.plain_api import PlainApi

POLICY = RetryPolicy(tries=2, total_seconds=30.0, connect_seconds=5.0, read_seconds=15.0, answer_seconds=30.0)
"""Few and short: somebody waits for the answer, and nothing depends on it."""
_Done = TypeVar("_Done")
_PLAN = "api_plan_restricted"
_WORK_POOL = "local-process"  # of `provision`, which imports Prefect; a test holds the two together
_CLOCK_SECONDS = 60
_LAST_SECONDS = 3.0
_BUSY_SHARE = 0.5
"""Share of the rate limit from which on others are told as a warning."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to check, as the options of the command line say it."""

    connection: str
    connections_file: str | None
    lake: str
    tables: tuple[str, ...]
    storage_options: str | None


@dataclass(frozen=True, slots=True)
class _Prefect:
    """Prefect as this process would use it: its API, None if none is configured, and why it is of no use, if it is not.

    `block` has the values of the connection's block, None if there is none or it could not be asked for.
    """

    settings: ApiSettings | None
    api: PlainApi | None = None
    fault: IntercomLakeError | None = None
    block: Mapping[str, Any] | None = None


def checks(asked: Asked) -> Iterator[Finding]:
    """Each finding, when it and those before it are there."""
    selected, unknown = _selected(asked.tables)
    yield from unknown
    with _quiet():
        yield from _checked(asked, selected)


def _checked(asked: Asked, selected: SelectedTables) -> Iterator[Finding]:
    prefect = _prefect(asked)
    lake = _lake(asked, prefect)
    told = _begun(_prefect_findings, prefect, asked.connection)
    tried = _begun(_lake_findings, lake, asked.connection) if isinstance(lake, Lake) else None
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
        yield from _owner(lake, asked.connection, selected.tables, workspace)
    yield from told.result()
    if prefect.api is not None:
        prefect.api.close()


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


# -- settings ---------------------------------------------------------------------------------------------------------


def _selected(names: Sequence[str]) -> tuple[SelectedTables, list[Finding]]:
    """The tables to try, and one finding about all names that no table has."""
    near = unknown_names(names)
    known = [name for name in names if name not in near]
    chosen = SelectedTables((), frozenset(), {}) if names and not known else select_tables(known)
    if not near:
        return chosen, []
    meant = [f"{name}: did you mean {found}?" for name, found in near.items() if found]
    detail = f"there is no table {', '.join(map(repr, near))}"
    cure = " ".join([*meant, valid_names()])
    return chosen, [Finding("tables", Verdict.FAIL, detail, cure, setting=True, facts={"unknown": near})]


def _prefect(asked: Asked) -> _Prefect:
    """Prefect's API, and the block of the connection, which counts before the file and the environment."""
    settings = None
    try:
        settings = read_api_settings(os.environ, Path())
        if settings.url is None:
            return _Prefect(settings)
        from intercom.orchestration.server.plain_api import PlainApi  # with httpx, which takes 0.2 s

        api = PlainApi(settings)
    except ConfigurationError as error:
        return _Prefect(settings, fault=error)
    try:
        api.check_health()
        slug = _slug(asked.connection)
        return _Prefect(settings, api, block=api.block_values("intercom-connection", slug) if slug else None)
    except PrefectError as error:
        return _Prefect(settings, api, error)


def _lake(asked: Asked, prefect: _Prefect) -> Lake | Finding:
    try:
        return Lake(asked.lake, _options(asked.storage_options, prefect))
    except IntercomLakeError as error:
        return _fault("lake", error)


def _options(text: str | None, prefect: _Prefect) -> dict[str, Any]:
    given = parse_options(text) if text is not None else {}
    if not isinstance(given, str):
        return checked_options(given)
    kind, name = block_named(given)
    if prefect.fault is not None:
        raise PrefectError(
            f"The storage options are in the block {given}, and Prefect does not give it: see the line about Prefect",
            refused=True,
        )
    values = None if prefect.api is None else prefect.api.block_values(kind, name)
    if values is None:
        where = "no Prefect API is configured to have it" if prefect.api is None else f"{prefect.api.url} has no such"
        raise ConfigurationError(
            f"The storage options name the block {given}, and {where}. Save it, name another, or set PREFECT_API_URL."
        )
    return options_from_block(kind, values)


def _slug(connection: str) -> str | None:
    """The connection's name on Prefect's server; None for one that cannot be, which `find_connection` tells."""
    try:
        return connection_slug(connection)
    except ConfigurationError:
        return None


def _fault(check: str, error: IntercomLakeError, **facts: Any) -> Finding:
    """An error as a finding: our messages say in the first sentence what happened, and then what to do."""
    detail, _, cure = str(error).partition(". ")
    return Finding(check, Verdict.FAIL, detail, cure, setting=isinstance(error, ConfigurationError), facts=facts)


# -- Intercom ---------------------------------------------------------------------------------------------------------


def _intercom_findings(
    asked: Asked, prefect: _Prefect, selected: SelectedTables
) -> Generator[Finding, None, Workspace | None]:
    """Connection, token, clock, rate limit and tables; the generator's value is the workspace, None if unknown."""
    try:
        connection, place = _connection(asked, prefect)
    except IntercomLakeError as error:
        yield _fault("connection", error)
        return None
    detail = f"{connection.name}, from {place}"
    if connection.base_url != connection.region.base_url:
        detail += f", at {connection.base_url}"
    yield Finding("connection", Verdict.OK, detail, facts={"from": place, "base_url": connection.base_url})
    limiter = RateLimiter(connection.requests_per_10s, most_in_flight=connection.requests_in_flight)
    with closing(IntercomClient(connection, limiter, policy=POLICY)) as client:
        began, workspace = time.time(), None
        try:
            workspace = ask_workspace(client)
        except ApiError as error:
            yield _refused(connection, error)
            if not _may_read_all_the_same(error):
                return None
        else:
            yield from _token(connection, workspace)
            yield from _clock(workspace, began, time.time())
        yield _rate(limiter, connection)
        asked_for = [(table, _begun(_ask, client, table)) for table in selected.tables]
        try:
            for table, answer in asked_for:
                found = _table(table, answer)
                yield found if table.name in selected.named else _left_out(found, table, answer, client)
        except BaseException:
            client.stop()
            raise
    return workspace


def _connection(asked: Asked, prefect: _Prefect) -> tuple[Connection, str]:
    """The connection, and where it is from, in words."""
    file = Path(asked.connections_file) if asked.connections_file else None

    def load_block(name: str) -> Connection | None:
        if prefect.block is None:
            return None
        from intercom.orchestration.server.plain_api import connection_of

        return connection_of(name, prefect.block)

    found = find_connection(asked.connection, connections_file=file, environ=os.environ, load_block=load_block)
    if prefect.block is not None:
        return found, f"block intercom-connection/{connection_slug(asked.connection)}"
    path = file or DEFAULT_FILE
    entries = read_entries(path, os.environ, skip_unnamed=True) if path.is_file() else []
    named = any(entry.name == asked.connection for entry in entries)
    return found, str(path) if named else f"the environment ({TOKEN_VARIABLE})"


def _may_read_all_the_same(error: ApiError) -> bool:
    """Whether tables may be read though the token may not say whose it is: it lacks that permission alone."""
    return error.status == 403 and error.code != _PLAN


def _refused(connection: Connection, error: ApiError) -> Finding:
    """What it means that the first request had no usable answer."""
    where = f"region {connection.region.value}"
    if connection.base_url != connection.region.base_url:
        where = connection.base_url
    said = f"{error.status} {error.code}" if error.code else f"{error.status}"
    facts = {"http_status": error.status, "code": error.code}
    if _may_read_all_the_same(error):
        cure = 'Grant "Read admins" in the Developer Hub: without it a run does not notice another workspace.'
        return Finding("token", Verdict.WARN, f"{said}: the token may not say whose it is", cure, facts=facts)
    if error.status == 401:
        accepting = [region.value for region in regions_that_accept(connection, POLICY)]
        if accepting:
            return Finding(
                "region",
                Verdict.FAIL,
                f"{said}: {where} refuses the token, and region {accepting[0]} takes it",
                f"Set region: {accepting[0]} in the connection. No table was tried.",
                setting=True,
                facts=facts | {"accepted_in": accepting},
            )
        return Finding(
            "token",
            Verdict.FAIL,
            f"{said}: {where} refuses the token: it is wrong, expired, revoked, or of another region",
            "Copy the app's present one from Intercom's Developer Hub (Configure, Authentication), and check the "
            "region. No table was tried.",
            facts=facts,
        )
    if error.status in (402, 403):
        cure = "Ask the workspace's owner for a plan that includes the API. No table was tried."
        return Finding("token", Verdict.FAIL, f"{said}: the workspace's plan lacks the API", cure, facts=facts)
    if error.status is not None and error.status < 500 and error.status not in (408, 429):
        cure = "Check base_url of the connection. No table was tried."
        return Finding("intercom", Verdict.FAIL, f"{said} from {connection.base_url}: not Intercom's API", cure,
                       setting=True, facts=facts)  # fmt: skip
    detail = f"no usable answer from {connection.base_url}: {_reason(error)}"
    cure = "Check the network, proxies (HTTPS_PROXY) and intercomstatus.com, and try again. No table was tried."
    return Finding("intercom", Verdict.FAIL, detail, cure, facts=facts)


def _token(connection: Connection, workspace: Workspace) -> Iterator[Finding]:
    name = f'"{workspace.name}"' if workspace.name else "without a name"
    code = f" ({workspace.code})" if workspace.code else ""
    facts = {"workspace": workspace.code, "name": workspace.name, "region": workspace.region or None}
    yield Finding(
        "token",
        Verdict.OK,
        f"workspace {name}{code}, region {workspace.region or connection.region.value}",
        facts=facts,
    )
    if workspace.region is not None and not is_region(workspace.region, connection.region):
        yield Finding(
            "region",
            Verdict.WARN,
            f"the connection says {connection.region.value}, the workspace {workspace.region}",
            "Correct region in the connection.",
        )


def _clock(workspace: Workspace, sent: float, received: float) -> Iterator[Finding]:
    """The server tells whole seconds: the difference is known to a second and the time of the answer."""
    if workspace.doubt:
        yield Finding(
            "clock",
            Verdict.WARN,
            "the answers have no Date header",
            "Each run then reads the last day again. Let the proxy in between keep the header.",
        )
        return
    ahead, behind = sent - (workspace.server_time + 1), workspace.server_time - received
    apart = max(0.0, ahead, behind)
    if apart > _CLOCK_SECONDS:
        yield Finding(
            "clock",
            Verdict.WARN,
            f"this machine is {apart:.0f} s {'ahead of' if ahead > 0 else 'behind'} Intercom",
            "Set its clock (NTP): S3 refuses requests from 15 minutes on. Watermarks go by Intercom's clock.",
            facts={"seconds_apart": round(apart)},
        )


def _rate(limiter: RateLimiter, connection: Connection) -> Finding:
    """The rate limit as the one answer so far tells it; one request of the window is our own."""
    told = limiter.told()
    own = connection.requests_per_10s
    capped = f", of which {own} may be used (requests_per_10s)" if own else ""
    if told.limit is None:
        detail = f"not told by Intercom: {limiter.usage().limit} requests per 10 s are taken for it"
        return Finding("rate limit", Verdict.NOTE, detail, facts={"per_10s": None, "cap": own})
    detail = f"{told.limit} requests per 10 s{capped}"
    facts: dict[str, Any] = {"per_10s": told.limit, "cap": own}
    if told.remaining is None:
        return Finding("rate limit", Verdict.OK, detail, facts=facts)
    others = max(0, told.limit - told.remaining - 1)
    facts["used_by_others"] = others
    seconds = None
    if told.reset is not None and told.date is not None:
        seconds = min(max(QUOTA_SECONDS - (told.reset - told.date), 0), QUOTA_SECONDS)
        facts["in_seconds"] = seconds
    within = "10 s" if seconds is None else f"{seconds:.0f} s" if seconds else "second"
    detail += f"; others used {others or 'none'} in the last {within}"
    if others < _BUSY_SHARE * told.limit:
        return Finding("rate limit", Verdict.OK, detail, facts=facts)
    cure = "Runs leave them their part, and take longer: see which other apps use this token or workspace."
    return Finding("rate limit", Verdict.WARN, detail, cure, facts=facts)


def _ask(client: IntercomClient, table: Table) -> int | None:
    if table.access is Access.DERIVED:
        return None
    return count_by_one_record(client.for_table(table.name, table.scope), table)


def _table(table: Table, answer: Future[int | None]) -> Finding:
    try:
        rows = answer.result()
    except ApiError as error:
        said = f"{error.status} {error.code}" if error.code else f"{error.status}"
        facts = {"http_status": error.status, "code": error.code}
        if isinstance(error, PermissionDeniedError):
            scope = table.scope[:1].upper() + table.scope[1:]
            cure = f'Grant "{scope}" in the Developer Hub, or leave the table out.'
            detail = f"{said}: the token may not read {table.name}"
        elif error.status is not None and error.status < 500 and error.status not in (408, 429):
            detail, cure = (
                f"{said}: Intercom refuses the request",
                "Leave the table out, and report it: it is our fault.",
            )
        else:
            detail = f"no usable answer: {_reason(error)}"
            cure = "Try again; if it stays, leave the table out."
        return Finding(table.name, Verdict.FAIL, detail, cure, facts=facts)
    except IntercomLakeError as error:
        return _fault(table.name, error)
    if table.access is Access.DERIVED and table.parent is not None:
        return Finding(table.name, Verdict.OK, f"is made of {table.parent.table.name}, without a request")
    if rows is None:
        return Finding(table.name, Verdict.OK, "may be read", facts={"rows": None})
    return Finding(table.name, Verdict.OK, f"{rows:,} row{'' if rows == 1 else 's'}", facts={"rows": rows})


def _left_out(found: Finding, table: Table, answer: Future[int | None], client: IntercomClient) -> Finding:
    """The finding about a table that was not named: only a note where a run would skip the table."""
    error = answer.exception()
    if not table.optional or not isinstance(error, ApiError) or (reason := why_closed(table, error, client)) is None:
        return found
    cure = "Runs leave it out unless it is named, and end well."
    return Finding(table.name, Verdict.NOTE, reason, cure, facts=found.facts)


def _reason(error: ApiError) -> str:
    """Why a request was given up, from an error's message: what was said at last."""
    text = str(error)
    said = text.partition("at last: ")[2].partition(". Run the flow")[0]
    return said or (f"status {error.status}" if error.status is not None else text)


# -- the lake ---------------------------------------------------------------------------------------------------------


def _lake_findings(lake: Lake, connection: str) -> list[Finding]:
    try:
        identity = lake.known_identity()
        trial = try_store(lake)
        holders = holders_of(lake, connection, TABLES)
    except IntercomLakeError as error:
        return [_fault("lake", error, url=lake.url)]
    kind = f"lake {identity.id[:8]}" if identity else "a new lake, which the first run makes"
    detail = f"{lake.url}, {kind}: can be written, listed, read and deleted"
    facts = {"url": lake.url, "id": identity.id if identity else None}
    findings = [Finding("lake", Verdict.OK, detail, facts=facts)]
    if trial.exclusively is not None:
        cure = "Two runs are not kept apart: keep the concurrency limit of 1 on every deployment that writes to it."
        detail = f"the store does not create files exclusively: {trial.exclusively}"
        findings.append(Finding("lock", Verdict.WARN, detail, cure))
    elif trial.conditionally is None:
        detail = "holds: of two writers one creates a file, and a changed file is not replaced (both tried)"
        findings.append(Finding("lock", Verdict.OK, detail))
    else:
        detail = "holds: of two writers one creates a file (tried)"
        if not lake.local:
            detail += f"; files are not replaced by their ETag: {trial.conditionally}"
        findings.append(Finding("lock", Verdict.OK, detail))
    return findings + [_holder(holder) for holder in holders]


def _holder(holder: Holder) -> Finding:
    tables = ", ".join(holder.tables)
    run = f"run {holder.run_id}, since {holder.since} on {holder.host}"
    facts = {"run_id": holder.run_id, "tables": list(holder.tables), "at_work": holder.at_work, "host": holder.host}
    if holder.at_work:
        detail = f"{run}, is at work on {tables}; another run over these tables waits or ends"
    elif holder.at_work is None:
        detail = (
            f"{run}, holds {tables}; its last sign of life is of {holder.renewed_at}. A minute without takes the lock"
        )
    else:
        detail = f"{run}, has died and left its lock on {tables}; the next run takes it over"
    return Finding("running", Verdict.NOTE, detail, facts=facts)


def _owner(lake: Lake, connection: str, selected: Sequence[Table], workspace: Workspace | None) -> Iterator[Finding]:
    """Whether the lake's tables are of the workspace that the token belongs to: a run refuses to mix two."""
    if workspace is None or workspace.code is None:
        return
    other: dict[str, list[str]] = {}
    known = 0
    try:
        for table in selected:
            record = _record(lake, connection, table)
            found = record.get("workspace")
            known += bool(found)
            if isinstance(found, str) and found and found != workspace.code:
                other.setdefault(found, []).append(table.name)
    except IntercomLakeError:
        return  # told by the line about the lake
    for code, tables in other.items():
        yield Finding(
            "workspace",
            Verdict.FAIL,
            f"the lake has {', '.join(tables)} of workspace {code} under connection {connection!r}, and the token is "
            f"of {workspace.code}",
            "Use another connection name or another lake.",
            setting=True,
            facts={"lake": code, "token": workspace.code, "tables": tables},
        )
    if known and not other:
        yield Finding("workspace", Verdict.OK, f"the lake's tables are of {workspace.code}, as the token is")


def _record(lake: Lake, connection: str, table: Table) -> Mapping[str, Any]:
    try:
        record = lake.read_json(TablePaths(connection, table.name).state)
    except ValueError:  # damaged: a run reads the table anew
        return {}
    return record if isinstance(record, dict) else {}


# -- Prefect ----------------------------------------------------------------------------------------------------------


def _prefect_findings(prefect: _Prefect, connection: str) -> list[Finding]:
    if prefect.fault is not None:
        found = _fault("prefect", prefect.fault)
        return [replace(found, cure=f"{found.cure} A block of the connection could not be looked for.")]
    settings, api = prefect.settings, prefect.api
    assert settings is not None
    if api is None:
        if not settings.temporary:
            cure = "Set PREFECT_API_URL, or PREFECT_SERVER_EPHEMERAL_ENABLED=true."
            return [Finding("prefect", Verdict.FAIL, "no API is configured, and no temporary one allowed", cure,
                            setting=True)]  # fmt: skip
        detail = "no API is configured: sync starts a temporary server. Blocks in its database were not looked at"
        return [Finding("prefect", Verdict.OK, detail, facts={"url": None})]
    try:
        return [_reached(settings, api), *_set_up(api, connection)]
    except PrefectError as error:
        return [_fault("prefect", error)]


def _reached(settings: ApiSettings, api: PlainApi) -> Finding:
    ours, theirs = version("prefect"), None if settings.is_cloud else api.get("/admin/version")
    facts = {"url": api.url, "from": settings.place, "version": theirs, "own_version": ours}
    detail = f"{api.url}, from {settings.place}"
    if not isinstance(theirs, str):
        return Finding("prefect", Verdict.OK, detail, facts=facts)
    theirs = theirs[:40]
    if theirs == ours:
        return Finding("prefect", Verdict.OK, f"{detail}, version {ours} as here", facts=facts)
    detail += f", version {theirs}, and {ours} here"
    if theirs.split(".")[0] != ours.split(".")[0]:
        cure = "Prefect's client refuses that: install the same major version."
        return Finding("prefect", Verdict.FAIL, detail, cure, facts=facts)
    if _numbers(theirs) < _numbers(ours):
        cure = "Prefect wants a server that is not older than its clients: upgrade the server."
        return Finding("prefect", Verdict.WARN, detail, cure, facts=facts)
    return Finding("prefect", Verdict.OK, detail, facts=facts)


def _set_up(api: PlainApi, connection: str) -> Iterator[Finding]:
    """What bootstrap makes, and is not there."""
    wanted = {
        "block type intercom-connection": "/block_types/slug/intercom-connection",
        f"work pool {_WORK_POOL}": f"/work_pools/{_WORK_POOL}",
    }
    if slug := _slug(connection):
        wanted[f"limit intercom-sync-{slug}"] = f"/v2/concurrency_limits/intercom-sync-{slug}"
    with ThreadPoolExecutor(len(wanted), thread_name_prefix="prefect") as pool:
        found = list(pool.map(api.get, wanted.values()))
    missing = [what for what, there in zip(wanted, found, strict=True) if there is None]
    if not missing:
        yield Finding("deployments", Verdict.OK, "the server is set up for them", facts={"missing": []})
        return
    cure = "Only deployments need that: intercom-lake bootstrap makes it."
    yield Finding("deployments", Verdict.NOTE, f"not set up: {', '.join(missing)}", cure, facts={"missing": missing})


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split("+")[0].split(".")[:3] if part.isdecimal()]


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
