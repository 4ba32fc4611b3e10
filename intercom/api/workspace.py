"""The workspace that a token belongs to, and the time by its server's clock.

Source: Intercom REST API reference 2.14, "Identify an admin" (GET /me).
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from intercom.api.client import IntercomClient
from intercom.api.rate_limit.limiter import RateLimiter
from intercom.api.retry import RetryPolicy
from intercom.config.connection import Connection, Region
from intercom.errors import ApiError, FatalApiError, PermissionDeniedError

log = logging.getLogger(__name__)

LACKS_SCOPE = "token_unauthorized"
"""Code of a 401 for a token that is right, but may not ask this. The others are of tokens that are wrong or revoked."""
_DOUBT_SECONDS = 86_400
"""Seconds by which this machine's clock may be ahead of the server's, at most."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The time by the server's clock before anything is read, in unix seconds, and the workspace's code.

    `code`, `name`, `region` (in lower case, as the server spells it) and `timezone` (such as ``America/Los_Angeles``)
    are None when the server does not tell them.
    `doubt` is 0 when the server told the time; else `server_time` is this machine's, and the server's clock may be
    behind it by up to `doubt` seconds.
    """

    server_time: int
    code: str | None = None
    doubt: int = 0
    name: str | None = None
    region: str | None = None
    timezone: str | None = None


def identify(client: IntercomClient) -> Workspace:
    """Ask which workspace the token belongs to, before tables are read.

    A refusal is only a warning where the token may still read tables: the time then comes from the refusal's Date
    header. Raises PermissionDeniedError for a token that Intercom does not know, which would be refused for each table
    again, and RetriableApiError when no usable answer comes.
    """
    try:
        return ask_workspace(client)
    except FatalApiError as error:
        if _is_unknown(error):
            raise
        log.warning("The workspace of connection %s cannot be identified: %s", client.connection.name, error)
        return _with_time(client, error.server_time)


def is_token_known(client: IntercomClient) -> bool:
    """Whether Intercom knows the token, whatever it may read; false, too, when no usable answer comes."""
    try:
        ask_workspace(client)
    except ApiError as error:
        return isinstance(error, FatalApiError) and not _is_unknown(error)
    return True


def ask_workspace(client: IntercomClient) -> Workspace:
    """Ask which workspace the token belongs to; raises ApiError.

    A region other than the configured one is only a warning, since its spelling is not specified.
    """
    answer = client.for_table("workspace", "read admins").get("/me")
    app = _app(answer.fields.get("app"))
    region = client.mask.clean(str(app.get("region") or "").lower(), 40) or None
    if region is not None and not is_region(region, client.connection.region):
        name, configured = client.connection.name, client.connection.region
        log.warning("Connection %s has region %r, but its workspace says %r", name, configured.value, region)
    code = app.get("id_code")
    told = isinstance(code, str) and code and code == client.mask.name(code)  # it becomes the name of a limit
    called = client.mask.clean(str(app.get("name") or ""), 80) or None
    zone = app.get("timezone")
    return replace(
        _with_time(client, answer.server_time),
        code=code if told else None,
        name=called,
        region=region,
        timezone=zone if isinstance(zone, str) and zone == client.mask.clean(zone, 80) else None,
    )


def is_region(told: str, region: Region) -> bool:
    """Whether what the server calls its region, in lower case, is this one; its spelling is not specified."""
    return told.startswith(region.value)


def regions_that_accept(connection: Connection, policy: RetryPolicy) -> list[Region]:
    """Other regions in which the connection's token is valid, each asked at the same time; for a token that is refused.

    None is asked for a connection with an address of its own. A region that does not answer counts as one that refuses.
    """
    if connection.base_url != connection.region.base_url:
        return []

    def accepts(region: Region) -> bool:
        there = replace(connection, region=region, base_url=region.base_url)
        with closing(IntercomClient(there, RateLimiter(), policy=policy)) as client:
            try:
                client.for_table("workspace").get("/me")
            except PermissionDeniedError as error:
                return error.status == 403  # the token is known there, and lacks a permission
            except ApiError:
                return False
        return True

    others = [region for region in Region if region is not connection.region]
    with ThreadPoolExecutor(len(others), thread_name_prefix="region") as pool:
        return [region for region, taken in zip(others, pool.map(accepts, others), strict=True) if taken]


def _is_unknown(error: ApiError) -> bool:
    """Whether the first request was refused because the token is wrong or revoked."""
    return error.status == 401 and error.code != LACKS_SCOPE


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
