"""Which parents are known to be read: those that changed last, in the version whose children were delivered."""

from __future__ import annotations

from intercom.lake.row_digests import RowDigest
from intercom.sync.known_parents import KnownParents
from intercom.sync.unchanged import FEWEST_KEPT, NEWEST_KEPT
from intercom.tables.catalogue import TABLES
from tests.conftest import NOW

PARTS, SEGMENTS = TABLES["conversation_parts"], TABLES["company_segments"]
OLD, NEW = b"o" * 16, b"n" * 16


def test_a_parent_is_known_in_one_version_only() -> None:
    parents = KnownParents(PARTS, {b"1": RowDigest(OLD, 5), b"2": RowDigest(OLD, 6)}, run_start=NOW)
    assert not parents.is_to_be_read("1", OLD)
    assert parents.is_to_be_read("2", NEW)
    assert parents.is_to_be_read("3", NEW)
    parents.was_read("3", NEW, 7)
    assert parents.for_the_next() == {b"1": RowDigest(OLD, 5), b"3": RowDigest(NEW, 7)}


def test_a_parent_that_has_not_come_again_stays_known_unless_all_were_read() -> None:
    known = {b"1": RowDigest(OLD, 5)}
    assert KnownParents(PARTS, known, run_start=NOW).for_the_next() == known
    assert KnownParents(SEGMENTS, known, run_start=NOW).for_the_next() == {}


def test_only_those_that_changed_last_are_kept() -> None:
    parents = KnownParents(PARTS, {}, run_start=NOW + 1)
    for number in range(NEWEST_KEPT * 2):
        parents.was_read(str(number), NEW, NOW - number)
    kept = parents.for_the_next()
    assert set(kept) == {str(number).encode() for number in range(NEWEST_KEPT)}
    old = KnownParents(PARTS, {}, run_start=NOW)
    for number in range(FEWEST_KEPT * 2):
        old.was_read(str(number), NEW, NOW - number * 86_400)
    assert len(old.for_the_next()) == FEWEST_KEPT


def test_a_parent_that_has_changed_since_the_run_began_is_not_noted() -> None:
    parents = KnownParents(PARTS, {}, run_start=NOW)
    for key, at in (("1", NOW - 1), ("2", NOW), ("3", None)):
        parents.was_read(key, NEW, at)
    assert set(parents.for_the_next()) == {b"1", b"3"}
