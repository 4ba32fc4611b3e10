"""Asks for single rows by their own address: whether they are there though a read lacks them.

Source of the API facts: Intercom REST API reference 2.14, "Retrieve a contact" and its neighbours (404: not there).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from intercom.errors import ApiError, FatalApiError
from intercom.extract.one_record import ask_record
from intercom.extract.pages import Page
from intercom.sync.read_table import TableReader
from intercom.sync.vanished import Answer
from intercom.tables.table import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the addresses of rows have said. `pages` has the records that are there. `why`: addresses say nothing."""

    said: Mapping[str, Answer] = field(default_factory=dict)
    pages: Sequence[Page] = ()
    why: str | None = None
    refusal: ApiError | None = None
    """The first answer that says neither; rows with such an answer are unknown."""


def ask_each(read: TableReader, table: Table, keys: Sequence[str], control: str | None) -> Answers:
    """Request each row of `table` by its own address; `read` is the read of that table, or of a child table.

    The row `control`, which was read just now, is requested first: if even that is not found, a 404 proves nothing.
    A request that fails for good makes its row unknown; one that may be repeated, after all tries, all of them.
    """
    if not table.record_path:
        return Answers(why="records have no address of their own, so that none can be asked for")
    try:
        if control is None or not isinstance(_record_of(read, table, control), Page):
            return Answers(why="records have no address of their own here, not even those that were read")
        found = read.in_parallel([partial(_record_of, read, table, key) for key in keys])
    except ApiError as error:
        return Answers(why=f"they cannot be asked for by their own address ({error})", refusal=error)
    said = {key: _meaning(answer) for key, answer in zip(keys, found, strict=True)}
    there = [answer for answer in found if isinstance(answer, Page)]
    refusal = next((answer for answer in found if isinstance(answer, ApiError)), None)
    log.info("%s: %d rows that the read lacked were asked for, %d are there", table.name, len(keys), len(there))
    return Answers(said, there, refusal=refusal)


def _record_of(read: TableReader, table: Table, key: str) -> Page | FatalApiError | None:
    """As `ask_record`. A record that cannot be a row is told as rejected, unless the read has met it before.

    Its earlier version in the lake is not kept: the read has met the record, or could have.
    """
    answer = ask_record(read.api, table, key)
    (name,) = table.primary_key  # of a table with a record path
    if isinstance(answer, Page) and answer.rejected and read.rejected.holds(name, key):
        return replace(answer, rejected=())
    return answer


def _meaning(answer: Page | ApiError | None) -> Answer:
    if answer is None:
        return Answer.GONE
    return Answer.THERE if isinstance(answer, Page) else Answer.UNKNOWN
