"""Which of Prefect's APIs a process here would use, read from where Prefect reads it, without importing Prefect.

The import of Prefect's settings alone takes one to two seconds. In Prefect's own order, the first place that has a
setting counts: the environment, the file ``.env``, ``prefect.toml``, ``pyproject.toml`` (all three in the current
folder), the active profile. A test holds this module against Prefect's own answers.

Source: `prefect.settings.sources` of Prefect 3.9.
"""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from intercom.errors import ConfigurationError

_TRUE = ("1", "true", "t", "yes", "y", "on")
_TEST_MODES = (
    "PREFECT_TEST_MODE",
    "PREFECT_UNIT_TEST_MODE",
    "PREFECT_TESTING_UNIT_TEST_MODE",
    "PREFECT_TESTING_TEST_MODE",
)


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """How Prefect's API is reached. `url` is None where none is configured; `place` says where the address is from.

    `temporary` says whether Prefect may start a temporary server where there is no `url`. `headers` has credentials.
    """

    url: str | None
    place: str
    temporary: bool
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool = True
    certificates: str | None = None

    @property
    def is_cloud(self) -> bool:
        """Whether this is Prefect Cloud, which has no version of its own to compare."""
        return (self.url or "").startswith("https://api.prefect.cloud/")


@dataclass(frozen=True, slots=True)
class _Source:
    """One place with settings. A file of tables names a setting by its path, the others by its variable."""

    place: str
    values: Mapping[str, Any]
    by_path: bool = False

    def find(self, variables: Sequence[str], path: Sequence[str]) -> Any:
        if self.by_path:
            found: Any = self.values
            for name in path:
                found = found.get(name) if isinstance(found, Mapping) else None
            return found
        return next((self.values[name] for name in variables if self.values.get(name) is not None), None)


def read_api_settings(environ: Mapping[str, str], folder: Path) -> ApiSettings:
    """The settings of a process with this environment in this folder.

    Raises ConfigurationError for a file that cannot be read: Prefect itself stops at it, too.
    """
    sources = _sources(environ, folder)

    def found(path: str, *older: str) -> tuple[Any, str]:
        names = ("PREFECT_" + path.replace(".", "_").upper(), *older)
        for source in sources:
            value = source.find(names, path.split("."))
            if value is not None:
                return value, source.place
        return None, ""

    url, place = found("api.url")
    temporary, _ = found("server.ephemeral.enabled", "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE")
    skip, _ = found("api.tls_insecure_skip_verify")
    certificates, _ = found("api.ssl_cert_file")
    certificates = certificates or environ.get("SSL_CERT_FILE")
    return ApiSettings(
        url=str(url).rstrip("/") if url else None,
        place=place,
        temporary=_is_true(temporary),
        headers=_headers(found("api.auth_string")[0], found("api.key")[0], found("client.custom_headers")[0]),
        verify=not _is_true(skip),
        certificates=str(certificates) if certificates else None,
    )


def _sources(environ: Mapping[str, str], folder: Path) -> list[_Source]:
    variables = {name.upper(): value for name, value in environ.items()}
    dotenv = _dotenv(folder / ".env")
    own, project = _toml(folder / "prefect.toml"), _toml(folder / "pyproject.toml").get("tool", {}).get("prefect", {})
    sources = [
        _Source("the environment", variables),
        _Source(".env", {name.upper(): value for name, value in dotenv.items()}),
        _Source("prefect.toml", own, by_path=True),
        _Source("pyproject.toml", project, by_path=True),
    ]
    if not any(environ.get(name) for name in _TEST_MODES):
        named = environ.get("PREFECT_PROFILES_PATH") or dotenv.get("PREFECT_PROFILES_PATH")
        named = named or own.get("profiles_path") or project.get("profiles_path")
        home = Path(environ["PREFECT_HOME"]) if environ.get("PREFECT_HOME") else Path.home() / ".prefect"
        sources.append(_profile(folder / named if named else folder / home / "profiles.toml", environ))
    return sources


def _profile(path: Path, environ: Mapping[str, str]) -> _Source:
    """The active profile; Prefect's own default where there is none: no API, but a temporary server."""
    kept = _toml(path)
    name = environ.get("PREFECT_PROFILE") or kept.get("active")
    profiles = kept.get("profiles", {})
    if not name or name not in profiles:
        return _Source("Prefect's default", {"PREFECT_SERVER_EPHEMERAL_ENABLED": "true"})
    return _Source(f"Prefect's profile {name!r}", profiles[name])


def _dotenv(path: Path) -> dict[str, str | None]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # comes with Prefect, which reads the file by it

    return dict(dotenv_values(path))


def _toml(path: Path) -> dict[str, Any]:
    fault = ""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        fault = "is not TOML"
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    raise ConfigurationError(f"{path} {fault}, and Prefect reads its settings there. Correct the file, or remove it.")


def _headers(auth_string: Any, key: Any, custom: Any) -> dict[str, str]:
    """The headers of Prefect's client: its own ones count before the auth string, and this before the key."""
    if isinstance(custom, str):
        try:
            custom = json.loads(custom)
        except ValueError:
            custom = None
    headers = {str(name): str(value) for name, value in custom.items()} if isinstance(custom, Mapping) else {}
    if "authorization" in map(str.lower, headers):
        return headers
    if auth_string:
        headers["Authorization"] = f"Basic {base64.b64encode(str(auth_string).encode()).decode()}"
    elif key:
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() in _TRUE
