"""Watermarks as Prefect blocks: one document per connection, table and lake, saved by runs."""

from __future__ import annotations

import logging

from prefect.client.orchestration import get_client

from intercom.blocks import IntercomWatermark
from intercom.config.connection import connection_slug
from intercom.errors import ConfigurationError, PrefectError
from intercom.lake.watermark import Watermark, from_record, to_record
from intercom.orchestration.server.documents import load_values, save_document
from intercom.orchestration.server.retry import call_server

log = logging.getLogger(__name__)


class BlockWatermarks:
    """Watermarks in Prefect blocks, one document per connection, table and lake."""

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        """The saved watermark; None when there is none, or when it cannot be read: then the lake's own counts.

        Raises PrefectError when the server does not give it, for which nothing is read.
        """
        name = document_name(connection, table, lake_id)
        slug = IntercomWatermark.get_block_type_slug()
        values = call_server(f"read the watermark block {name}", lambda: load_values(slug, name))
        if values is None:
            return None
        try:
            found = from_record(values, f"block {slug}/{name}")
        except ConfigurationError as error:
            log.warning("%s: what the lake's own record says counts instead. %s", table, error)
            return None
        if (found.table, found.lake_id) != (table, lake_id):
            return None
        if found.connection != connection:
            raise ConfigurationError(
                f"Connections {connection!r} and {found.connection!r} are one name to Prefect "
                f"({connection_slug(connection)!r}) and would share watermarks. Rename one of them; nothing was read."
            )
        return found

    def save(self, watermark: Watermark) -> None:
        """Save over the older document, when its copy in the lake is saved already.

        A server that does not take it in minutes ends no run: the next one begins at the older of the two, which costs
        time only. PrefectError when it refuses, since it would do so each time.
        """
        name = document_name(watermark.connection, watermark.table, watermark.lake_id)

        def save() -> None:
            with get_client(sync_client=True) as client:
                save_document(client, IntercomWatermark, name, to_record(watermark))

        try:
            call_server(f"save the watermark block {name}", save)
        except PrefectError as error:
            if error.refused:
                raise PrefectError(
                    f"{error} All rows are in the lake, and the watermark in the lake's own record; what was read is "
                    "merged by the next run. Let the runs' API key write blocks, and run again.",
                    refused=True,
                ) from error
            log.warning(
                "%s: %s The watermark is in the lake's own record; the next run begins at the block's older one and "
                "reads some rows again.", watermark.table, error,
            )  # fmt: skip


def document_name(connection: str, table: str, lake_id: str) -> str:
    """Block document name of a watermark: connection, table and the first 8 characters of the lake's id."""
    return f"{connection_slug(connection)}-{table.replace('_', '-')}-{lake_id[:8]}"
