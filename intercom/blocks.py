"""The Prefect blocks of this package: connections with their token, which users save, and watermarks, which runs save.

Prefect's block names allow lowercase letters, digits and dashes, so names are slugs: ``my_intercom`` is stored as
``my-intercom``. Saved documents are read by later package versions, so fields are only added, with a default, and never
renamed.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from prefect.blocks.abstract import CredentialsBlock
from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, SecretStr

from intercom.config.connection import MOST_IN_FLIGHT, Connection, make_connection

if TYPE_CHECKING:
    from intercom.api.client import IntercomClient

LOGO: Final = HttpUrl("https://github.com/intercom.png?size=256")
"""Intercom's own picture, which GitHub keeps up to date; without the internet the UI shows a blank instead.

Prefect takes https addresses only, so it cannot be `logo.png` beside this module, a picture of the same size.
"""


class IntercomConnection(CredentialsBlock):
    """Access to one Intercom workspace: its token, its region, and how fast it may be read.

    The name of the block is the connection's name in a flow's parameter `connection`, with dashes for everything but
    letters and digits: connection `my_intercom` is block `my-intercom`. Runs that name no connection
    use the connection `default`.
    """

    _block_type_name = "Intercom Connection"
    _block_type_slug = "intercom-connection"
    _logo_url = LOGO
    _documentation_url = HttpUrl("https://developers.intercom.com/docs/build-an-integration/learn-more/authentication")
    _description = (
        "Access to one Intercom workspace. The block's name is what the flow's parameter `connection` names: block "
        "`my-intercom` is connection `my_intercom` or `my-intercom`; runs that name none use block `default`."
    )
    _code_example = """
from contextlib import closing

from intercom import IntercomConnection

connection = IntercomConnection.load("BLOCK_NAME")
with closing(connection.get_client()) as client:
    answer = client.for_table("workspace", scope="read admins").get("/me")
print(bytes(answer.fields["app"]).decode())
"""

    access_token: SecretStr = Field(
        title="Access token",
        description="In Intercom: Settings, Integrations, Developer Hub, your app, Configure, Authentication. Paste "
        "the token alone, without 'Bearer'. It is stored encrypted. Save a new one here and the next run uses it.",
    )
    region: Literal["us", "eu", "au"] = Field(
        default="us",
        title="Region",
        description="Where Intercom keeps the workspace's data: us if you sign in at app.intercom.com, eu for "
        "app.eu.intercom.com, au for app.au.intercom.com.",
    )
    base_url: str | None = Field(
        default=None,
        title="Base URL",
        description="Empty: the address of the region. Otherwise the URL of a proxy in front of Intercom, for "
        "example https://proxy.example.com/intercom (https; plain http on loopback only).",
    )
    requests_per_10s: int | None = Field(
        default=None,
        title="Requests per 10 s",
        description="Empty: all that Intercom allows, 166 for a limit of 1,000 a minute. A smaller number, for "
        "example 80, leaves the rest to other apps of the workspace.",
    )
    requests_in_flight: int | None = Field(
        default=None,
        title="Requests in flight",
        description=f"How many requests may run at the same time, 1 to {MOST_IN_FLIGHT}. Empty: up to "
        f"{MOST_IN_FLIGHT}, as many as help. 1 reads one page after the other.",
    )

    deleted: Literal["remove", "mark"] = Field(
        default="remove",
        title="Deleted rows",
        description="What happens to rows that were deleted in Intercom: remove takes them out of the lake, mark keeps "
        "them, with the time in the column _deleted_at.",
    )

    columns: dict[str, Any] = Field(
        default_factory=dict,
        title="Protected columns",
        description="For each table, columns that are left out (exclude), hashed or masked, as JSON: "
        '{"contacts": {"exclude": ["avatar"], "hash": ["email", "phone"], "mask": ["name"]}}. '
        "Members of nested objects: custom_attributes.phone.",
    )
    hash_key: SecretStr | None = Field(
        default=None,
        title="Hash key",
        description="The secret that columns are hashed with, at least 16 characters. Keep it: another key gives "
        "other hashes. It is stored encrypted.",
    )

    def get_client(self) -> IntercomClient:
        """A client of the workspace's API, for flows of your own; close it when done, best by ``contextlib.closing``.

        It has a rate limiter of its own, for any number of threads. Make one and share it: the limiters of two clients
        know of each other only by what Intercom says of its quota. Raises ConfigurationError, which names the block,
        for values that cannot be used. No request is sent.
        """
        from intercom.api.client import IntercomClient  # not above, since Prefect's servers import this module
        from intercom.api.rate_limit.limiter import RateLimiter

        name = self._block_document_name or "unsaved"
        connection = connection_of(self, name, f"block intercom-connection/{name}")
        limiter = RateLimiter(connection.requests_per_10s, most_in_flight=connection.requests_in_flight)
        return IntercomClient(connection, limiter)


def connection_of(block: IntercomConnection, name: str, place: str) -> Connection:
    """The connection with the block's values, checked; ConfigurationError, which begins with `place`, for a bad one."""
    return make_connection(
        name=name,
        access_token=block.access_token,
        region=block.region,
        base_url=block.base_url,
        requests_per_10s=block.requests_per_10s,
        requests_in_flight=block.requests_in_flight,
        deleted=block.deleted,
        columns=block.columns,
        hash_key=block.hash_key,
        place=place,
    )


class IntercomWatermark(Block):
    """How far one table of one connection has been read into one lake."""

    _block_type_name = "Intercom Watermark"
    _block_type_slug = "intercom-watermark"
    _logo_url = LOGO
    _documentation_url = HttpUrl("https://developers.intercom.com/docs/references/rest-api/api.intercom.io/")
    _description = (
        "How far one table of one connection has been read into one lake. Runs save it; there is nothing to fill in. "
        "Deleting it, or setting an earlier time, is safe: what counts is the earlier of this and its copy in the "
        "lake. To read a table from the beginning, run with full_refresh."
    )
    _code_example = """
from intercom import IntercomWatermark

watermark = IntercomWatermark.load("BLOCK_NAME")  # <connection>-<table>-<first 8 of the lake's id>
print(watermark.value)
"""

    connection: str = Field(title="Connection", description="Name of the connection, as runs name it: my_intercom.")
    table: str = Field(title="Table", description="The table, for example contacts.")
    lake_id: str = Field(
        title="Lake id",
        description="Which lake this is about: the id in its file _state/lake.json, which moves with it.",
    )
    lake_url: str = Field(
        title="Lake", description="Where that lake was when this was saved, for example s3://bucket/prefix."
    )
    cursor_field: str = Field(title="Cursor field", description="The column that tells what has changed: updated_at.")
    value: datetime | None = Field(
        default=None,
        title="Watermark",
        description="UTC, for example 2026-11-02T08:58:43Z: everything that changed up to here is in the lake. Empty "
        "while no row was seen.",
    )
    run_id: str | None = Field(
        default=None, title="Run", description="Id of the flow run that saved this; its page in Prefect ends with it."
    )
    rows: int | None = Field(default=None, title="Rows", description="Rows in the table when this was saved.")
    saved_at: datetime | None = Field(default=None, title="Saved at", description="UTC, when this was saved.")
