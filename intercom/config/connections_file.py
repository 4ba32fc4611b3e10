"""Connections file: strict YAML, ``connections: intercom: [entries]``, with ``${VAR}`` for secrets.

Every error names the line, or the entry and key. Errors of the YAML parser quote the file, so they are not chained.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from intercom.config.connection import Connection, Region, connection_slug, make_connection
from intercom.config.redaction import harmless
from intercom.errors import ConfigurationError

_NUMBERS = ("requests_per_10s", "requests_in_flight")
_KEYS = ("name", "access_token", "region", "base_url", *_NUMBERS, "deleted", "columns", "hash_key")
_MOST_BYTES = 1 << 20
_MOST_BITS = 64  # of a number: Python refuses to print one of thousands of digits
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True)
class Entry:
    """One connection of a file. ``${VAR}`` is filled in in ``name``, and not yet in ``values``."""

    place: str
    name: str
    values: Mapping[str, Any]

    def connection(self, environ: Mapping[str, str]) -> Connection:
        """The checked connection, with variables from ``environ``; raises ConfigurationError for any fault."""
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
            requests_in_flight=text("requests_in_flight"),
            deleted=text("deleted"),
            columns=_filled(self.values.get("columns"), environ, f"{place}, key 'columns'"),
            hash_key=text("hash_key"),
            place=place,
        )


def read_entries(path: Path, environ: Mapping[str, str], *, skip_unnamed: bool = False) -> list[Entry]:
    """The file's entries in their order.

    ``skip_unnamed`` leaves out entries whose name needs a variable that is not set. Raises ConfigurationError for a
    file that cannot be read or has another shape.
    """
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
            entries.append(Entry(spot, _fill(raw_name, environ, f"{spot}, key 'name'"), values))
        except ConfigurationError:
            if not skip_unnamed:
                raise
    _check_names(entries)
    return entries


def _load(path: Path) -> object:
    fault = ""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigurationError(f"{path}: the file is larger than 1 MiB, so it is not a connections file.")
        text = content.decode("utf-8-sig")
        return yaml.load(text, Loader=_StrictLoader)  # nosec B506  # it is a SafeLoader
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
    """SafeLoader that refuses repeated keys; YAML's own loader silently keeps the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # refused below, with its place
            if key in seen:
                raise _DuplicateKeyError(problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _only_key(value: object, key: str, place: str) -> object:
    if not isinstance(value, dict) or key not in value:
        raise ConfigurationError(f"{place}: expected a mapping with the key {key!r}.")
    if extra := [k for k in value if k != key]:
        raise ConfigurationError(f"{place}: unknown key {harmless(extra[0])}; the only key here is {key!r}.")
    return value[key]


def _checked_shape(values: object, place: str) -> str:
    """The name of an entry as written, after a check of the entry's keys and types."""
    if not isinstance(values, dict):
        raise ConfigurationError(f"{place}: expected the keys {', '.join(_KEYS)}; name and access_token are required.")
    if unknown := [key for key in values if key not in _KEYS]:
        raise ConfigurationError(f"{place}: unknown key {harmless(unknown[0])}. Known keys: {', '.join(_KEYS)}.")
    for key, value in values.items():
        if key == "columns" and isinstance(value, dict):  # what is in it, `column_rules` checks
            continue
        number = isinstance(value, int) and key in _NUMBERS and value.bit_length() < _MOST_BITS
        if not (number or value is None or isinstance(value, str)):
            kind = type(value).__name__
            raise ConfigurationError(f"{place}, key {key!r}: YAML reads a {kind} here, not text. Put it into quotes.")
    name = values.get("name")
    if not isinstance(name, str):
        raise ConfigurationError(f"{place}: the key 'name' is missing or empty.")
    return name


def _check_names(entries: list[Entry]) -> None:
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(connection_slug(entry.name, place=entry.place), entry)
        if first is not entry:
            raise ConfigurationError(
                f"{entry.place}: the names {first.name!r} and {entry.name!r} are the same, "
                f"{connection_slug(entry.name)!r}, as the name of a block. Rename one of the two."
            )


def _filled(value: Any, environ: Mapping[str, str], place: str) -> Any:
    """The value with variables filled in all of its texts."""
    if isinstance(value, dict):
        return {key: _filled(inner, environ, place) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, environ, place) for inner in value]
    return _fill(value, environ, place) if isinstance(value, str) else value


def _fill(value: str, environ: Mapping[str, str], place: str) -> str:
    for variable in _VARIABLE.findall(value):
        if not environ.get(variable):
            raise ConfigurationError(f"{place}: the environment variable {variable} is not set or empty. Set it.")
    if "${" in _VARIABLE.sub("", value):
        raise ConfigurationError(f"{place}: '${{' does not begin a variable. Write ${{NAME}}, without a default.")
    return _VARIABLE.sub(lambda match: environ[match[1]], value)
