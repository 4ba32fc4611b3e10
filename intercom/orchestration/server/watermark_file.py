"""Watermarks of one Prefect server in a file, to move them to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from intercom.blocks import IntercomWatermark
from intercom.errors import ConfigurationError
from intercom.lake.watermark import Watermark
from intercom.orchestration.server.documents import documents, save_document
from intercom.orchestration.server.watermark_records import dumped, from_record, loaded, to_record
from intercom.orchestration.server.watermark_store import document_name


def export_watermarks(file: Path) -> Iterator[str]:
    """Write all watermarks to a file, whole or not at all; a line for each document that is left out."""
    kept: list[Watermark] = []
    with get_client(sync_client=True) as client:
        for document in documents(client, IntercomWatermark):
            try:
                kept.append(from_record(document.data, f"block intercom-watermark/{document.name}"))
            except ConfigurationError as error:
                yield f"left out: {error}"
    if not kept:
        raise ConfigurationError(
            f"Prefect has no watermarks to export: is it the right server? {file} was neither made nor changed."
        )
    _write(file, dumped(kept))
    yield f"exported {len(kept)} watermarks to {file}"


def import_watermarks(watermarks: Sequence[Watermark]) -> Iterator[str]:
    """Save those that are not there; one that is there is left as it is, since only runs move watermarks."""
    with get_client(sync_client=True) as client:
        for watermark in watermarks:
            name = document_name(watermark.connection, watermark.table, watermark.lake_id)
            yield f"watermark {name}: {_import(client, name, watermark)}"


def watermarks_of(file: Path) -> list[Watermark]:
    """The watermarks of a file that was exported; ConfigurationError for another one."""
    try:
        return loaded(file.read_bytes(), str(file))
    except OSError as error:
        raise ConfigurationError(f"{file}: the file cannot be read ({error.strerror}). Check the path.") from error


def _import(client: SyncPrefectClient, name: str, watermark: Watermark) -> str:
    try:
        document = client.read_block_document_by_name(name, IntercomWatermark.get_block_type_slug())
    except ObjectNotFound:
        save_document(client, IntercomWatermark, name, to_record(watermark))
        return f"created at {_value(to_record(watermark))}"
    if _value(document.data) == _value(to_record(watermark)):
        return "already there"
    return f"kept at {_value(document.data)}; the file says {_value(to_record(watermark))}"


def _value(record: Mapping[str, Any]) -> str:
    return str(record.get("value") or "the beginning")


def _write(file: Path, text: str) -> None:
    aside = file.with_name(f".{file.name}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise ConfigurationError(f"{file}: the file cannot be written ({error.strerror}). Choose another.") from error
