"""Reads a search query into conditions on records, or refuses it as the API does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from intercom.sandbox.answers import Refusal
from intercom.sandbox.options import Options
from intercom.sandbox.search.days import day_span
from intercom.sandbox.search.fields import Field, FieldType, field_of

MAX_DEPTH = 2
MAX_FILTERS = 15
# Old data have milliseconds: a number outside the seconds of the years 1 to 9999 is one of milliseconds.
SECONDS_FROM = -62_135_596_800
MILLISECONDS_FROM = 253_402_300_800

Test = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Span:
    """``low <= time < high`` on one field."""

    path: str
    low: float = -math.inf
    high: float = math.inf

    def holds(self, value: Any) -> bool:
        second = seconds_of(value)
        return second is not None and self.low <= second < self.high


@dataclass(frozen=True, slots=True)
class Check:
    """A test on one field's value; ``ending`` is set if it only tests what the id ends with."""

    path: str
    holds: Test
    ending: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """All (AND) or any (OR) of the parts."""

    every: bool
    parts: tuple[Condition, ...]


Condition = Span | Check | Group


def seconds_of(value: Any) -> float | None:
    """A stored time as unix seconds; old data also have milliseconds and digit strings. None if it is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if SECONDS_FROM <= number < MILLISECONDS_FROM else number / 1000


class QueryReader:
    """Reads queries for one table under the workspace's present options."""

    def __init__(self, fields: Mapping[str, Field], options: Options) -> None:
        self._fields = fields
        self._options = options

    def read(self, query: Any, depth: int = 1) -> Condition:
        """The condition that the query states; Refusal 400 with the code for what is wrong with it."""
        if not isinstance(query, dict):
            raise Refusal(400, "query must be an object", "parameter_invalid", "query")
        if query.get("operator") in ("AND", "OR"):
            return self._group(query, depth)
        return self._filter(query)

    def _group(self, query: dict[str, Any], depth: int) -> Group:
        parts = query.get("value")
        if depth > MAX_DEPTH:
            raise Refusal(400, f"Queries may be nested {MAX_DEPTH} levels deep at most", "parameter_invalid", "query")
        if not isinstance(parts, list) or not parts:
            raise Refusal(400, "The value of AND and OR must be a list of filters", "parameter_invalid", "value")
        if len(parts) > MAX_FILTERS:
            raise Refusal(400, f"A group may have {MAX_FILTERS} filters at most", "parameter_invalid", "value")
        return Group(query["operator"] == "AND", tuple(self.read(part, depth + 1) for part in parts))

    def _filter(self, query: dict[str, Any]) -> Condition:
        name, operator = query.get("field"), query.get("operator")
        field = field_of(name, self._fields) if isinstance(name, str) else None
        if field is None:
            raise Refusal(400, f"{name} is not a searchable field", "parameter_invalid", "field")
        if not isinstance(operator, str) or operator not in field.kind.value:
            raise Refusal(400, f"Operator {operator} is not supported for {name}", "parameter_invalid", "operator")
        if "value" not in query:
            raise Refusal(400, "A filter needs a value", "parameter_invalid", "value")
        value = query["value"]
        self._check_type(field, operator, value)
        if field.kind is FieldType.DAY:
            return self._day(field.path, operator, value)
        if field.kind is FieldType.SECOND and self._options.conversations_by_day and operator in ("=", ">", "<"):
            return self._day(field.path, operator, value)
        if field.kind is FieldType.SECOND and operator not in ("!=", "IN", "NIN"):
            return self._second(field.path, operator, value)
        ending = value if field.path == "id" and operator == "$" else ""
        return Check(field.path, _test(operator, value), ending)

    def _check_type(self, field: Field, operator: str, value: Any) -> None:
        if operator in ("IN", "NIN"):
            fits = isinstance(value, list) and all(field.kind.accepts(element) for element in value)
        else:
            fits = field.kind.accepts(value)
        if not fits:
            message = f"The value for {operator} on {field.path} has the wrong type: {type(value).__name__}"
            raise Refusal(400, message, "type_mismatch", "value")

    def _day(self, path: str, operator: str, value: int) -> Span:
        options = self._options
        if options.contacts_by_second:
            start, end = value, value + 1
        else:
            try:
                start, end = day_span(value, options.timezone, options.index_timezone or options.timezone)
            except (OverflowError, ValueError) as error:
                raise Refusal(400, f"{value} is not a date", "parameter_invalid", "value") from error
        if operator == "=":
            return Span(path, start, end)
        return Span(path, low=end) if operator == ">" else Span(path, high=start)

    def _second(self, path: str, operator: str, value: int) -> Span:
        if self._options.inclusive_bounds and operator in (">", "<"):
            operator += "="
        match operator:
            case "=":
                return Span(path, value, value + 1)
            case ">":
                return Span(path, low=value + 1)
            case ">=":
                return Span(path, low=value)
            case "<":
                return Span(path, high=value)
            case _:
                return Span(path, high=value + 1)


def _test(operator: str, wanted: Any) -> Test:
    """The operator's test; a field with several values matches if one of them does."""
    if operator in ("!=", "NIN", "!~"):
        positive = _test({"!=": "=", "NIN": "IN", "!~": "~"}[operator], wanted)
        return lambda value: not positive(value)
    one = _single_test(operator, wanted)
    return lambda value: any(map(one, value)) if isinstance(value, list) else one(value)


def _single_test(operator: str, wanted: Any) -> Test:
    text = str(wanted)
    tests: dict[str, Test] = {
        "=": lambda value: _alike(value, wanted),
        "IN": lambda value: any(_alike(value, element) for element in wanted),
        ">": lambda value: _is_number(value) and value > wanted,
        "<": lambda value: _is_number(value) and value < wanted,
        "~": lambda value: isinstance(value, str) and text.lower() in value.lower(),
        "^": lambda value: isinstance(value, str) and value.startswith(text),
        "$": lambda value: isinstance(value, str) and value.endswith(text),
    }
    return tests[operator]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _alike(value: Any, wanted: Any) -> bool:
    """Equal and of one JSON type: in Python ``True == 1``."""
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)
