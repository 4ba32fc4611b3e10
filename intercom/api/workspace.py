"""The workspace that a token belongs to, and the time by its server's clock.

Source: Intercom REST API reference 2.14, "Identify an admin" (GET /me).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from intercom.api.client import IntercomClient
from intercom.errors import FatalApiError

log = logging.getLogger(__name__)

_LACKS_SCOPE = "token_unauthorized"
"""Code of a 401 for a token that is right, but may not ask this. The others are of tokens that are wrong or revoked."""
_DOUBT_SECONDS = 86_400
"""Seconds by which this machine's clock may be ahead of the server's, at most."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The time by the server's clock before anything is read, in unix seconds, and the workspace's code.

    `code` is None when the server does not tell it. `doubt` is 0 when the server told the time; else `server_time` is
    this machine's, and the server's clock may be behind it by up to `doubt` seconds.
    """

    server_time: int
    code: str | None = None
    doubt: int = 0


def identify(client: IntercomClient) -> Workspace:
    """Ask which workspace the token belongs to, before tables are read.

    A refusal is only a warning where the token may still read tables: the time then comes from the refusal's Date
    header. Raises PermissionDeniedError for a token that Intercom does not know, which would be refused for each table
    again, and RetriableApiError when no usable answer comes.
    """
    try:
        return ask_workspace(client)
    except FatalApiError as error:
        if error.status == 401 and error.code != _LACKS_SCOPE:
            raise
        log.warning("The workspace of connection %s cannot be identified: %s", client.connection.name, error)
        return _with_time(client, error.server_time)


def ask_workspace(client: IntercomClient) -> Workspace:
    """Ask which workspace the token belongs to; raises ApiError.

    A region other than the configured one is only a warning, since its spelling is not specified.
    """
    answer = client.for_table("workspace", "read admins").get("/me")
    app = _app(answer.fields.get("app"))
    region = client.mask.clean(str(app.get("region") or client.connection.region).lower(), 40)
    if not region.startswith(client.connection.region):
        name, configured = client.connection.name, client.connection.region
        log.warning("Connection %s has region %r, but its workspace says %r", name, configured.value, region)
    code = app.get("id_code")
    told = isinstance(code, str) and code and code == client.mask.name(code)  # it becomes the name of a limit
    return replace(_with_time(client, answer.server_time), code=code if told else None)


def _with_time(client: IntercomClient, server_time: int | None) -> Workspace:
    """A workspace with the time of an answer; without one, with this machine's, which may be wrong."""
    if server_time is not None:
        return Workspace(server_time)
    log.warning(
        "Connection %s: the answers have no usable Date header, so this machine's clock is taken, which may be wrong. "
        "Watermarks stay a day behind it: each run reads the last day again. A proxy that keeps the header ends that.",
        client.connection.name,
    )
    return Workspace(int(time.time()), doubt=_DOUBT_SECONDS)


def _app(raw: msgspec.Raw | None) -> dict[str, Any]:
    app = None if raw is None else msgspec.json.decode(raw)
    return app if isinstance(app, dict) else {}
