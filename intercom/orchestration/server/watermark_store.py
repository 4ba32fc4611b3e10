"""Watermarks as Prefect blocks: one document per connection, table and lake, saved by runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from prefect.client.schemas.objects import BlockDocument

from intercom.blocks import IntercomWatermark
from intercom.config.connection import connection_slug
from intercom.errors import ConfigurationError, PrefectError
from intercom.lake.watermark import Watermark, WatermarkStore, from_record, to_record
from intercom.orchestration.server.documents import documents_named, save_document
from intercom.orchestration.server.retry import call_server, server_client

log = logging.getLogger(__name__)

_OF_A_RUN = ("run_id", "saved_at")
"""Fields that say by which run and when a document was saved, and not how far its table was read."""

_writing = Lock()
"""Lets this process save one document at a time: SQLite has one writer, so saves of many tables hinder each other."""


class BlockWatermarks:
    """Watermarks in Prefect blocks, one document per connection, table and lake; every method is thread-safe.

    The documents called `names` are read by one request when the first of them is asked for: tables of a run begin at
    the same time. A document that says the same already, but for its run and the time, is not saved again.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = set(names)
        self._read: dict[str, BlockDocument | None] = {}
        self._refused: PrefectError | None = None
        self._unanswered: PrefectError | None = None
        self._reading = Lock()

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        """The saved watermark; None when there is none, or when it cannot be read: then the lake's own counts.

        Raises PrefectError when the server refuses or does not answer; then nothing of the table is read.
        """
        name = document_name(connection, table, lake_id)
        document = self._document(name)
        if document is None:
            return None
        try:
            found = from_record(document.data, f"block {IntercomWatermark.get_block_type_slug()}/{name}")
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
        """Save over the older document. The lake's own record must have this watermark already.

        If the server does not answer for minutes, the run goes on: the next run begins at the older of the two
        watermarks, which costs time only. Raises PrefectError when the server refuses, as it would do so each time.
        """
        name = document_name(watermark.connection, watermark.table, watermark.lake_id)
        record, known = to_record(watermark), self._read.pop(name, None)
        if known is not None and _without_run(known.data) == _without_run(record):
            return

        def save() -> None:
            with _writing, server_client() as client:
                save_document(client, IntercomWatermark, name, record, known.id if known else None)

        try:
            call_server(f"save the watermark block {name}", save)
        except PrefectError as error:
            if error.refused:
                raise PrefectError(
                    f"{error} All rows are in the lake, and the watermark in the lake's own record; what was read is "
                    "merged by the next run. Let the runs' API key write blocks, and run again.",
                    refused=True,
                ) from error
            self._unanswered = error
            _tell_unsaved(watermark.table, error)

    def _document(self, name: str) -> BlockDocument | None:
        with self._reading:
            if name not in self._read:
                names = sorted({name, *self._names})
                if self._refused is not None:  # each table would wait for minutes, one after the other
                    raise self._refused
                try:
                    documents = call_server(
                        f"read the watermark block {name}", lambda: documents_named(IntercomWatermark, names)
                    )
                except PrefectError as error:
                    self._refused = error
                    raise
                found = {document.name: document for document in documents}
                self._read |= {one: found.get(one) for one in names}
                self._names.clear()
            return self._read[name]


class RunWatermarks(BlockWatermarks):
    """The watermarks of a run's tables, in the process that holds them; a short run saves them together at its end.

    While tasks end, Prefect's server writes down their states and events. A document that is saved at that time waits
    for seconds until SQLite lets it through. A run that dies before its end leaves older documents, or none: the next
    run begins at those, or at the lake's own record. A table that ends after `SHORT_SECONDS` is saved at once.
    """

    SHORT_SECONDS = 60.0

    def __init__(self, names: Sequence[str] = ()) -> None:
        super().__init__(names)
        self._kept: dict[str, Watermark] = {}
        self._until = time.monotonic() + self.SHORT_SECONDS

    def save(self, watermark: Watermark) -> None:
        self._kept[watermark.table] = watermark
        if time.monotonic() > self._until:
            super().save(self._kept.pop(watermark.table))

    def save_kept(self) -> dict[str, PrefectError]:
        """Save what is not saved yet. Gives the error of each table whose document the server refuses.

        Once the server has not answered for minutes, it is not waited for again for the other tables.
        """
        refused: dict[str, PrefectError] = {}
        self._unanswered = None
        for table in list(self._kept):
            watermark = self._kept.pop(table)
            if self._unanswered is not None:
                _tell_unsaved(table, self._unanswered)
                continue
            try:
                super().save(watermark)
            except PrefectError as error:
                refused[table] = error
        return refused


class _LastWatermark:
    """Keeps the last watermark that was saved, and does not pass it on to the store."""

    def __init__(self, store: WatermarkStore) -> None:
        self._store = store
        self.last: Watermark | None = None

    def load(self, connection: str, table: str, lake_id: str) -> Watermark | None:
        return self._store.load(connection, table, lake_id)

    def save(self, watermark: Watermark) -> None:
        self.last = watermark


@contextmanager
def saved_at_the_end(store: WatermarkStore) -> Iterator[WatermarkStore]:
    """A store for the steps of one table, each of which saves the watermark: the last one goes to `store` at the end.

    Until then, and if the run dies, `store` has the watermark of an earlier run: the next run reads some rows again.
    """
    kept = _LastWatermark(store)
    try:
        yield kept
    except Exception:
        if kept.last is not None:
            try:
                store.save(kept.last)
            except PrefectError as refused:  # the error that ended the steps is the one to tell
                log.warning("%s: %s", kept.last.table, refused)
        raise
    if kept.last is not None:
        store.save(kept.last)


def _tell_unsaved(table: str, error: PrefectError) -> None:
    log.warning(
        "%s: %s The watermark is in the lake's own record; the next run begins at the block's older one and reads some "
        "rows again.", table, error,
    )  # fmt: skip


def document_name(connection: str, table: str, lake_id: str) -> str:
    """Block document name of a watermark: connection, table and the first 8 characters of the lake's id."""
    return f"{connection_slug(connection)}-{table.replace('_', '-')}-{lake_id[:8]}"


def _without_run(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in _OF_A_RUN}
