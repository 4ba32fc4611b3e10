"""A child table against its workspace: the children of some parents are asked for and compared with the lake's.

    parents whose record counts another number of children than the lake has     found in the lake, without a request
    parents that are drawn at random                                              a sample

A parent that has changed since the last sync is read by the next one, and is left out. One that Intercom does not know
any more is a difference of the parent table, and none here.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from intercom.compaction.arrow import flat
from intercom.compaction.keys import KEY, keys_of
from intercom.errors import FatalApiError, RequestRejectedError, RequestsSpentError, RetriableApiError
from intercom.extract.child_answers import integer_at
from intercom.extract.children import read_children
from intercom.extract.extraction import Extraction
from intercom.extract.one_record import ask_record
from intercom.extract.pages import Page
from intercom.lake.parquet import open_parquet
from intercom.lake.table import LakeTable
from intercom.normalise.records import Record, SentRecord
from intercom.tables.read_marks import SIGN
from intercom.tables.schema import DELETED_AT
from intercom.tables.table import Parent, Table
from intercom.verify.case import Case
from intercom.verify.judge import differing_fields
from intercom.verify.lake_index import CHANGED, CREATED, has_columns, seconds_in, times_of

log = logging.getLogger(__name__)

_MONTHS_DRAWN: Final = 6
_ROWS_AT_A_TIME: Final = 8_192
_FOR_PARENTS: Final = 0.3
"""Share of the requests that is kept for asking whether parents have changed since."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The children of a parent: as many as its record says, and as many as the lake has."""

    said: int
    stored: int


@dataclass(slots=True)
class ComparedParents:
    """By parent, what is wrong with its children: `missing`, `extra`, `fields` (names of columns). `asked` parents.

    `untold` have rows in the lake that the answer had not, though it may not have had all. `unasked` are parents whose
    counts differ and that were not asked for.
    """

    missing: dict[str, int] = field(default_factory=dict)
    extra: dict[str, int] = field(default_factory=dict)
    fields: dict[str, tuple[str, ...]] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)
    asked: int = 0
    same: int = 0
    unasked: dict[str, Counts] = field(default_factory=dict)

    @property
    def suspects(self) -> list[str]:
        """The parents with something wrong."""
        return list(dict.fromkeys([*self.missing, *self.extra, *self.fields]))


