"""Prefect block types: connections with their token, and watermarks. Field names are kept for saved documents.

Prefect's block names allow lowercase letters, digits and dashes, so names are slugs: ``my_intercom`` is stored as
``my-intercom``.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Literal

from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentCreate, BlockDocumentUpdate
from prefect.exceptions import ObjectNotFound
from pydantic import Field, SecretStr, ValidationError

from intercom.config import Connection, connection_slug, make_connection
from intercom.errors import ConfigurationError
from intercom.storage import block_named, from_block
from intercom.watermarks import Watermark

log = logging.getLogger(__name__)


class IntercomConnection(Block):
    """Access to one Intercom workspace: its token and the region where its data live."""

    _block_type_name = "Intercom Connection"
    _block_type_slug = "intercom-connection"

    access_token: SecretStr = Field(title="Access token", description="Token of the app in Intercom's Developer Hub.")
    region: Literal["us", "eu", "au"] = Field(default="us", description="Where the workspace's data live.")
    base_url: str | None = Field(default=None, title="Base URL", description="A proxy in front of the API; https.")
    requests_per_10s: int | None = Field(
        default=None, title="Requests per 10 s", description="A cap below what the API allows."
    )
    requests_in_flight: int | None = Field(
        default=None, title="Requests in flight", description="How many may be under way at once; 1 to 32."
    )


class IntercomWatermark(Block):
    """How far one table of one connection has been read into one lake."""

    _block_type_name = "Intercom Watermark"
    _block_type_slug = "intercom-watermark"

    connection: str
    table: str
    lake_id: str
    lake_url: str
    cursor_field: str
    value: datetime | None = Field(default=None, description="UTC; everything that changed up to here is in the lake.")
    run_id: str | None = None
    rows: int | None = None
    saved_at: datetime | None = None


def load_connection(name: str) -> Connection | None:
    """The connection of block ``intercom-connection/<slug of name>``, None when there is no such block."""
    slug = connection_slug(name)
    block = _load(IntercomConnection, slug)
    if not isinstance(block, IntercomConnection):
        return None
    return make_connection(
        name=name,
        access_token=block.access_token,
        region=block.region,
        base_url=block.base_url,
        requests_per_10s=block.requests_per_10s,
        requests_in_flight=block.requests_in_flight,
        place=f"block intercom-connection/{slug}",
    )


def load_storage_options(reference: str) -> dict[str, Any]:
    """fsspec's options from a block given as ``<type>/<name>``; ConfigurationError when there is none.

    Its content is asked for as it is: the collections that define these block types need not be installed.
    """
    kind, name = block_named(reference)
    with get_client(sync_client=True) as client:
        try:
            document = client.read_block_document_by_name(name, kind, include_secrets=True)
        except ObjectNotFound as error:
            raise ConfigurationError(
                f"There is no Prefect block {reference!r} with storage options. Save it, or name another. "
                "Nothing was read."
            ) from error
    return from_block(kind, document.data)


class BlockWatermarks:
    """Watermarks in Prefect blocks, one document per connection, table and lake."""

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        """The saved watermark; None when there is none, or when it cannot be read: then the lake's own counts."""
        try:
            block = _load(IntercomWatermark, document_name(connection, table, lake_id))
        except ValidationError as error:
            log.warning("The watermark block of %s cannot be read and is ignored: %s", table, error)
            return None
        if not isinstance(block, IntercomWatermark) or (block.table, block.lake_id) != (table, lake_id):
            return None
        if block.connection != connection:
            raise ConfigurationError(
                f"Connections {connection!r} and {block.connection!r} are one name to Prefect "
                f"({connection_slug(connection)!r}) and would share watermarks. Rename one of them; nothing was read."
            )
        return Watermark(
            connection=connection,
            table=table,
            lake_id=lake_id,
            lake_url=block.lake_url,
            cursor_field=block.cursor_field,
            value=None if block.value is None else int(block.value.timestamp()),
            run_id=block.run_id or "",
            rows=block.rows or 0,
            saved_at=block.saved_at or datetime.now(UTC),
        )

    def save(self, watermark: Watermark) -> None:
        """Save over the older document.

        With Prefect's client: saving by the block itself works out its JSON schema anew, several times, which takes a
        quarter of a second of CPU each time.
        """
        name = document_name(watermark.connection, watermark.table, watermark.lake_id)
        data = _block(watermark).model_dump(mode="json", include=set(IntercomWatermark.model_fields))
        with get_client(sync_client=True) as client:
            try:
                document = client.read_block_document_by_name(name, IntercomWatermark._block_type_slug or "")
            except ObjectNotFound:
                client.create_block_document(_new_document(name, data))
            else:
                client.update_block_document(document.id, BlockDocumentUpdate(data=data, merge_existing_data=False))


def _new_document(name: str, data: dict[str, Any]) -> BlockDocumentCreate:
    kind = IntercomWatermark
    if kind._block_schema_id is None or kind._block_type_id is None:
        kind.register_type_and_schema()
    assert kind._block_schema_id is not None
    assert kind._block_type_id is not None
    return BlockDocumentCreate(
        name=name, data=data, block_schema_id=kind._block_schema_id, block_type_id=kind._block_type_id
    )


def _block(watermark: Watermark) -> IntercomWatermark:
    value = None if watermark.value is None else datetime.fromtimestamp(watermark.value, UTC)
    return IntercomWatermark(
        connection=watermark.connection,
        table=watermark.table,
        lake_id=watermark.lake_id,
        lake_url=watermark.lake_url,
        cursor_field=watermark.cursor_field,
        value=value,
        run_id=watermark.run_id,
        rows=watermark.rows,
        saved_at=watermark.saved_at,
    )


def document_name(connection: str, table: str, lake_id: str) -> str:
    """Block document name of a watermark: connection, table and the first 8 characters of the lake's id."""
    return f"{connection_slug(connection)}-{table.replace('_', '-')}-{lake_id[:8]}"


def _load(kind: type[Block], name: str) -> Block | None:
    """A block document, None when there is none.

    Prefect says so by a plain ValueError; a ValidationError, which is one too, means a damaged document.
    """
    try:
        return kind.load(name)  # type: ignore[return-value]
    except ValidationError:
        raise
    except ValueError as error:
        if "Unable to find block document" not in str(error):
            raise
        return None
