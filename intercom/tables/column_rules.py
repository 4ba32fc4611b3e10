"""What a connection says of how its tables are copied: rules that protect columns, and what becomes of deleted rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self


class Action(StrEnum):
    """What is done with a protected value before a row is made of the record."""

    EXCLUDE = "exclude"  # the member is taken out
    HASH = "hash"  # HMAC-SHA-256 of the value in its place: equal values stay equal
    MASK = "mask"  # one fixed text in its place


@dataclass(frozen=True, slots=True, order=True)
class ColumnRule:
    """One protected value of each record.

    `path` are names of members, from the record on: ``("email",)``, ``("custom_attributes", "phone")``. A list on the
    way stands for each of its elements.
    """

    path: tuple[str, ...]
    action: Action


@dataclass(frozen=True, slots=True)
class ColumnRules:
    """The rules of one table, sorted. `key_id` names the key that `Action.HASH` uses, ``""`` if no rule does."""

    rules: tuple[ColumnRule, ...] = ()
    key_id: str = ""

    def __bool__(self) -> bool:
        return bool(self.rules)

    def to_json(self) -> dict[str, Any]:
        """A JSON object, without any secret."""
        return {"key": self.key_id, "rules": [[rule.action.value, *rule.path] for rule in self.rules]}

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError for another object."""
        rules = (ColumnRule(tuple(map(str, path)), Action(action)) for action, *path in given["rules"])
        return cls(tuple(rules), str(given["key"]))


NO_RULES: Final = ColumnRules()


@dataclass(frozen=True, slots=True)
class CopySettings:
    """What a connection says of its tables. There is no secret in it.

    `marks_deleted`: rows that were deleted in Intercom stay, with the time in ``_deleted_at``; else they are removed.
    `rules` are pairs of a table's name and its rules, for the tables that have some.
    """

    marks_deleted: bool = False
    rules: tuple[tuple[str, ColumnRules], ...] = ()

    def rules_of(self, table: str) -> ColumnRules:
        """The rules of one table."""
        return dict(self.rules).get(table, NO_RULES)


DEFAULT_SETTINGS: Final = CopySettings()
