"""Connections: where a workspace's token, region and limits come from. The only reader of the environment.

A connection is looked for in a Prefect block, then in the connections file, then in the environment. Everything is
checked here, before the first request, and every error names the place and the cure. No error shows a token, or a
value that could be one in the wrong place; so errors of the YAML parser, which quote the file, are not chained.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import SecretStr

from intercom.errors import ConfigurationError

DEFAULT_CONNECTION = "default"
DEFAULT_FILE = Path("connections.yml")
TOKEN_VARIABLE = "INTERCOM_ACCESS_TOKEN"
REGION_VARIABLE = "INTERCOM_REGION"

_KEYS = ("name", "access_token", "region", "base_url", "requests_per_10s")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Region(StrEnum):
    """Where Intercom keeps a workspace's data; a token works in its own region only."""

    US = "us"
    EU = "eu"
    AU = "au"

    @property
    def base_url(self) -> str:
        """The region's API host, as in the servers list of Intercom's OpenAPI description."""
        return "https://api.intercom.io" if self is Region.US else f"https://api.{self.value}.intercom.io"


@dataclass(frozen=True)
class Connection:
    """One workspace and the right to read it; made by ``make_connection``, which checks the values.

    ``requests_per_10s`` is a cap below what the API allows, None for none.
    """

    name: str
    access_token: SecretStr
    region: Region
    base_url: str
    requests_per_10s: int | None = None


def make_connection(
    *,
    name: str,
    access_token: str | SecretStr,
    region: str = Region.US,
    base_url: str | None = None,
    requests_per_10s: int | str | None = None,
    place: str,
) -> Connection:
    """Check every value; raises ConfigurationError, which begins with ``place`` (a file, a block, the environment)."""
    connection_slug(name, place=place)
    token = access_token.get_secret_value() if isinstance(access_token, SecretStr) else access_token
    _check_token(token, place)
    known = _region(region, place)
    return Connection(
        name=name,
        access_token=SecretStr(token),
        region=known,
        base_url=known.base_url if base_url is None else _base_url(base_url, place),
        requests_per_10s=None if requests_per_10s is None else _request_cap(requests_per_10s, place),
    )


