"""What a Prefect server needs before deployments run there, made where it is not yet; each step says what it did."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import BlockDocumentUpdate, WorkPoolCreate
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessWorker

from intercom.blocks import IntercomConnection, documents, save_document
from intercom.config import DEFAULT_CONNECTION, Connection, connection_slug, read_connections_file
from intercom.errors import ConfigurationError
from intercom.inflight import MOST_IN_FLIGHT
from intercom.limits import sync_limit
from intercom.slots import ensure_limit
from intercom.watermark_blocks import IntercomWatermark

LEASE_STORAGE: Final = "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"
"""The setting of a server that remembers, when it is started anew, which runs were at work."""

_FORGETFUL: Final = "prefect.server.concurrency.lease_storage.memory"

WORK_POOL: Final = "local-process"
"""The work pool of prefect.yaml."""


def check_api() -> str:
    """The address of Prefect's API; ConfigurationError when none is configured or it does not answer."""
    url = re.sub("//[^/@]*@", "//...@", PREFECT_API_URL.value() or "")  # the password of a proxy is nobody's business
    if not url:
        raise ConfigurationError(
            "No Prefect server is configured. Start one (prefect server start), tell its address (prefect config set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api, or the environment variable), then run this again."
        )
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pools(limit=1)  # its health it tells to everybody; this also needs the right key
        except httpx.HTTPError as error:
            told = str(error).splitlines() or [type(error).__name__]
            raise ConfigurationError(
                f"Prefect's API at {url} does not answer as it should: {told[0]}. Check that the server runs, the "
                "address (PREFECT_API_URL) and the key (PREFECT_API_KEY, PREFECT_API_AUTH_STRING). Nothing was changed."
            ) from error
    return url


def set_up(connections: Sequence[Connection]) -> Iterator[str]:
    """Block types, the given connections as blocks, the work pool, a limit for each connection; a line for each."""
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
                _renew_form(client, document)
                yield f"block intercom-connection/{document.name}: updated to the form of this version"
        for slug in sorted({DEFAULT_CONNECTION, *(str(document.name) for document in found)}):
            yield f"limit {sync_limit(slug)}: {'created' if ensure_limit(sync_limit(slug)) else 'already there'}"
        if _forgets_leases(client):
            yield (
                "note: this server keeps leases in memory. Started anew while a run is at work, it may cancel the "
                f"deployment's later runs until that one is cancelled. Start it with {LEASE_STORAGE}"
            )


def connections_of(file: Path, environ: Mapping[str, str]) -> list[Connection]:
    """All connections of a file in its order; ConfigurationError for any fault, such as two names that are one."""
    return list(read_connections_file(file, environ).values())


def _register(client: SyncPrefectClient, kind: type[Block]) -> str:
    before = _type_and_schema(client, kind)
    kind.register_type_and_schema()
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
        kept = {"region": "us", **{key: value for key, value in document.data.items() if value is not None}}
        if kept == given and document.block_schema_id == IntercomConnection._block_schema_id:
            return "already there"
        outcome = "updated"
    save_document(client, IntercomConnection, name, given)
    return outcome


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
    }
    return {key: value for key, value in values.items() if value is not None}


def _make_pool(client: SyncPrefectClient) -> str:
    try:
        kept = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type=ProcessWorker.type, base_job_template=template))
        return "created"
    return "already there" if kept.type == ProcessWorker.type else f"already there, of type {kept.type}: left as it is"


def _forgets_leases(client: SyncPrefectClient) -> bool:
    """False where it cannot be told, as of Prefect Cloud, which has no such setting."""
    try:
        settings = client.request("GET", "/admin/settings").json()
        return bool(settings["server"]["concurrency"]["lease_storage"] == _FORGETFUL)
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False


def _renew_form(client: SyncPrefectClient, document: BlockDocument) -> None:
    """Show an older document by the present form; its values stay."""
    client.update_block_document(
        document.id, BlockDocumentUpdate(block_schema_id=IntercomConnection._block_schema_id, data={})
    )
