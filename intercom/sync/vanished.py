"""Decides which rows that a sweep lacks are gone from the workspace. Pure.

A sweep is a complete read of a table; it may be well formed and wrong, so that rows are missing from it which the
workspace has: two rows that change places between pages, an index that is late. So a row is gone only if two questions
agree: this sweep and either its own address, which answers 404, or the sweep before it.

    up to 200 rows missing      each is asked for by its own address: 404 gone, 200 kept, anything else undecided
    more                        those that the sweep before lacked as well are gone; a sample of 200 of them is asked,
                                and if one of the sample is there, so may be others: then only what was asked is decided
    rows known to be kept       were there when no sweep showed them (archived): only a 404 of their own decides
    no address to ask           two sweeps decide; a row that no run has met in between is missing twice
    a sweep short of rows       counts as none: only addresses decide
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Final

from intercom.lake.sweeps import Sweep

ASKED_ONE_BY_ONE: Final = 200
"""Most missing rows of a table that are requested one by one, each by its own address."""
KEPT_ASKED: Final = 50
"""Most rows among them that are known to be kept, where more are missing than are asked."""
LARGE_SHARE: Final = 0.2
"""More than this share of a table goes only where a person has permitted it."""
SMALL_TABLE: Final = 100
"""Rows of a table up to which no permission is needed."""


class Answer(Enum):
    """What the address of a single row said."""

    THERE = "there"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Decision:
    """The rows that a sweep lacks, by key, each in one of three sets. `kept` rows are there, `undecided` ones stay."""

    gone: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    undecided: frozenset[str] = frozenset()

    def sweep(self, earlier: Sweep, *, whole: bool) -> Sweep:
        """What is kept for the next sweep. One that is not `whole` counts as none: its rows are not doubted by it."""
        doubted = self.undecided if whole else self.undecided & (earlier.missing | earlier.gone)
        return Sweep(doubted, self.kept, self.gone)

    def refused(self) -> Decision:
        """The decision where what is gone may not be removed yet."""
        return Decision(kept=self.kept, undecided=self.undecided | self.gone)


def to_ask(missing: Collection[str], earlier: Sweep, *, whole: bool, salt: str) -> list[str]:
    """The keys whose address is asked, at most `ASKED_ONE_BY_ONE`; of more than that another sample for each `salt`."""
    if len(missing) <= ASKED_ONE_BY_ONE:
        return sorted(missing)
    absent = frozenset(missing)
    kept = _shuffled(absent & earlier.kept, salt)[:KEPT_ASKED]
    twice = _shuffled(_twice(absent, earlier), salt)
    others = [] if whole else _shuffled(absent - earlier.keys, salt)
    return [*kept, *twice, *others][:ASKED_ONE_BY_ONE]


def decide(missing: Collection[str], earlier: Sweep, answers: Mapping[str, Answer] | None, *, whole: bool) -> Decision:
    """Decide about the keys that a sweep lacks.

    `earlier` is what the sweep before it has left, without rows that were met since; empty if there was none. `answers`
    are those of `to_ask`, None if rows have no address or none was asked. `whole`: nothing at all is missing of what
    Intercom counts.
    """
    absent = frozenset(missing)
    twice = _twice(absent, earlier) if whole else frozenset()
    if answers is None:
        return Decision(gone=twice, kept=absent & earlier.kept, undecided=absent - twice - earlier.kept)
    said = {one: frozenset(key for key, answer in answers.items() if answer is one) & absent for one in Answer}
    asked = frozenset(answers)
    # A table of up to 200 missing rows asks for all of them, so nothing is left to be decided by sweeps alone.
    agreed = (asked & twice) and (asked & twice) <= said[Answer.GONE]
    gone = said[Answer.GONE] | ((twice - asked) if agreed else frozenset())
    kept = said[Answer.THERE] | (absent & earlier.kept - said[Answer.GONE])
    return Decision(gone, kept, absent - gone - kept)


def is_large(gone: int, known: int) -> bool:
    """Whether so many of a table's rows go only where a person has permitted it."""
    return known > SMALL_TABLE and gone > LARGE_SHARE * known


def _twice(absent: frozenset[str], earlier: Sweep) -> frozenset[str]:
    return absent & (earlier.missing | earlier.gone)


def _shuffled(keys: Iterable[str], salt: str) -> list[str]:
    return sorted(keys, key=lambda key: blake2b(f"{salt} {key}".encode(), digest_size=8).digest())
