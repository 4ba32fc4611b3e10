"""The rules that protect columns, as users write them -> `ColumnRules` of each table. Every fault is told at once.

contacts:
  exclude: [avatar, custom_attributes.national_id]
  hash: [email, phone]
  mask: [name]
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Final

from pydantic import SecretStr

from intercom.config.hash_key import SHORTEST_KEY
from intercom.config.redaction import harmless
from intercom.errors import ConfigurationError
from intercom.tables.catalogue import TABLES
from intercom.tables.column_rules import (
    NO_RULES,
    Action,
    ColumnRule,
    ColumnRules,
    CopySettings,
    TableRules,
    key_id_of,
    with_rules,
)
from intercom.tables.protectable import NotProtectableError, paths_of
from intercom.tables.table import Table

_ACTIONS: Final = ", ".join(action.value for action in Action)
_NAME: Final = r"[\w.-]{1,40}"


def read_column_rules(given: object, hash_key: SecretStr | None, place: str) -> TableRules:
    """The rules of all tables. Raises ConfigurationError: a line for each fault, which begins with `place`."""
    if given in (None, {}):
        return ()
    faults: list[str] = []
    rules = dict(_read(given, faults))
    if any(rule.action is Action.HASH for rules_of in rules.values() for rule in rules_of) and hash_key is None:
        faults.append(
            "hash needs a key. Give the connection hash_key, in the file as ${VARIABLE}, of at least "
            f"{SHORTEST_KEY} characters"
        )
    if faults:
        raise ConfigurationError("\n".join(_told(place, fault) for fault in faults))
    key_id = "" if hash_key is None else key_id_of(hash_key.get_secret_value())
    order = {name: place for place, name in enumerate(TABLES)}
    return tuple((table, with_rules(rules[table], key_id)) for table in sorted(rules, key=order.__getitem__))


def parse_columns(text: str) -> dict[str, Any]:
    """Columns that were given as text. Raises ConfigurationError if that is no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigurationError(
            "columns are not a JSON object. Write them like "
            '{"contacts": {"exclude": ["avatar"], "hash": ["email"]}}. Nothing was read.'
        )
    return found


def with_more_rules(settings: CopySettings, given: object, hash_key: SecretStr | None, place: str) -> CopySettings:
    """A connection's settings with more rules, which may add protection and never take any away.

    Raises ConfigurationError for a rule that would leave more of a value than the connection's own.
    """
    added = dict(read_column_rules(given, hash_key, place))
    if not added:
        return settings
    faults: list[str] = []
    rules = dict(settings.rules)
    for table, more in added.items():
        kept = rules.get(table, NO_RULES)
        key_id = more.key_id or kept.key_id
        rules[table] = with_rules(_combined(kept, more, table, faults), key_id)
    if faults:
        raise ConfigurationError("\n".join(_told(place, fault) for fault in faults))
    return replace(settings, rules=tuple((table, rules[table]) for table in TABLES if table in rules))


def _combined(kept: ColumnRules, more: ColumnRules, table: str, faults: list[str]) -> list[ColumnRule]:
    found = list(kept.rules)
    for rule in more.rules:
        outer = next((one for one in kept.rules if one.covers(rule.path)), None)
        inner = [one for one in kept.rules if outer is None and rule.covers(one.path)]
        against = [one for one in inner if one.action.strength > rule.action.strength]
        if outer is not None:
            same, stronger = outer.path == rule.path, outer.action.strength - rule.action.strength
            against = [outer] if (stronger > 0 if same else stronger < 0) else []
        if against:
            faults.append(
                f"{table}: {rule.action} of {rule.name} does not go with the connection's {against[0].action} of "
                f"{against[0].name}, since options of a run only add protection"
            )
        elif outer is None:
            found = [one for one in found if one not in inner] + [rule]
        elif outer.path == rule.path:
            found = [one for one in found if one != outer] + [rule]
    return found


def _read(given: object, faults: list[str]) -> Iterable[tuple[str, list[ColumnRule]]]:
    if not isinstance(given, Mapping):
        faults.append("expected tables, each with the keys " + _ACTIONS + " and lists of columns")
        return
    for name, wanted in given.items():
        table = TABLES.get(str(name))
        if table is None:
            near = get_close_matches(str(name), TABLES, 1)
            hint = f"Did you mean {near[0]}?" if near else "Tables are listed in the README"
            faults.append(f"there is no table {harmless(name)}. {hint}".rstrip("."))
            continue
        if not isinstance(wanted, Mapping):
            faults.append(f"{table.name}: expected the keys {_ACTIONS}, each with a list of columns")
            continue
        rules: list[ColumnRule] = []
        for key, columns in wanted.items():
            if key not in list(Action):
                faults.append(f"{table.name}: unknown key {harmless(key)}. Known keys: {_ACTIONS}")
                continue
            rules += _rules_of(table, Action(key), columns, faults)
        if rules:
            yield table.name, _each_once(table, rules, faults)


def _rules_of(table: Table, action: Action, columns: object, faults: list[str]) -> Iterable[ColumnRule]:
    listed = [columns] if isinstance(columns, str) else columns
    if not isinstance(listed, list | tuple):
        faults.append(f"{table.name}, {action}: expected a list of columns")
        return
    for given in listed:
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            faults.append(
                f"{table.name}, {action}: a column is a text, or a list of texts where a name has a dot itself"
            )
            continue
        try:
            paths = paths_of(table, given)
        except NotProtectableError as error:
            faults.append(f"{table.name}, {action}: {harmless('.'.join(names), _NAME)} {error}".rstrip("."))
        else:
            yield from (ColumnRule(path, action) for path in paths)


def _each_once(table: Table, rules: list[ColumnRule], faults: list[str]) -> list[ColumnRule]:
    """The rules without those whose values lie in what another protects in the same way."""
    kept: list[ColumnRule] = []
    for rule in sorted(set(rules), key=lambda rule: (len(rule.path), rule)):
        outer = next((one for one in kept if one.covers(rule.path)), None)
        if outer is None:
            kept.append(rule)
        elif outer.action is not rule.action:
            faults.append(f"{table.name}: {outer.action} of {outer.name} and {rule.action} of {rule.name} contradict")
    return kept


def _told(place: str, fault: str) -> str:
    return f"{place}, columns: {fault}{'' if fault.endswith('?') else '.'}"
