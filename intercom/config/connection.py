"""One workspace's connection: its values, and the check of each.

No error shows a token, or a value that may be a token in the wrong place.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from intercom.config.hash_key import checked_hash_key
from intercom.config.redaction import harmless
from intercom.errors import ConfigurationError
from intercom.tables.column_rules import DEFAULT_SETTINGS, CopySettings, TableRules

T = TypeVar("T")

MOST_IN_FLIGHT = 32
"""Requests in flight at once, at most."""


class Region(StrEnum):
    """Region in which Intercom keeps a workspace's data. A token works in its own region only."""

    US = "us"
    EU = "eu"
    AU = "au"

    @property
    def base_url(self) -> str:
        """The region's API host, as in the servers list of Intercom's OpenAPI description."""
        return "https://api.intercom.io" if self is Region.US else f"https://api.{self.value}.intercom.io"


class Deleted(StrEnum):
    """What becomes of a row of the lake that was deleted in Intercom."""

    REMOVE = "remove"  # it is removed
    MARK = "mark"  # it stays, with the time at which that was found in `_deleted_at`


@dataclass(frozen=True)
class Connection:
    """One workspace and the token to read it; made by ``make_connection``, which checks the values.

    ``requests_per_10s`` is a cap below what the API allows, None for none. ``requests_in_flight`` is the most requests
    in flight at once. ``settings`` are what it says of its tables, and ``hash_key`` the key that their rules hash with.
    ``columns`` are those rules as they were written, for a block that is made of this connection.
    ``remark`` is what a person has to be told about the place that it is from.
    """

    name: str
    access_token: SecretStr
    region: Region
    base_url: str
    requests_per_10s: int | None = None
    requests_in_flight: int = MOST_IN_FLIGHT
    settings: CopySettings = DEFAULT_SETTINGS
    hash_key: SecretStr | None = None
    columns: Mapping[str, Any] = field(default_factory=dict, compare=False)  # the same as settings.rules
    remark: str = field(default="", compare=False)


def make_connection(
    *,
    name: str,
    access_token: str | SecretStr,
    region: str = Region.US,
    base_url: str | None = None,
    requests_per_10s: int | str | None = None,
    requests_in_flight: int | str | None = None,
    deleted: str | None = None,
    columns: object = None,
    hash_key: str | SecretStr | None = None,
    place: str,
) -> Connection:
    """A connection of checked values.

    Raises ConfigurationError, which tells all bad ones, a line each; each begins with ``place`` (a file, a block, the
    environment).
    """
    token = access_token.get_secret_value() if isinstance(access_token, SecretStr) else access_token
    faults: list[str] = []

    def checked(check: Callable[..., T], *values: Any, **named: Any) -> T | None:
        try:
            return check(*values, **named)
        except ConfigurationError as error:
            faults.append(str(error))
            return None

    checked(connection_slug, name, place=place)
    checked(_check_token, token, place)
    known = checked(_region, region, place)
    url = None if base_url is None else checked(_base_url, base_url, place)
    cap = None if requests_per_10s is None else checked(_request_cap, requests_per_10s, place)
    in_flight = MOST_IN_FLIGHT if requests_in_flight is None else checked(_in_flight_cap, requests_in_flight, place)
    marks = checked(_marks_deleted, deleted or Deleted.REMOVE, place)
    given = hash_key.get_secret_value() if isinstance(hash_key, SecretStr) else hash_key
    key = checked(checked_hash_key, given, place) if given else None
    rules = checked(_rules, columns, key or (SecretStr(given) if given else None), place)
    if faults or known is None or in_flight is None or marks is None or rules is None:
        raise ConfigurationError("\n".join(faults))
    settings = CopySettings(marks_deleted=marks, rules=rules)
    written = columns if isinstance(columns, dict) else {}
    return Connection(name, SecretStr(token), known, url or known.base_url, cap, in_flight, settings, key, written)


def connection_slug(name: str, *, place: str = "connection name") -> str:
    """The name as a Prefect block may have it: lowercase letters, digits and single dashes.

    Raises ConfigurationError, which begins with ``place``, for a name without any letter or digit.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not slug:
        raise ConfigurationError(f"{place}: the name {name[:40]!r} has no letter or digit (a-z, 0-9). Give it one.")
    return slug


def _check_token(token: str, place: str) -> None:
    if not token:
        raise ConfigurationError(f"{place}: the access token is empty. Copy it from Intercom's Developer Hub.")
    # Refused is all that a header cannot carry as it is: blanks, line ends, control and non-ASCII characters.
    quoted = token[0] in "\"'`" or token[-1] in "\"'`"  # from a line of a .env file that no shell has read
    if quoted or not all("!" <= character <= "~" for character in token):
        raise ConfigurationError(
            f"{place}: the access token contains a quote, a blank, a line end or another character that no token has. "
            "Give the token alone, without 'Bearer', quotes or a line end."
        )


def _region(value: str, place: str) -> Region:
    known = {region.value: region for region in Region}
    if (region := known.get(value.strip().lower())) is None:
        raise ConfigurationError(f"{place}: unknown region {harmless(value)}. Valid regions: {', '.join(known)}.")
    return region


def _marks_deleted(value: str, place: str) -> bool:
    known = [choice.value for choice in Deleted]
    if (given := value.strip().lower()) not in known:
        raise ConfigurationError(f"{place}: unknown value {harmless(value)} of deleted. Valid: {', '.join(known)}.")
    return given == Deleted.MARK


def _rules(columns: object, hash_key: SecretStr | None, place: str) -> TableRules:
    if columns in (None, {}):
        return ()
    from intercom.config.column_rules import read_column_rules  # with pyarrow: Prefect's servers import blocks

    return read_column_rules(columns, hash_key, place)


def _base_url(value: str, place: str) -> str:
    """The checked URL, without trailing slash. Errors do not show it: what is wrong may be a password in it."""
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
    if (number := _positive_integer(value)) is None:
        raise ConfigurationError(f"{place}: requests_per_10s must be a whole number of at least 1.")
    return number


def _in_flight_cap(value: int | str, place: str) -> int:
    number = _positive_integer(value)
    if number is None or number > MOST_IN_FLIGHT:
        raise ConfigurationError(f"{place}: requests_in_flight must be a whole number from 1 to {MOST_IN_FLIGHT}.")
    return number


def _positive_integer(value: int | str) -> int | None:
    """The whole number of at least 1, None for any other value."""
    digits = re.fullmatch(r"[0-9]{1,9}", str(value))  # str(True) and signs do not match
    return int(digits[0]) or None if digits else None
