"""Set-up of a Prefect server for deployments: creates what is missing, with a line for each step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import BlockDocumentUpdate, WorkPoolCreate
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessWorker

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.api.workspace import ask_workspace
from intercom.blocks import IntercomConnection, IntercomWatermark
from intercom.config.connection import MOST_IN_FLIGHT, Connection, Deleted, Region, connection_slug
from intercom.config.lookup import DEFAULT_CONNECTION, read_connections_file
from intercom.config.redaction import one_line, without_passwords
from intercom.errors import ApiError, ConfigurationError, FatalApiError
from intercom.orchestration.server.automations import notification_block, set_up_automations
from intercom.orchestration.server.documents import documents, load_connection, made_or_there, save_document
from intercom.orchestration.server.limits import scroll_limit, sync_limit
from intercom.orchestration.server.slots import ensure_limit

LEASE_STORAGE: Final = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"
"""The setting of a server that still knows the leases of runs when it is started anew."""

_LEASES_IN_MEMORY: Final = "prefect.server.concurrency.lease_storage.memory"

WORK_POOL: Final = "local-process"
"""The work pool of prefect.yaml."""

_IF_NOT_SET: Final[Mapping[str, Any]] = {"region": Region.US.value, "deleted": Deleted.REMOVE.value, "columns": {}}
"""What a connection block without these values means."""

_TRIAL: Final = RetryPolicy(tries=2, total_seconds=30.0, connect_seconds=5.0, read_seconds=15.0)
"""For the requests that try a connection: few and short, since an operator waits, and nothing depends on them."""


def check_api() -> str:
    """The address of Prefect's API; ConfigurationError when none is configured or it does not answer."""
    url = without_passwords(PREFECT_API_URL.value() or "")  # a proxy's password must not be shown
    if not url:
        raise ConfigurationError(
            "No Prefect server is configured. Start one (prefect server start), tell its address (prefect config set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api, or the environment variable), then run this again."
        )
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pools(limit=1)  # unlike its health, this needs the right key
        except httpx.HTTPError as error:
            raise ConfigurationError(
                f"Prefect's API at {url} does not answer as it should: {one_line(error)}. Check that the server runs, "
                "the address (PREFECT_API_URL) and the key (PREFECT_API_KEY, PREFECT_API_AUTH_STRING). Nothing was "
                "changed."
            ) from error
    return url


def prepare_server(connections_file: Path | None, notify: str | None) -> Iterator[str]:
    """All of the set-up, a line for each step; `notify` is the block of the automations, ``<type>/<name>``.

    File and block are read first, so that a mistake in either changes nothing: ConfigurationError.
    """
    connections = connections_of(connections_file, os.environ) if connections_file else []
    yield f"Prefect at {check_api()}"
    block = None if notify is None else notification_block(notify)
    yield from set_up(connections)
    if block is not None:
        yield from set_up_automations(block)


def set_up(connections: Sequence[Connection]) -> Iterator[str]:
    """Block types, the given connections as blocks, the work pool, limits for runs and scrolls; a line for each.

    All connections that the server has are tried with one request: a wrong token is told here, and changes nothing.
    """
    with get_client(sync_client=True) as client:
        for kind in (IntercomConnection, IntercomWatermark):
            yield f"block type {kind.get_block_type_slug()}: {_register(client, kind)}"
        for connection in connections:
            place = f"block intercom-connection/{connection_slug(connection.name)}"
            yield f"connection {connection.name} ({place}): {_save_connection(client, connection)}"
        yield f"work pool {WORK_POOL}: {_make_pool(client)}"
        found = [document for document in documents(client, IntercomConnection) if document.name]
        for document in found:
            if document.block_schema_id != IntercomConnection._block_schema_id:
                _update_schema(client, document)
                yield f"block intercom-connection/{document.name}: updated to the form of this version"
        for slug in sorted({DEFAULT_CONNECTION, *(str(document.name) for document in found)}):
            yield _limit(sync_limit(slug))
        for document in found:
            yield from _try_connection(str(document.name))
        if _keeps_leases_in_memory(client):
            yield (
                "note: this server keeps leases in memory. If it restarts while a run is working, it may cancel the "
                f"deployment's later runs until that one is cancelled. Start it with {LEASE_STORAGE}"
            )


def connections_of(file: Path, environ: Mapping[str, str]) -> list[Connection]:
    """All connections of a file in its order; ConfigurationError for any fault, such as two names that are one."""
    return list(read_connections_file(file, environ).values())


