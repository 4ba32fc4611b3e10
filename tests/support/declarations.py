"""Tables as other versions of this package might declare them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import pytest

from intercom.tables.catalogue import TABLES
from intercom.tables.schema import Column, ColumnKind, TableSchema


def declared_as(
    schema: TableSchema,
    *,
    without: str = "",
    added: tuple[Column, ...] = (),
    kinds: Mapping[str, ColumnKind] | None = None,
) -> TableSchema:
    """A declaration without some columns, with others, or with other kinds."""
    gone = without.split()
    own = [replace(column, kind=(kinds or {}).get(column.name, column.kind)) for column in schema.fields]
    return TableSchema(
        (*(column for column in own if column.name not in gone), *added),
        tuple(column for column in schema.flat if column.name not in gone),
    )


CONTACTS = TABLES["contacts"].schema
EARLIER = {
    "fewer columns": declared_as(CONTACTS, without="phone utm_source avatar signed_up_at unsubscribed_from_sms"),
    "fewer flat columns": declared_as(CONTACTS, without="location_city companies_count company_ids"),
    "more columns": declared_as(
        CONTACTS,
        added=(
            Column("beta_score", ColumnKind.FLOAT),
            Column("beta_signals", ColumnKind.JSON),
            Column("x", ColumnKind.INT),
        ),
    ),
    "other types": declared_as(
        CONTACTS,
        kinds={
            "owner_id": ColumnKind.INT,
            "last_seen_at": ColumnKind.INT,
            "has_hard_bounced": ColumnKind.JSON,
            "custom_attributes": ColumnKind.STRING,
            "phone": ColumnKind.FLOAT,
        },
    ),
    "texts that are JSON": declared_as(CONTACTS, kinds={"name": ColumnKind.JSON, "email": ColumnKind.JSON}),
    "another order": TableSchema(tuple(reversed(CONTACTS.fields)), CONTACTS.flat),
}
EARLIER["all of it"] = declared_as(
    declared_as(EARLIER["other types"], without="utm_source avatar location_city companies_count"),
    added=(Column("beta_score", ColumnKind.FLOAT),),
)


@contextmanager
def declared(**schemas: TableSchema) -> Iterator[None]:
    """Within the block, these tables have these schemas, as in another version of this package."""
    tables = {name: replace(table, schema=schemas.get(name, table.schema)) for name, table in TABLES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.support.rig.TABLES", tables)
        patch.setattr("tests.support.truth.TABLES", tables)
        yield
