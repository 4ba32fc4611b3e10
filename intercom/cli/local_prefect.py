"""What can be told about Prefect without importing it: its home, its API, whether it may know a connection's block.

Where the answer is in doubt, it is that of the slower way: Prefect is asked later, when it is imported anyway.
"""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from intercom.errors import PrefectError
from intercom.orchestration.server.api_settings import ApiSettings

_CONNECT_SECONDS = 3.0
_DATABASE_SETTINGS = ("PREFECT_SERVER_DATABASE", "PREFECT_API_DATABASE")
_FIND_BLOCK = """
    SELECT count(*) FROM block_document AS document JOIN block_type AS type ON type.id = document.block_type_id
    WHERE type.slug = 'intercom-connection' AND document.name = ?
"""


def home_fault(environ: Mapping[str, str]) -> str | None:
    """Why Prefect cannot use its home folder, where a temporary server has its database; None where it can."""
    home = _home(environ)
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / ".intercom-lake-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return (
            f"Prefect's home {home} cannot be written ({error.strerror}). Set PREFECT_HOME to a folder of yours. "
            "Nothing was read."
        )
    return None


def api_fault(url: str, place: str, environ: Mapping[str, str]) -> str | None:
    """Why nothing can be at the API's address, which is from `place`; None where a server listens there."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host:
        return (
            f"PREFECT_API_URL (from {place}) is not a URL. Write it like http://127.0.0.1:4200/api, or remove it. "
            "Nothing was read."
        )
    if any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in environ):
        return None  # the way there leads through a proxy
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return (
            f"No Prefect server answers at PREFECT_API_URL (from {place}), {host}:{port}: {reason}. Start it (prefect "
            "server start), or remove the setting: a run then brings a server of its own. Nothing was read."
        )
    return None


def may_have_block(slug: str, settings: ApiSettings, environ: Mapping[str, str]) -> bool:
    """Whether Prefect may know the block ``intercom-connection/<slug>``: its server, or its local database."""
    if settings.url is not None:
        return _server_has(slug, settings)
    if any(name.startswith(_DATABASE_SETTINGS) for name in environ):
        return True
    database = _home(environ) / "prefect.db"
    if not database.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=0.5)) as connection:
            return bool(connection.execute(_FIND_BLOCK, (slug,)).fetchone()[0])
    except (sqlite3.Error, ValueError):
        return True


def _server_has(slug: str, settings: ApiSettings) -> bool:
    from intercom.orchestration.server.plain_api import PlainApi

    try:
        with closing(PlainApi(settings)) as api:
            return api.block_values("intercom-connection", slug) is not None
    except PrefectError:
        return True


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("PREFECT_HOME") or "~/.prefect").expanduser().absolute()