def _register(client: SyncPrefectClient, kind: type[Block]) -> str:
    before = _type_and_schema(client, kind)
    made_or_there(kind.register_type_and_schema)
    if before is None:
        return "created"
    return "already there" if before == _type_and_schema(client, kind) else "updated"


def _type_and_schema(client: SyncPrefectClient, kind: type[Block]) -> Any:
    """What the server knows of a block type, None when it does not know it."""
    try:
        known = client.read_block_type_by_slug(kind.get_block_type_slug())
    except ObjectNotFound:
        return None
    schema = client.get_most_recent_block_schema_for_block_type(known.id)
    shown = (known.logo_url, known.documentation_url, known.description, known.code_example)
    return shown, None if schema is None else schema.id


def _save_connection(client: SyncPrefectClient, connection: Connection) -> str:
    name, given = connection_slug(connection.name), _values(connection)
    try:
        document = client.read_block_document_by_name(name, IntercomConnection.get_block_type_slug())
    except ObjectNotFound:
        outcome = "created"
    else:
        kept = {key: value for key, value in document.data.items() if value is not None}
        differ = [key for key in IntercomConnection.model_fields if _told(key, kept) != _told(key, given)]
        if not differ and document.block_schema_id == IntercomConnection._block_schema_id:
            return "already there"
        outcome = f"updated: {', '.join(differ) or 'the form of this version'}"
    save_document(client, IntercomConnection, name, given)
    return outcome


def _told(key: str, values: Mapping[str, Any]) -> Any:
    """A value of a block, or what counts where it has none."""
    return values.get(key, _IF_NOT_SET.get(key))


def _values(connection: Connection) -> dict[str, Any]:
    """A connection as its block has it, without what is not set."""
    own_url = connection.base_url if connection.base_url != connection.region.base_url else None
    in_flight = connection.requests_in_flight if connection.requests_in_flight != MOST_IN_FLIGHT else None
    values = {
        "access_token": connection.access_token.get_secret_value(),
        "region": connection.region.value,
        "base_url": own_url,
        "requests_per_10s": connection.requests_per_10s,
        "requests_in_flight": in_flight,
        "deleted": (Deleted.MARK if connection.settings.marks_deleted else Deleted.REMOVE).value,
        "columns": dict(connection.columns),
        "hash_key": None if connection.hash_key is None else connection.hash_key.get_secret_value(),
    }
    # The region is always there, so that a person who opens the block sees it.
    return {key: value for key, value in values.items() if key == "region" or value != _IF_NOT_SET.get(key)}


def _make_pool(client: SyncPrefectClient) -> str:
    try:
        kept = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        try:
            client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type=ProcessWorker.type, base_job_template=template))
        except ObjectAlreadyExists:  # another one that sets the server up
            kept = client.read_work_pool(WORK_POOL)
        else:
            return "created"
    return "already there" if kept.type == ProcessWorker.type else f"already there, of type {kept.type}: left as it is"


def _limit(name: str) -> str:
    return f"limit {name}: {'created' if ensure_limit(name) else 'already there'}"


def _try_connection(slug: str) -> Iterator[str]:
    """Ask whose token it is, and create the limit of that workspace's scrolls; runs create it where this fails."""
    try:
        connection = load_connection(slug)
        if connection is None:
            return
        client = IntercomClient(connection, RateLimiter(connection.requests_per_10s), policy=_TRIAL)
        with closing(client):
            code = ask_workspace(client).code
    except ConfigurationError as error:
        yield f"warning: runs over connection {slug} will fail: {error}"
    except FatalApiError as error:
        yield f"warning: Intercom does not say whose token connection {slug} has: {error}"
    except ApiError as error:
        yield f"note: connection {slug} was not tried, Intercom is out of reach from here: {error}"
    else:
        yield f"connection {slug}: Intercom takes its token, of workspace {code or 'unknown'}"
        if code is not None:
            yield _limit(scroll_limit(code))


def _keeps_leases_in_memory(client: SyncPrefectClient) -> bool:
    """False where the server does not say, such as Prefect Cloud, which has no such setting."""
    try:
        settings = client.request("GET", "/admin/settings").json()
        return bool(settings["server"]["concurrency"]["lease_storage"] == _LEASES_IN_MEMORY)
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False


def _update_schema(client: SyncPrefectClient, document: BlockDocument) -> None:
    """Give an older document the present schema, which is the form that the UI shows; its values stay."""
    client.update_block_document(
        document.id, BlockDocumentUpdate(block_schema_id=IntercomConnection._block_schema_id, data={})
    )
