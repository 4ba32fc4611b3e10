"""Which workspace a token belongs to, and what time it is there.

Source: Intercom REST API reference 2.14, "Identify an admin" (GET /me).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import msgspec

from intercom.client import IntercomClient
from intercom.errors import FatalApiError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Workspace:
    """The server's clock in unix seconds before anything is read; the workspace's code, None when it is not told."""

    server_time: int
    code: str | None = None


def identify(client: IntercomClient) -> Workspace:
    """Ask whose token this is, before tables are read.

    A refusal is no failure here: some tokens may read tables but not this, and a bad token shows in every table's own
    error. The time then comes from the refusal's Date header.
    """
    try:
        return ask_workspace(client)
    except FatalApiError as error:
        log.warning("The workspace of connection %s cannot be identified: %s", client.connection.name, error)
        return Workspace(error.server_time or int(time.time()))


def ask_workspace(client: IntercomClient) -> Workspace:
    """Ask whose token this is; raises ApiError.

    A region that differs from the configured one is only warned of, since its spelling is not specified.
    """
    answer = client.for_table("workspace", "read admins").get("/me")
    app = _app(answer.fields.get("app"))
    region = str(app.get("region") or client.connection.region).lower()
    if not region.startswith(client.connection.region):
        name, configured = client.connection.name, client.connection.region
        log.warning("Connection %s has region %r, but its workspace says %r", name, configured.value, region)
    code = app.get("id_code")
    return Workspace(answer.server_time or int(time.time()), code if isinstance(code, str) and code else None)


def _app(raw: msgspec.Raw | None) -> dict[str, Any]:
    app = None if raw is None else msgspec.json.decode(raw)
    return app if isinstance(app, dict) else {}
