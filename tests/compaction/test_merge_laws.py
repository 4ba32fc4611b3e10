"""The merge against a plain model, a dictionary of the newest version per key; keys of one column and of two."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from intercom.compaction.merge import POSITION, match_keys, newest_positions, same_content, versions_of
from intercom.compaction.partition import PartitionMerge
from intercom.compaction.row_counts import RowCounts
from intercom.tables.catalogue import TABLES
from tests.support.effort import effort
from tests.support.parquet import write_parquet

TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("owner_id", pa.string()),
        ("updated_at", TIME),
        ("text", pa.string()),
        ("score", pa.float64()),
        ("_ingested_at", TIME),
    ]
)
EARLIEST, LATEST = -(2**63) + 1, 2**63 - 1


class Row(NamedTuple):
    """A row of `SCHEMA`; times in microseconds."""

    id: str
    owner_id: str
    updated_at: int | None
    text: str | None
    score: float | None
    ingested_at: int

    @property
    def content(self) -> tuple[Any, ...]:
        not_a_number = self.score is not None and math.isnan(self.score)
        return (self.id, self.owner_id, self.updated_at, self.text, "nan" if not_a_number else self.score)

    @property
    def whole(self) -> tuple[Any, ...]:
        return (*self.content, self.ingested_at)


Key = tuple[str, ...]
Table = dict[Key, Row]
Order = tuple[str, ...]
SEARCHED, READ_WHOLE, TIMELESS = TABLES["contacts"].newest_by, TABLES["companies"].newest_by, ("_ingested_at",)


class Rule(NamedTuple):
    """How a table merges: the columns of its key, and those that tell the newer version."""

    primary_key: tuple[str, ...]
    newest_by: Order

    def key(self, row: Row) -> Key:
        return tuple(getattr(row, name) for name in self.primary_key)

    def version(self, row: Row) -> tuple[float, ...]:
        cursor = -math.inf if row.updated_at is None else row.updated_at
        return tuple(cursor if name == "updated_at" else row.ingested_at for name in self.newest_by)


# -- the model ----------------------------------------------------------------------------------------------------


def newest(rows: Sequence[Row], rule: Rule) -> Table:
    """Per key the greatest version; among equal ones the row that was read last."""
    found: Table = {}
    for row in rows:
        if rule.key(row) not in found or rule.version(row) >= rule.version(found[rule.key(row)]):
            found[rule.key(row)] = row
    return found


def beats(staged: Row, stored: Row, rule: Rule) -> bool:
    return rule.version(staged) > rule.version(stored) and staged.content != stored.content


def merged(stored: Table, staged: Sequence[Row], rule: Rule) -> Table:
    fresh = newest(staged, rule)
    return {**stored, **{key: row for key, row in fresh.items() if key not in stored or beats(row, stored[key], rule)}}


def replaced(stored: Table, staged: Sequence[Row], rule: Rule) -> Table:
    return {
        key: stored[key] if key in stored and stored[key].content == row.content else row
        for key, row in newest(staged, rule).items()
    }


def counted(stored: Table, staged: Sequence[Row], result: Table, rule: Rule) -> RowCounts:
    keys = {rule.key(row) for row in staged}
    changed = sum(key in stored and stored[key].whole != result[key].whole for key in keys)
    new, removed = len(keys - stored.keys()), len(stored.keys() - result.keys())
    return RowCounts(
        rows=len(result),
        new=new,
        changed=changed,
        unchanged=len(keys) - new - changed,
        removed=removed,
        files=int(bool(new or changed or removed)),
    )


# -- files --------------------------------------------------------------------------------------------------------


def as_arrow(rows: Sequence[Row]) -> Any:
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table(
        [
            pa.array(values, pa.int64()).cast(field.type) if field.type == TIME else pa.array(values, field.type)
            for values, field in zip(columns, SCHEMA, strict=True)
        ],
        schema=SCHEMA,
    )


def written(path: Path, rows: Sequence[Row], row_group_size: int = 1_000) -> Path:
    return write_parquet(path, as_arrow(rows), row_group_size)


def rows_in(path: Path) -> list[Row]:
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    columns = [(column.cast(pa.int64()) if column.type == TIME else column).to_pylist() for column in table.columns]
    return [Row(*values) for values in zip(*columns, strict=True)]


def wholes(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    return sorted((row.whole for row in rows), key=repr)


class Bench:
    """A folder with one partition; `run` merges parts into it, as compaction does."""

    def __init__(self, folder: Path, stored: Sequence[Row] | None, row_group_size: int, rule: Rule) -> None:
        self.folder, self.size, self.rule = folder, row_group_size, rule
        self.stored = (
            None
            if stored is None
            else written(folder / "stored.parquet", list(tabled(stored, rule).values()), row_group_size)
        )
        self.files = 0

    def run(self, *parts: Sequence[Row], replaces: bool = False) -> RowCounts:
        self.files += 1
        paths = [
            written(self.folder / f"{self.files}-{number}.parquet", part, self.size)
            for number, part in enumerate(parts)
        ]
        target = self.folder / f"{self.files}-target.parquet"
        merge = PartitionMerge(self.stored, paths, SCHEMA, replaces=replaces, **self.rule._asdict())
        try:
            result = merge.write(target, "v1")
        finally:
            merge.close()
        assert target.exists() == bool(result.files)
        if result.files:
            self.stored = target
        return result

    @property
    def rows(self) -> list[Row]:
        return [] if self.stored is None else rows_in(self.stored)

    def table(self) -> Table:
        rows = self.rows
        found = {self.rule.key(row): row for row in rows}
        assert len(found) == len(rows), "a key survives twice"
        return found


@contextmanager
def bench(stored: Sequence[Row] | None, row_group_size: int, rule: Rule) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        yield Bench(Path(folder), stored, row_group_size, rule)


# -- rows ---------------------------------------------------------------------------------------------------------

PARTS_OF_KEYS = [
    *(("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc"), ("", ""), ("é", "🙂")),
    *(
        ("a\x00", "b"),
        ("a", "\x00b"),
        ("a\x00b", ""),
        ("\x01", "\x00"),
        ("\x01\x01", ""),
        ("a\x1f", "b"),
        ("a", "\x1fb"),
    ),
]
"""Keys of two columns that are the same, or nearly, once their columns are put together; the first makes one of one."""
KEYS = st.sampled_from(PARTS_OF_KEYS)
TIMES = st.one_of(st.none(), st.integers(0, 3), st.sampled_from([EARLIEST, -1, LATEST - 1, LATEST]))
SIZES = st.integers(1, 4)
RULES = st.builds(
    Rule, st.sampled_from([("id",), ("id", "owner_id")]), st.sampled_from([SEARCHED, READ_WHOLE, TIMELESS])
)


def rows(ingested: st.SearchStrategy[int]) -> st.SearchStrategy[Row]:
    texts = st.sampled_from([None, "", "x", "y"])
    scores = st.sampled_from([None, math.nan, 0.0, 1.5, math.inf])
    return st.builds(lambda key, *values: Row(*key, *values), KEYS, TIMES, texts, scores, ingested)


def run_of(number: int, **bounds: int) -> st.SearchStrategy[list[Row]]:
    """Rows of one run: `_ingested_at` is one value per run."""
    return st.lists(rows(st.just(number)), max_size=8, **bounds)


ANY_RUN = rows(st.one_of(st.integers(1, 3), st.sampled_from([EARLIEST, LATEST])))
PARTS = st.lists(st.lists(ANY_RUN, max_size=5), max_size=5)
STORED = st.one_of(st.none(), st.lists(ANY_RUN, max_size=8))


def flat(parts: Sequence[Sequence[Row]]) -> list[Row]:
    return [row for part in parts for row in part]


def tabled(rows: Sequence[Row] | None, rule: Rule) -> Table:
    return {rule.key(row): row for row in rows or ()}


# -- laws of the merge of a partition -----------------------------------------------------------------------------


@settings(max_examples=effort(23, 700))
@given(stored=STORED, parts=PARTS, size=SIZES, rule=RULES)
def test_each_key_survives_once_with_its_newest_version(
    stored: list[Row] | None, parts: list[list[Row]], size: int, rule: Rule
) -> None:
    expected = merged(tabled(stored, rule), flat(parts), rule)
    with bench(stored, size, rule) as partition:
        result = partition.run(*parts)
        assert wholes(partition.rows) == wholes(list(expected.values()))
        assert result == counted(tabled(stored, rule), flat(parts), expected, rule)
        assert result.new + result.changed + result.unchanged == len({rule.key(row) for row in flat(parts)})
        assert result.rows == len(partition.rows)
        assert result.removed == 0


@settings(max_examples=effort(23, 700))
@given(stored=STORED, parts=PARTS, size=SIZES, rule=RULES)
def test_a_replacing_merge_leaves_exactly_what_was_staged(
    stored: list[Row] | None, parts: list[list[Row]], size: int, rule: Rule
) -> None:
    expected = replaced(tabled(stored, rule), flat(parts), rule)
    with bench(stored, size, rule) as partition:
        result = partition.run(*parts, replaces=True)
        assert wholes(partition.rows) == wholes(list(expected.values()))
        assert result == counted(tabled(stored, rule), flat(parts), expected, rule)
        assert partition.table().keys() == {rule.key(row) for row in flat(parts)}


@settings(max_examples=effort(10, 300))
@given(stored=STORED, parts=PARTS, size=SIZES, rule=RULES, replaces=st.booleans())
def test_merging_the_same_parts_again_changes_nothing(
    stored: list[Row] | None, parts: list[list[Row]], size: int, replaces: bool, rule: Rule
) -> None:
    with bench(stored, size, rule) as partition:
        first = partition.run(*parts, replaces=replaces)
        before = wholes(partition.rows)
        again = partition.run(*parts, replaces=replaces)
        keys = len({rule.key(row) for row in flat(parts)})
        assert again == RowCounts(rows=first.rows, unchanged=keys)
        assert wholes(partition.rows) == before


@settings(max_examples=effort(10, 300))
@given(
    data=st.data(),
    stored=STORED,
    staged=st.lists(ANY_RUN, max_size=8),
    size=SIZES,
    rule=RULES,
)
def test_the_order_of_distinct_versions_and_their_cut_into_parts_do_not_matter(
    data: st.DataObject, stored: list[Row] | None, staged: list[Row], size: int, rule: Rule
) -> None:
    staged = list({(rule.key(row), rule.version(row)): row for row in staged}.values())
    shuffled = data.draw(st.permutations(staged))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(staged)), max_size=3)))
    parts = [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(staged)], strict=True)]
    with bench(stored, size, rule) as left, bench(stored, 1_000, rule) as right:
        assert left.run(*parts) == right.run(staged)
        assert wholes(left.rows) == wholes(right.rows)


@settings(max_examples=effort(10, 300))
@given(
    stored=STORED,
    staged=st.lists(ANY_RUN, min_size=1, max_size=12),
    size=SIZES,
    rule=RULES,
    cuts=st.sets(st.integers(1, 11)),
)
def test_how_rows_are_cut_into_parts_does_not_matter(
    stored: list[Row] | None, staged: list[Row], size: int, cuts: set[int], rule: Rule
) -> None:
    ends = [*sorted(cut for cut in cuts if cut < len(staged)), len(staged)]
    parts = [staged[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    with bench(stored, size, rule) as left, bench(stored, size, rule) as right:
        assert left.run(*parts) == right.run(staged)
        assert wholes(left.rows) == wholes(right.rows)


@settings(max_examples=effort(10, 300))
@given(stored=run_of(0, min_size=0), first=run_of(1), second=run_of(2), size=SIZES, rule=RULES)
def test_two_short_runs_equal_one_long_run(
    stored: list[Row], first: list[Row], second: list[Row], size: int, rule: Rule
) -> None:
    """Up to the time of ingestion: a row that changed and changed back was written once more by the short runs."""
    stored = list(newest(stored, rule).values())
    with bench(stored, size, rule) as short, bench(stored, size, rule) as long:
        short.run(first)
        short.run(second)
        long.run(first, second)
        assert {key: row.content for key, row in short.table().items()} == {
            key: row.content for key, row in long.table().items()
        }


@settings(max_examples=effort(8, 250))
@given(stored=STORED, parts=PARTS, size=SIZES, rule=RULES)
def test_a_version_never_gets_older_by_a_merge(
    stored: list[Row] | None, parts: list[list[Row]], size: int, rule: Rule
) -> None:
    with bench(stored, size, rule) as partition:
        partition.run(*parts)
        after = partition.table()
        for key, row in tabled(stored, rule).items():
            assert rule.version(after[key]) >= rule.version(row)


@settings(max_examples=effort(8, 250))
@given(stored=STORED, parts=PARTS, size=SIZES, rule=RULES)
def test_a_replacing_merge_gives_the_same_rows_whatever_was_stored(
    stored: list[Row] | None, parts: list[list[Row]], size: int, rule: Rule
) -> None:
    with bench(stored, size, rule) as used, bench(None, size, rule) as fresh:
        used.run(*parts, replaces=True)
        fresh.run(*parts, replaces=True)
        assert {key: row.content for key, row in used.table().items()} == {
            key: row.content for key, row in fresh.table().items()
        }


@settings(max_examples=effort(7, 200))
@given(staged=st.lists(ANY_RUN, min_size=1, max_size=6, unique_by=lambda row: row.id), size=SIZES, rule=RULES)
def test_a_new_month_in_one_part_without_doubles_keeps_the_rows_in_their_order(
    staged: list[Row], size: int, rule: Rule
) -> None:
    with bench(None, size, rule) as partition:
        assert partition.run(staged) == RowCounts(rows=len(staged), new=len(staged), files=1)
        assert [row.whole for row in partition.rows] == [row.whole for row in staged]


# -- laws of the decisions ----------------------------------------------------------------------------------------


def versions(rows: Sequence[Row], rule: Rule) -> pa.Table:
    positions = pa.array(range(len(rows)), pa.int64())
    return versions_of(as_arrow(rows).append_column(POSITION, positions), *rule)


@settings(max_examples=effort(27, 800))
@given(data=st.data(), staged=st.lists(ANY_RUN, max_size=12), rule=RULES)
def test_newest_positions_are_those_of_the_greatest_versions_in_rising_order(
    data: st.DataObject, staged: list[Row], rule: Rule
) -> None:
    """Whatever the order in which the key columns lie in memory: the position says what was read last."""
    shuffled = data.draw(st.permutations(range(len(staged))))
    shuffled_versions = versions(staged, rule).take(pa.array(shuffled, pa.int64()))
    positions = newest_positions(shuffled_versions).to_pylist()
    last = {key: max(n for n, other in enumerate(staged) if other is row) for key, row in newest(staged, rule).items()}
    assert positions == sorted(positions)
    assert len(positions) == len(last)
    assert {rule.key(staged[position]): staged[position].whole for position in positions} == {
        key: staged[position].whole for key, position in last.items()
    }
    for position in positions:
        others = [n for n, row in enumerate(staged) if rule.key(row) == rule.key(staged[position])]
        assert position == max(others, key=lambda n: (rule.version(staged[n]), n))


@settings(max_examples=effort(27, 800))
@given(
    stored=st.lists(ANY_RUN, max_size=8),
    staged=st.lists(ANY_RUN, max_size=8),
    rule=RULES,
)
def test_each_stored_row_is_matched_with_the_staged_one_of_its_key(
    stored: list[Row], staged: list[Row], rule: Rule
) -> None:
    staged = list(tabled(staged, rule).values())
    met = match_keys(versions(stored, rule), versions(staged, rule), rule.newest_by)
    place = {rule.key(row): number for number, row in enumerate(staged)}
    matched = [number for number, row in enumerate(stored) if rule.key(row) in place]
    assert met.stored.to_pylist() == matched
    assert met.staged.to_pylist() == [place[rule.key(stored[number])] for number in matched]
    pairs = [(stored[number], staged[place[rule.key(stored[number])]]) for number in matched]
    beaten = [rule.version(theirs) > rule.version(ours) for ours, theirs in pairs]
    has_cursor = "updated_at" in rule.newest_by
    same = [not has_cursor or theirs.updated_at == ours.updated_at for ours, theirs in pairs]
    assert met.newer.to_pylist() == [won and not equal for won, equal in zip(beaten, same, strict=True)]
    assert met.tie.to_pylist() == [won and equal for won, equal in zip(beaten, same, strict=True)]


@settings(max_examples=effort(27, 800))
@given(pairs=st.lists(st.tuples(ANY_RUN, ANY_RUN), max_size=8))
def test_content_is_the_same_when_all_but_the_time_of_ingestion_is(pairs: list[tuple[Row, Row]]) -> None:
    """Null equals null, NaN equals NaN, and the two are not each other."""
    left, right = as_arrow([pair[0] for pair in pairs]), as_arrow([pair[1] for pair in pairs])
    assert same_content(left, right).to_pylist() == [ours.content == theirs.content for ours, theirs in pairs]


@settings(max_examples=effort(8, 250))
@given(pairs=st.lists(st.tuples(ANY_RUN, ANY_RUN, st.integers(0, 5)), min_size=1, max_size=8))
def test_rows_that_differ_in_one_column_at_most_are_told_apart(pairs: list[tuple[Row, Row, int]]) -> None:
    twins = [(row, row._replace(**{Row._fields[column]: other[column]})) for row, other, column in pairs]
    left, right = as_arrow([pair[0] for pair in twins]), as_arrow([pair[1] for pair in twins])
    assert same_content(left, right).to_pylist() == [ours.content == theirs.content for ours, theirs in twins]
