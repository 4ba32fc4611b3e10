"""What a connection says of how its tables are copied: rules that protect columns, and what becomes of deleted rows."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

Path = tuple[str, ...]
"""Names of members, from the record on."""
_KEY_LABEL: Final = b"intercom-lake: id of a hash key"


class Action(StrEnum):
    """What is done with a protected value before a row is made of the record."""

    EXCLUDE = "exclude"  # the member is taken out
    HASH = "hash"  # HMAC-SHA-256 of the value in its place: equal values stay equal
    MASK = "mask"  # one fixed text in its place

    @property
    def strength(self) -> int:
        """The larger, the less is left of a value: what a weaker action left, a stronger one can be made of."""
        return (Action.HASH, Action.MASK, Action.EXCLUDE).index(self)


class Fate(StrEnum):
    """What rules leave of a value that a column is made of."""

    AS_SENT = "as sent"
    TEXT = "text"  # a hash or the mask in its place
    GONE = "gone"  # it is taken out, or something that it lies in has become one text


@dataclass(frozen=True, slots=True, order=True)
class ColumnRule:
    """One protected value of each record.

    `path` are names of members, from the record on: ``("email",)``, ``("custom_attributes", "phone")``. A list on the
    way stands for each of its elements.
    """

    path: Path
    action: Action

    @property
    def name(self) -> str:
        """The path as it is shown: ``custom_attributes.phone``."""
        return ".".join(self.path)

    def covers(self, path: Path) -> bool:
        """Whether the value at a path is the protected one, or lies in it."""
        return path[: len(self.path)] == self.path


@dataclass(frozen=True, slots=True)
class ColumnRules:
    """The rules of one table, sorted; no path lies in another.

    `key_id` names the key that `Action.HASH` uses, ``""`` if no rule does.
    """

    rules: tuple[ColumnRule, ...] = ()
    key_id: str = ""

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def roots(self) -> frozenset[str]:
        """The members of a record that have protected values."""
        return frozenset(rule.path[0] for rule in self.rules)

    def fate(self, path: Path) -> Fate:
        """What is left of the value at a path; a value of which members are protected counts as sent."""
        for rule in self.rules:
            if rule.covers(path):
                replaced = rule.action is not Action.EXCLUDE and len(rule.path) == len(path)
                return Fate.TEXT if replaced else Fate.GONE
        return Fate.AS_SENT

    def only_adds_to(self, old: ColumnRules) -> bool:
        """Whether all that these rules leave can be made of what the old ones have left, so that nothing is read again.

        Not where a value had less protection than now in a part only, and is hashed as a whole: the hash of a value
        that is read would be another one.
        """
        if old.key_id and self.key_id and old.key_id != self.key_id:
            return False
        return all(any(_can_be_made(rule, before) for rule in self.rules) for before in old.rules)

    def not_applied_by(self, old: ColumnRules) -> ColumnRules:
        """Those of the rules that have to be applied to what the old ones have left: a hash is not hashed again."""
        left = (
            rule
            for rule in self.rules
            if rule not in old.rules
            and not (rule.action is Action.HASH and any(before.covers(rule.path) for before in old.rules))
        )
        return with_rules(left, self.key_id)

    def to_json(self) -> dict[str, Any]:
        """A JSON object, without any secret."""
        return {"key": self.key_id, "rules": [[rule.action.value, *rule.path] for rule in self.rules]}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for another object."""
        rules = (ColumnRule(tuple(map(str, path)), Action(action)) for action, *path in given["rules"])
        return cls(tuple(rules), str(given["key"]))


NO_RULES: Final = ColumnRules()
TableRules = tuple[tuple[str, ColumnRules], ...]
"""Pairs of a table's name and its rules."""


def with_rules(rules: Iterable[ColumnRule], key_id: str) -> ColumnRules:
    """The rules in order; with the key's id if one of them hashes."""
    found = tuple(sorted(set(rules)))
    return ColumnRules(found, key_id if any(rule.action is Action.HASH for rule in found) else "")


def key_id_of(key: str) -> str:
    """The name of a hash key: 8 hexadecimal digits, of which nothing of the key can be told."""
    return hmac.digest(key.encode(), _KEY_LABEL, "sha256").hex()[:8]


def _can_be_made(rule: ColumnRule, before: ColumnRule) -> bool:
    """Whether a rule leaves of the old rule's value what can be made of what that rule has left."""
    if not rule.covers(before.path) or rule.action.strength < before.action.strength:
        return False
    return rule.action is not Action.HASH or rule.path == before.path


@dataclass(frozen=True, slots=True)
class CopySettings:
    """What a connection says of its tables. There is no secret in it.

    `marks_deleted`: rows that were deleted in Intercom stay, with the time in ``_deleted_at``; else they are removed.
    `rules` are pairs of a table's name and its rules, for the tables that have some.
    """

    marks_deleted: bool = False
    rules: TableRules = ()

    @property
    def protected(self) -> str:
        """What is protected, by table: ``3 of contacts (email, name, phone)``; empty if nothing is."""
        told = [
            f"{len(found.rules)} of {table} ({', '.join(r.name for r in found.rules)})" for table, found in self.rules
        ]
        keys = {found.key_id for _, found in self.rules} - {""}
        return ", ".join(told) + "".join(f"; hashed with the key {key}" for key in keys)

    def rules_of(self, table: str) -> ColumnRules:
        """The rules of one table."""
        return dict(self.rules).get(table, NO_RULES)


DEFAULT_SETTINGS: Final = CopySettings()