def compare_children(case: Case, parent_table: LakeTable) -> ComparedParents:
    """Ask for the children of some parents, and compare them. `parent_table` is that of the parents in the lake."""
    declared = case.table.parent
    assert declared is not None
    counts = dict(_counted(case, declared, parent_table))
    chance = random.Random(case.limits.seed)
    doubtful = chance.sample(sorted(counts), len(counts))
    drawn = [key for key in _drawn(case, declared, parent_table, chance) if key not in counts]
    room = int(case.allowance.left * (1 - _FOR_PARENTS)) // (2 if declared.counted_by else 1)
    half = max(1, room // 2)
    chosen = [*doubtful[: max(half, room - len(drawn))], *drawn[:half]]
    answers = _Answers(case, declared)
    answers.ask(chosen, _said(declared, parent_table, chosen))
    found = answers.compared()
    for again in range(2):
        changed = answers.changed_since([*found.suspects, *found.untold])
        found = answers.compared(without=changed)
        if case.lake_table.peek() == case.index.state or again:
            break
    found.unasked = {key: counts[key] for key in doubtful if key not in chosen}
    return found


# -- the lake's side ----------------------------------------------------------------------------------------------


def _counted(case: Case, declared: Parent, parent_table: LakeTable) -> Iterator[tuple[str, Counts]]:
    """Parents whose record counts another number of children than the lake has of them, if records count them."""
    table, settled = case.table, case.expected.settled
    name = _count_column(declared)
    if name is None:
        return
    parents, children = parent_table.published(), case.lake_table.published()
    for month in parents:
        rows = _columns(parent_table, month, (declared.key, name, str(declared.table.cursor_field)))
        if rows is None or name not in rows.column_names:
            continue
        own = _columns(case.lake_table, month, (table.parent_column,)) if month in children else None
        keys = pa.array([], pa.string()) if own is None else flat(own.column(table.parent_column))
        stored = Counter(map(str, keys.to_pylist()))
        changed = seconds_in(rows, declared.table.cursor_field).to_pylist()
        for key, said, at in zip(
            map(str, rows.column(declared.key).to_pylist()), rows.column(name).to_pylist(), changed, strict=True
        ):
            late = settled is not None and at is not None and at >= settled
            if said is None or said == stored[key] or late or _is_cut(declared, said, stored[key]):
                continue
            yield key, Counts(int(said), stored[key])


def _said(declared: Parent, parent_table: LakeTable, keys: Sequence[str]) -> dict[str, int]:
    """As many children as the lake's records of these parents say, by key: an answer with fewer may lack some."""
    name = _count_column(declared)
    found: dict[str, int] = {}
    for month in parent_table.published() if name else ():
        rows = _columns(parent_table, month, (declared.key, str(name)))
        if rows is not None and name in rows.column_names:
            rows = rows.filter(pc.is_in(rows.column(declared.key), value_set=pa.array(keys, pa.string())))
            counted = zip(_keys(rows, declared.key), rows.column(str(name)).to_pylist(), strict=True)
            found.update({key: int(said) for key, said in counted if said is not None})
    return found


def _count_column(declared: Parent) -> str | None:
    """The column of the parent table with the number of children; None where records do not count them."""
    if not declared.counted_by:
        return None
    return next((one.name for one in declared.table.schema.flat if one.path == declared.counted_by), None)


def _is_cut(declared: Parent, said: int, stored: int) -> bool:
    """Whether Intercom gives only the newest children of a parent with so many, and the lake has these."""
    return bool(declared.most) and said > declared.most <= stored


def _columns(lake_table: LakeTable, month: str, names: Sequence[str]) -> pa.Table | None:
    """Some columns of the rows of a month that are not deleted; None where the file has none of the columns."""
    with lake_table.files.fetch(month) as path, open_parquet(path) as file:
        there = [name for name in (*names, DELETED_AT) if name in file.schema_arrow.names]
        if names[0] not in there:
            return None
        rows = file.read(columns=there)
    return rows.filter(pc.is_null(rows.column(DELETED_AT))) if DELETED_AT in there else rows


def _drawn(case: Case, declared: Parent, parent_table: LakeTable, chance: random.Random) -> list[str]:
    """Parents that are drawn from a few months: of the parent table, or where the lake has none, of the children's."""
    listed = parent_table.published()
    source, name = (parent_table, declared.key) if listed else (case.lake_table, case.table.parent_column)
    months = sorted(source.published())
    keys: set[str] = set()
    for month in chance.sample(months, min(_MONTHS_DRAWN, len(months))):
        rows = _columns(source, month, (name,))
        keys.update([] if rows is None else map(str, flat(rows.column(name)).unique().to_pylist()))
    return chance.sample(sorted(keys), min(case.limits.sample, len(keys)))


def rows_of_parents(table: Table, lake_table: LakeTable, parents: Sequence[str]) -> pa.Table:
    """The lake's rows of these parents that are not deleted, with the declared columns."""
    wanted, declared = pa.array(parents, pa.string()), table.schema.arrow
    found = [declared.empty_table()]
    for month in lake_table.published():
        with lake_table.files.fetch(month) as path, open_parquet(path) as file:
            if not file.schema_arrow.equals(declared):
                continue
            for batch in file.iter_batches(_ROWS_AT_A_TIME):
                rows = pa.Table.from_batches([batch])
                found.append(rows.filter(pc.is_in(rows.column(table.parent_column), value_set=wanted)))
    rows = pa.concat_tables(found)
    return rows.filter(pc.is_null(rows.column(DELETED_AT))) if DELETED_AT in rows.column_names else rows


# -- the workspace's side -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Answers:
    """Children as the workspace gives them. `whole` are parents of which all came; the others' rows may lack some."""

    case: Case
    declared: Parent
    parents: list[str] = field(default_factory=list)
    whole: set[str] = field(default_factory=set)
    _came: set[str] = field(default_factory=set)
    _served: Counter[str] = field(default_factory=Counter)

    def ask(self, keys: Sequence[str], said: Mapping[str, int]) -> None:
        """Ask for the children of these parents, as far as requests are allowed; `said`: how many some of them have."""
        self.parents = list(keys)
        records = [self._record(key, said.get(key)) for key in keys]
        extraction = self.case.extraction(self._take)
        # What is inherited from the parent is not asked for, and not compared.
        try:
            read_children(extraction, lambda parents: _hand_on(parents, records))
        except RequestsSpentError:
            log.info("%s: the allowed requests are spent", self.case.table.name)
        except RequestRejectedError as refused:
            if refused.status != 404:  # all of the parents that were drawn are gone
                raise

    def _record(self, key: str, said: int | None) -> Record:
        """As much of a parent's record as asking for its children takes."""
        counted: Any = said
        for name in reversed(self.declared.counted_by):
            counted = {name: counted}
        members = {**dict.fromkeys(self.declared.inherits.values()), **(counted or {}), self.declared.key: key}
        return SentRecord(msgspec.Raw(msgspec.json.encode(members)))

    def _take(self, page: Page) -> None:
        for mark in page.records[: page.marks]:
            parent = _text(mark[self.case.table.parent_column])
            cut_by = self.declared.cut_by
            if not cut_by or bytes(mark.get(cut_by, b"null")) == b"null":
                self.whole.add(parent)
            self._came.add(parent)
        parents = [_text(record[self.case.table.parent_column]) for record in page.records[page.marks :]]
        self._came.update(parents)
        self._served.update(parents)
        if not self.case.table.replaces_children:
            self.whole.update(self._came)
        self.case.seen.add(page)

    def compared(self, without: Sequence[str] = ()) -> ComparedParents:
        """What is wrong with the children of the parents that have answered, and are not among `without`."""
        table, case = self.case.table, self.case
        parents = [key for key in self.parents if key in self._came and key not in without]
        theirs = case.seen.rows()
        asked = pa.array(parents, pa.string())
        theirs = theirs.filter(pc.is_in(theirs.column(table.parent_column), value_set=asked))
        ours = rows_of_parents(table, case.lake_table, parents)
        own_keys = flat(keys_of(ours, table.primary_key)) if ours.num_rows else pa.array([], pa.string())
        found = ComparedParents(asked=len(parents))
        absent = theirs.filter(pc.invert(pc.is_in(theirs.column(KEY), value_set=own_keys)))
        for parent, late in zip(_keys(absent, table.parent_column), self._late(absent), strict=True):
            if not late:
                found.missing[parent] = found.missing.get(parent, 0) + 1
        gone = ours.filter(pc.invert(pc.is_in(own_keys, value_set=flat(theirs.column(KEY)))))
        for parent in _keys(gone, table.parent_column):
            if parent in self.whole:
                found.extra[parent] = found.extra.get(parent, 0) + 1
            else:
                found.untold.append(parent)
        found.fields = self._fields(ours, theirs) if has_columns(table, case.index) else {}
        if table.is_replaced:  # each sync reads it whole: these may have changed since the last one
            found.extra, found.fields = {}, {}
        found.same = ours.num_rows - gone.num_rows - len(found.fields)
        return found

    def _late(self, rows: pa.Table) -> list[bool]:
        """For each row: whether it is younger than the last sync reaches, or, of a list without times, may be."""
        settled = self.case.expected.settled
        _, name = times_of(self.case.table)
        changed = rows.column(CHANGED).to_pylist() if name else [None] * rows.num_rows
        times = [
            after if after is not None else at
            for after, at in zip(changed, rows.column(CREATED).to_pylist(), strict=True)
        ]
        timeless = self.case.table.cursor_field is None
        return [settled is None or (timeless if at is None else at >= settled) for at in times]

    def _fields(self, ours: pa.Table, theirs: pa.Table) -> dict[str, tuple[str, ...]]:
        table = self.case.table
        inherited = [name for name in self.declared.inherits if name != table.parent_column]
        left_out = {*inherited, *(["body"] if table.plain_text else [])}
        parent_of = dict(zip(_keys(theirs, KEY), _keys(theirs, table.parent_column), strict=True))
        late = dict(zip(_keys(theirs, KEY), self._late(theirs), strict=True))
        found: dict[str, tuple[str, ...]] = {}
        for key, names in differing_fields(table, ours, theirs).items():
            kept = tuple(name for name in names if name not in left_out)
            if kept and not late[key]:
                parent = parent_of[key]
                found[parent] = tuple(dict.fromkeys([*found.get(parent, ()), *kept]))
        return found

    def changed_since(self, parents: Sequence[str]) -> list[str]:
        """Those of the parents that have changed since the last sync, which the next one reads, or that are gone.

        Learns from their records how many children they have now.
        """
        table, settled = self.declared.table, self.case.expected.settled
        if not table.record_path or settled is None:
            return []
        api = self.case.client.for_table(self.case.table.name, self.case.table.scope, self.case.allowance)
        parents = list(dict.fromkeys(parents))

        def changed(key: str) -> bool:
            try:
                answer = ask_record(api, table, key)
            except RetriableApiError:
                return True
            if not isinstance(answer, Page):
                return not isinstance(answer, FatalApiError)
            counted = integer_at(answer.records[0], self.declared.counted_by) if answer.records else None
            if counted is not None and counted <= self._served[key] and key in self._came:
                self.whole.add(key)
            return answer.newest is not None and answer.newest >= settled

        jobs = [partial(changed, key) for key in parents[: max(0, self.case.allowance.left)]]
        answers = self.case.extraction().in_parallel(jobs)
        return [key for key, late in zip(parents, answers, strict=False) if late]


def _hand_on(parents: Extraction, records: Sequence[Record]) -> None:
    for record in records:
        parents.deliver(Page(1, None, [record]))


def _keys(rows: pa.Table, column: str) -> list[str]:
    return [str(key) for key in rows.column(column).to_pylist()]


def _text(raw: msgspec.Raw) -> str:
    value = msgspec.json.decode(raw)
    return str(value).removeprefix(SIGN)
