"""Who is forgotten in a lake: digests of ids, emails and phone numbers, which tell nobody who they were.

    _state/<connection>/forgotten.json      key, and for each value its length in bytes and HMAC-SHA-256

The key is random, made with the file, and lies beside the digests: whoever has the lake can find out whether a value
that they know was forgotten, and nothing else. So this is pseudonymous data and not anonymous data.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from intercom.errors import LakeError
from intercom.lake.layout import state_folder
from intercom.lake.storage import Lake

_DIGEST_BYTES: Final = 16
_FORMAT: Final = 1
_MOST_KEPT: Final = 20_000
"""Answers that are kept: ids of teammates, tags and the workspace come in every record."""


@dataclass(frozen=True)
class ForgottenPeople:
    """The forgotten values of one connection: emails in small letters, everything as UTF-8.

    `external_ids` are digests of values that stand for a person only where an external id is given.
    """

    key: bytes
    digests: frozenset[bytes] = frozenset()
    lengths: frozenset[int] = frozenset()
    external_ids: frozenset[bytes] = frozenset()
    _asked: dict[bytes, tuple[bool, bool]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __bool__(self) -> bool:
        return bool(self.digests)

    def holds(self, value: bytes, *, external: bool = False) -> bool:
        """Whether a value is a forgotten one; with `external` also if it is one as an external id."""
        known = self._asked.get(value)
        if known is None:
            if len(self._asked) >= _MOST_KEPT:
                self._asked.clear()
            digest = self._digest(value)
            known = self._asked[value] = (digest in self.digests, digest in self.external_ids)
        return known[0] or (external and known[1])

    def with_values(self, values: Iterable[str], external_ids: Iterable[str] = ()) -> ForgottenPeople:
        """With more values."""
        texts = [value.encode() for value in values if value]
        external = [value.encode() for value in external_ids if value]
        return ForgottenPeople(
            self.key,
            self.digests | {self._digest(text) for text in texts},
            self.lengths | {len(text) for text in (*texts, *external)},
            self.external_ids | {self._digest(text) for text in external},
        )

    @cached_property
    def mark(self) -> str:
        """A short name of what is forgotten: another one when a person is added; empty while nobody is."""
        return (
            hmac.digest(self.key, b"".join(sorted(self.digests | self.external_ids)), "sha256").hex()[:16]
            if self
            else ""
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "format": _FORMAT,
            "key": self.key.hex(),
            "lengths": sorted(self.lengths),
            "values": sorted(digest.hex() for digest in self.digests),
            "external_ids": sorted(digest.hex() for digest in self.external_ids),
        }

    def _digest(self, value: bytes) -> bytes:
        folded = value.lower() if b"@" in value else value
        return hmac.digest(self.key, folded, "sha256")[:_DIGEST_BYTES]


def forgotten_path(connection: str) -> str:
    """The path of the file in the lake."""
    return f"{state_folder(connection)}/forgotten.json"


def read_forgotten(lake: Lake, connection: str) -> ForgottenPeople:
    """Who is forgotten; nobody if there is no file.

    Raises LakeError for a file that is damaged: to take it for none would bring people back.
    """
    path = forgotten_path(connection)
    content = lake.read_bytes(path)
    if content is None:
        return ForgottenPeople(secrets.token_bytes(32))
    try:
        return _parsed(json.loads(content))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise LakeError(
            f"The list of forgotten people {path} in the lake {lake.url} is damaged ({type(error).__name__}) or of a "
            "later version of intercom-lake. Nothing was read, since people on it would come back. Restore the file "
            "from a backup, or delete it and forget these people again."
        ) from None


def _parsed(record: dict[str, Any]) -> ForgottenPeople:
    if record["format"] != _FORMAT:
        raise ValueError(record["format"])
    return ForgottenPeople(
        bytes.fromhex(record["key"]),
        frozenset(map(bytes.fromhex, record["values"])),
        frozenset(map(int, record["lengths"])),
        frozenset(map(bytes.fromhex, record["external_ids"])),
    )


def write_forgotten(lake: Lake, connection: str, people: ForgottenPeople) -> None:
    """Replace the list in one step."""
    lake.write_json(forgotten_path(connection), people.to_json())
