"""Tables as assets of Prefect: the one of Intercom, and the one in the lake that is made of it.

The events are those that Prefect sends for a task that is decorated with ``@materialize``, made by the same code of
Prefect. The decorator itself would also call a table materialised whose rows only wait to be merged.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from prefect.assets import Asset, AssetProperties
from prefect.context import AssetContext
from prefect.states import Completed
from pydantic import Field

from intercom.lake.layout import TablePaths
from intercom.orchestration.job import Job
from intercom.orchestration.observe.events import facts
from intercom.orchestration.settings import EnvironmentSettings
from intercom.sync.summary import TableResult
from intercom.tables.catalogue import TABLES
from intercom.tables.table import Strategy, Table

_BY: Final = "intercom-lake"
_PLAIN: Final = ":/@+=,;!$()*"


class AssetSettings(EnvironmentSettings):
    """Who answers for the tables, in Prefect's list of assets."""

    asset_owners: str = Field(default="", description="Give names or e-mail addresses, separated by commas.")

    @property
    def owners(self) -> list[str]:
        """The owners, in the order that was given; none if nothing is said."""
        return [owner.strip() for owner in self.asset_owners.split(",") if owner.strip()]


def materialized(job: Job, table: TableResult) -> None:
    """Record that the run has brought a table of the lake up to date, and what it is made of."""
    key = table_key(job.lake_url, job.connection, table.table)
    AssetContext(
        downstream_assets={Asset(key=key, properties=_properties(job, table.table))},
        direct_asset_dependencies={Asset(key=made_of(TABLES[table.table], job.lake_url, job.connection))},
        materialized_by=_BY,
        materialization_metadata={key: {**facts(job, table), "format": job.table_format.value}},
    ).emit_events(Completed())


def _properties(job: Job, table: str) -> AssetProperties:
    """Without owners where nobody has named any: what is set here takes the place of what Prefect knows."""
    entry = TABLES[table]
    properties = AssetProperties(
        name=f"{job.connection} {table}",
        description=f"Copy of Intercom's {table} of connection {job.connection}: {kept_rows(entry)}. "
        f"{job.table_format.value.capitalize()} files in {job.lake_url}/{TablePaths(job.connection, table).data}",
    )
    owners = AssetSettings.read().owners
    return properties.model_copy(update={"owners": owners}) if owners else properties


def kept_rows(table: Table) -> str:
    """Which rows a table has, in words."""
    key, parent = " and ".join(table.primary_key), table.parent.table.name if table.parent else ""
    return {
        Strategy.MERGE: f"one row per {key}, with the newest {table.cursor_field}",
        Strategy.REPLACE: "replaced as a whole by each run",
        Strategy.REPLACE_CHILDREN: f"one row per {key}, as they were when their record of {parent} was read",
        Strategy.DERIVE: f"one row per {key}, made of the rows of {parent}",
    }[table.strategy]


def made_of(table: Table, lake: str, connection: str) -> str:
    """The key of what a table is made of: what the connection reads, or for a derived table its parent in the lake."""
    if table.made_of is not None:
        return table_key(lake, connection, table.made_of.name)
    return source_key(connection, table.name)


def table_key(lake: str, connection: str, table: str) -> str:
    """The URL of a table in a lake, ``s3://bucket/prefix/data/acme/contacts``; `lake` is the lake's whole URL."""
    return _allowed(f"{lake}/{TablePaths(connection, table).data}")


def source_key(connection: str, table: str) -> str:
    """``intercom://acme/contacts``: what a connection reads in Intercom."""
    return _allowed(f"intercom://{connection}/{table}")


def _allowed(url: str) -> str:
    """With ``~`` and two hex digits for each byte that Prefect does not allow; ``%`` is one of those."""
    return quote(url, safe=_PLAIN).replace("~", "%7E").replace("%", "~")
