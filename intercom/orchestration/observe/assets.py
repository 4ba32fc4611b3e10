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

from intercom.lake.layout import TablePaths
from intercom.orchestration.job import Job
from intercom.orchestration.observe.events import facts
from intercom.sync.summary import TableResult

_BY: Final = "intercom-lake"
_PLAIN: Final = ":/@+=,;!$()*"


def materialized(job: Job, table: TableResult) -> None:
    """Record that the run has brought a table of the lake up to date, and what it is made of."""
    key = table_key(job.lake_url, job.connection, table.table)
    AssetContext(
        downstream_assets={Asset(key=key, properties=AssetProperties(name=f"{job.connection} {table.table}"))},
        direct_asset_dependencies={Asset(key=source_key(job.connection, table.table))},
        materialized_by=_BY,
        materialization_metadata={key: {**facts(job, table), "format": job.table_format.value}},
    ).emit_events(Completed())


def table_key(lake: str, connection: str, table: str) -> str:
    """The URL of a table in a lake, ``s3://bucket/prefix/data/acme/contacts``; `lake` is the lake's whole URL."""
    return _allowed(f"{lake}/{TablePaths(connection, table).data}")


def source_key(connection: str, table: str) -> str:
    """``intercom://acme/contacts``: what a connection reads in Intercom."""
    return _allowed(f"intercom://{connection}/{table}")


def _allowed(url: str) -> str:
    """With ``~`` and two hex digits for each byte that Prefect does not allow; ``%`` is one of those."""
    return quote(url, safe=_PLAIN).replace("~", "%7E").replace("%", "~")
