"""What can be told about Prefect without importing it: its home, and whether it may know a connection's block.

Where the answer is in doubt, it is that of the slower way: Prefect is asked later, when it is imported anyway.
"""

from __future__ import annotations

import socket
import sqlite3
import tomllib
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


def api_fault(environ: Mapping[str, str]) -> str | None:
    """Why nothing can be at PREFECT_API_URL, which is set; None where a server listens there."""
    url = environ["PREFECT_API_URL"]
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        host = None
    if not host:
        return "PREFECT_API_URL is no URL. Write it like http://127.0.0.1:4200/api, or unset it. Nothing was read."
    if any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in environ):
        return None  # the way there leads through a proxy
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return (
            f"No Prefect server answers at PREFECT_API_URL, {host}:{port} ({reason}). Start it "
            "(prefect server start), or unset the variable: a run then brings a server of its own. Nothing was read."
        )
    return None


def may_have_block(slug: str, environ: Mapping[str, str]) -> bool:
    """Whether Prefect may know the block ``intercom-connection/<slug>``: by a server, or in its local database."""
    if _may_have_server(environ) or any(name.startswith(_DATABASE_SETTINGS) for name in environ):
        return True
    database = _home(environ) / "prefect.db"
    if not database.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=0.5)) as connection:
            return bool(connection.execute(_FIND_BLOCK, (slug,)).fetchone()[0])
    except (sqlite3.Error, ValueError):
        return True


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("PREFECT_HOME") or "~/.prefect").expanduser().absolute()


def _may_have_server(environ: Mapping[str, str]) -> bool:
    """Whether the environment, a profile or a file of settings in this folder may name an API or a database."""
    if environ.get("PREFECT_API_URL") or any(_names_prefect(Path(name)) for name in (".env", "prefect.toml")):
        return True
    if "prefect" in _toml(Path("pyproject.toml")).get("tool", {}):
        return True
    file = Path(environ.get("PREFECT_PROFILES_PATH") or _home(environ) / "profiles.toml").expanduser()
    kept = _toml(file)
    active = environ.get("PREFECT_PROFILE") or kept.get("active")
    settings = kept.get("profiles", {}).get(active, {})
    return any(name == "PREFECT_API_URL" or name.startswith(_DATABASE_SETTINGS) for name in settings)


def _names_prefect(file: Path) -> bool:
    """Whether a file says anything of Prefect; one of Prefect's own always does."""
    with suppress(OSError, UnicodeDecodeError):
        text = file.read_text(encoding="utf-8")
        return file.name == "prefect.toml" or "PREFECT_" in text.upper()
    return False


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