def connection_slug(name: str, *, place: str = "connection name") -> str:
    """The name in lowercase letters, digits and single dashes, all that the name of a Prefect block may hold."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        raise ConfigurationError(f"{place}: the name {name[:40]!r} has no letter or digit (a-z, 0-9). Give it one.")
    return slug


def read_connections_file(path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, Connection]:
    """All connections of a file by name, with their variables filled in; raises ConfigurationError for any fault."""
    return {entry.name: entry.connection(environ) for entry in _entries(path, environ)}


def connection_from_environment(environ: Mapping[str, str]) -> Connection | None:
    """The connection ``default`` from INTERCOM_ACCESS_TOKEN and INTERCOM_REGION; None without a token."""
    token = environ.get(TOKEN_VARIABLE, "")
    if not token:
        return None
    return make_connection(
        name=DEFAULT_CONNECTION,
        access_token=token,
        region=environ.get(REGION_VARIABLE) or Region.US,
        place=f"environment variables {TOKEN_VARIABLE} and {REGION_VARIABLE}",
    )


def find_connection(
    name: str,
    *,
    connections_file: Path | None,
    environ: Mapping[str, str],
    load_block: Callable[[str], Connection | None],
) -> Connection:
    """The connection of this name: from its Prefect block, else the file, else (``default`` only) the environment.

    ``connections_file`` None means ./connections.yml if there is one. Of a file, only the chosen entry needs its
    variables: a machine may hold the token of one workspace only. Raises ConfigurationError when nothing is found.
    """
    slug = connection_slug(name)
    if (found := load_block(name)) is not None:
        return found
    path = connections_file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    entries = [] if path is None else _entries(path, environ, skip_unnamed=True)
    for entry in entries:
        if entry.name == name:
            return entry.connection(environ)
    if name == DEFAULT_CONNECTION and (found := connection_from_environment(environ)) is not None:
        return found
    names = ", ".join(sorted(repr(entry.name) for entry in entries)) or "none"
    raise ConfigurationError(
        f"No connection {name!r}. Save the Prefect block intercom-connection/{slug}, or add it to the connections file "
        f"({path or f'no {DEFAULT_FILE} here'}; names in it: {names}), or, for {DEFAULT_CONNECTION!r} only, set "
        f"{TOKEN_VARIABLE} and {REGION_VARIABLE}."
    )


@dataclass(frozen=True)
class _Entry:
    """One connection of a file, its ``${VAR}`` still open except in the name."""

    place: str
    name: str
    values: Mapping[str, str | int | None]

    def connection(self, environ: Mapping[str, str]) -> Connection:
        place = f"{self.place} ({self.name!r})"

        def text(key: str) -> str | None:
            value = self.values.get(key)
            return None if value is None else _fill(str(value), environ, f"{place}, key {key!r}")

        return make_connection(
            name=self.name,
            access_token=text("access_token") or "",
            region=text("region") or Region.US,
            base_url=text("base_url"),
            requests_per_10s=text("requests_per_10s"),
            place=place,
        )


def _entries(path: Path, environ: Mapping[str, str], *, skip_unnamed: bool = False) -> list[_Entry]:
    document = _load(path)
    listed = _only_key(_only_key(document, "connections", str(path)), "intercom", f"{path}: connections")
    place = f"{path}: connections.intercom"
    if not isinstance(listed, list) or not listed:
        raise ConfigurationError(f"{place}: expected a list of connections, each with '- name: ...'.")
    entries = []
    for number, values in enumerate(listed, start=1):
        spot = f"{place}, entry {number}"
        raw_name = _checked_shape(values, spot)
        try:
            entries.append(_Entry(spot, _fill(raw_name, environ, f"{spot}, key 'name'"), values))
        except ConfigurationError:
            if not skip_unnamed:
                raise
    _check_names(entries)
    return entries


def _load(path: Path) -> object:
    fault = ""
    try:
        return yaml.load(path.read_bytes().decode("utf-8-sig"), Loader=_StrictLoader)
    except _DuplicateKeyError as error:
        fault = f"{_where(error)} repeats a key of the same mapping. Remove one of the two."
    except yaml.MarkedYAMLError as error:
        fault = f"{_where(error)} is not YAML. Check indentation, colons and quotes there."
    except (yaml.YAMLError, UnicodeDecodeError):
        fault = "the file is not UTF-8 text as YAML allows it. Save it as UTF-8 without control characters."
    except (ValueError, RecursionError):  # a date such as 2024-13-45; brackets without end
        fault = "a value cannot be read as YAML. Put the values into quotes."
    except OSError as error:
        fault = f"the connections file cannot be read ({error.strerror}). Check the path, or leave it out."
    raise ConfigurationError(f"{path}: {fault}")


def _where(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return "the file" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"


class _DuplicateKeyError(yaml.constructor.ConstructorError):
    pass


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys, of which YAML's own loader silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: list[object] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _DuplicateKeyError(problem_mark=key_node.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep=deep)


def _only_key(value: object, key: str, place: str) -> object:
    if not isinstance(value, dict) or key not in value:
        raise ConfigurationError(f"{place}: expected a mapping with the key {key!r}.")
    if extra := [k for k in value if k != key]:
        raise ConfigurationError(f"{place}: unknown key {_shown(extra[0])}; the only key here is {key!r}.")
    return value[key]


def _checked_shape(values: object, place: str) -> str:
    """Keys and types of one entry; gives its name as written."""
    if not isinstance(values, dict):
        raise ConfigurationError(f"{place}: expected the keys {', '.join(_KEYS)}; name and access_token are required.")
    if unknown := [key for key in values if key not in _KEYS]:
        raise ConfigurationError(f"{place}: unknown key {_shown(unknown[0])}. Known keys: {', '.join(_KEYS)}.")
    for key, value in values.items():
        number = isinstance(value, int) and key == "requests_per_10s"
        if not (number or value is None or isinstance(value, str)):
            kind = type(value).__name__
            raise ConfigurationError(f"{place}, key {key!r}: YAML reads a {kind} here, not text. Put it into quotes.")
    name = values.get("name")
    if not isinstance(name, str):
        raise ConfigurationError(f"{place}: the key 'name' is missing or empty.")
    return name


def _check_names(entries: list[_Entry]) -> None:
    seen: dict[str, _Entry] = {}
    for entry in entries:
        first = seen.setdefault(connection_slug(entry.name, place=entry.place), entry)
        if first is not entry:
            raise ConfigurationError(
                f"{entry.place}: the names {first.name!r} and {entry.name!r} are one, "
                f"{connection_slug(entry.name)!r}, as block and folder. Rename one of the two."
            )


def _fill(value: str, environ: Mapping[str, str], place: str) -> str:
    for variable in _VARIABLE.findall(value):
        if not environ.get(variable):
            raise ConfigurationError(f"{place}: the environment variable {variable} is not set or empty. Set it.")
    if "${" in _VARIABLE.sub("", value):
        raise ConfigurationError(f"{place}: a '${{' begins no variable. Write ${{NAME}}; defaults are not supported.")
    return _VARIABLE.sub(lambda match: environ[match[1]], value)


def _check_token(token: str, place: str) -> None:
    if not token:
        raise ConfigurationError(f"{place}: the access token is empty. Copy it from Intercom's Developer Hub.")
    # Everything that a header cannot carry as it is: blanks, line ends, control and non-ASCII characters.
    if not all("!" <= character <= "~" for character in token):
        raise ConfigurationError(
            f"{place}: the access token holds a blank, a line end or another character that no token has. "
            "Give the token alone, without 'Bearer', quotes or a line end."
        )


def _region(value: str, place: str) -> Region:
    known = {region.value: region for region in Region}
    if (region := known.get(value.strip().lower())) is None:
        raise ConfigurationError(f"{place}: unknown region {_shown(value)}. Valid regions: {', '.join(known)}.")
    return region


def _base_url(value: str, place: str) -> str:
    """Without trailing slash. The value is not shown: what is wrong with it may be a password in it."""
    place = f"{place}, base_url"
    # A backslash ends the host for some parsers and not for others.
    if not all("!" <= character <= "~" and character not in "\\?#" for character in value):
        raise ConfigurationError(f"{place}: leave out query, fragment, blanks and characters that are not ASCII.")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host:
        raise ConfigurationError(f"{place}: not a URL with a host. Write it like https://proxy.example.com/intercom.")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{place}: leave out user and password; the access token is all that is sent.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ConfigurationError(f"{place}: use https; http would send the token in the clear (loopback only).")
    return value.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _request_cap(value: int | str, place: str) -> int:
    digits = re.fullmatch(r"[0-9]{1,9}", str(value))  # str(True) and signs do not match
    if digits is None or int(digits[0]) < 1:
        raise ConfigurationError(f"{place}: requests_per_10s must be a whole number of at least 1.")
    return int(digits[0])


def _shown(value: object) -> str:
    """For messages: short plain words only, since a token may stand in the wrong place."""
    text = str(value)
    return repr(text) if re.fullmatch(r"[\w.-]{1,24}", text, re.ASCII) else "(not shown: it may hold a secret)"
