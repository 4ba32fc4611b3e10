"""Block documents on Prefect's server: users' connections and storage options, and what runs save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import BlockDocumentCreate, BlockDocumentUpdate
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from pydantic import ValidationError

from intercom.blocks import IntercomConnection, connection_of
from intercom.config.connection import Connection, connection_slug
from intercom.config.storage_options import block_named, options_from_block
from intercom.errors import ConfigurationError
from intercom.orchestration.server.retry import call_server, server_client

_PAGE_SIZE = 200
_CREATIONS = 5
"""Tries: another process may create a block type, its schema and a document, each just before this one."""


def load_connection(name: str) -> Connection | None:
    """The connection of block ``intercom-connection/<slug of name>``, None when there is no such block.

    Raises PrefectError when the server refuses or does not answer, and ConfigurationError, which names the block and
    the field, for values that cannot be used.
    """
    slug = connection_slug(name)
    place = f"block intercom-connection/{slug}"
    values = call_server(f"read {place}", lambda: load_values("intercom-connection", slug))
    if values is None:
        return None
    try:
        block = IntercomConnection.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        details = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
        raise ConfigurationError(f"{place}: {details}. Correct it in Prefect's UI (Blocks) and run again.") from None
    return connection_of(block, name, place)


def load_storage_options(reference: str) -> dict[str, Any]:
    """fsspec's options from a block given as ``<type>/<name>``; ConfigurationError when there is none.

    The document is read without its class, so the collections that define these block types need not be installed.
    Raises PrefectError when the server does not give it.
    """
    kind, name = block_named(reference)
    values = call_server(f"read block {reference}", lambda: load_values(kind, name))
    if values is None:
        raise ConfigurationError(
            f"There is no Prefect block {reference!r} with storage options. Save it, or name another. Nothing was read."
        )
    return options_from_block(kind, values)


def made_or_there(make: Callable[[], Any]) -> None:
    """Call `make`, which looks for things on the server and creates those that are missing.

    It is called again when another process has created one of them in between: each call then finds one more. Raises
    ObjectAlreadyExists when that does not end.
    """
    for _ in range(_CREATIONS):
        try:
            make()
        except ObjectAlreadyExists:
            continue
        return
    make()


def documents(client: SyncPrefectClient, kind: type[Block]) -> Iterator[BlockDocument]:
    """All documents of a type, without their secrets; none when the server does not know the type."""
    offset = 0
    while True:
        try:
            page = client.read_block_documents_by_type(
                kind.get_block_type_slug(), offset=offset, limit=_PAGE_SIZE, include_secrets=False
            )
        except ObjectNotFound:
            return
        yield from page
        offset += len(page)
        if len(page) < _PAGE_SIZE:
            return


def save_document(
    client: SyncPrefectClient, kind: type[Block], name: str, data: dict[str, Any], known: UUID | None = None
) -> None:
    """Save a document in place of an older one; `data` is all that it has afterwards, `known` the older one's id.

    With Prefect's client: saving by the block itself merges old values with new ones, and works out the type's JSON
    schema anew, several times, which takes a quarter of a second of CPU each time.
    """
    if kind._block_schema_id is None or kind._block_type_id is None:
        made_or_there(kind.register_type_and_schema)
    assert kind._block_schema_id is not None
    assert kind._block_type_id is not None
    new = BlockDocumentCreate(
        name=name, data=data, block_schema_id=kind._block_schema_id, block_type_id=kind._block_type_id
    )
    update = BlockDocumentUpdate(block_schema_id=kind._block_schema_id, data=data, merge_existing_data=False)

    def save() -> None:
        try:
            document = client.read_block_document_by_name(name, kind.get_block_type_slug())
        except ObjectNotFound:
            client.create_block_document(new)
        else:
            client.update_block_document(document.id, update)

    if known is not None:
        with suppress(ObjectNotFound):  # somebody has deleted it
            client.update_block_document(known, update)
            return
    made_or_there(save)


def documents_named(kind: type[Block], names: Sequence[str]) -> list[BlockDocument]:
    """The existing documents of a type with one of up to 200 names, without their secrets, by one request."""
    asked = {
        "block_documents": {"name": {"any_": list(names)}},
        "block_types": {"slug": {"any_": [kind.get_block_type_slug()]}},
        "limit": _PAGE_SIZE,
    }
    with server_client() as client:
        found = client.request("POST", "/block_documents/filter", json=asked).json()
    return [BlockDocument.model_validate(document) for document in found]


def load_values(slug: str, name: str) -> dict[str, Any] | None:
    """The values of a block document, with its secrets and unchecked; None when there is none.

    Not by `Block.load`: its error for a value that does not fit shows the value, and names neither place nor cure.
    """
    with server_client() as client:
        try:
            return dict(client.read_block_document_by_name(name, slug, include_secrets=True).data)
        except ObjectNotFound:
            return None
