"""Copies of contacts with own ids, addresses and times: a million of them are made in seconds, not minutes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle

from intercom.sandbox.records import Record
from intercom.sandbox.seed.contacts import address_name, user_number
from intercom.sandbox.seed.sources import Sources


def copied_contacts(originals: Sequence[Record], count: int, sources: Sources) -> Iterator[Record]:
    """``count`` contacts, sorted by created_at, copied from the originals except id, times, e-mail and user id."""
    templates = cycle([_Template(record) for record in originals])
    # Sorted, so that a page's records are adjacent in memory: cache misses take most of the time of an answer.
    times = sorted(sources.times() for _ in range(count))
    for (created, updated), template in zip(times, templates, strict=False):
        yield template.filled(sources.hex_id(created), created, updated)


class _Template:
    """A record's text with placeholders for the values that differ between copies."""

    def __init__(self, record: Record) -> None:
        key, number = record.key, user_number(record.key)
        text = record.body.replace(b"%", b"%%")
        for own, hole in (
            (key, b"%(key)b"),
            (key[:20], b"%(start)b"),
            (f'"external_id":"{number}"', b'"external_id":"%(number)b"'),
            (address_name(key), b"%(address)b"),
            (f'"created_at":{record.created_at},', b'"created_at":%(created)d,'),
            (f'"updated_at":{record.updated_at},', b'"updated_at":%(updated)d,'),
        ):
            text = text.replace(own.encode(), hole)
        self._text = text

    def filled(self, key: str, created: int, updated: int) -> Record:
        body = self._text % {
            b"key": key.encode(),
            b"start": key[:20].encode(),
            b"number": user_number(key).encode(),
            b"address": address_name(key).encode(),
            b"created": created,
            b"updated": updated,
        }
        return Record(key, created, updated, body)
