"""Rules of a connection, and forgotten people, applied to the pages of one table before anything of them is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from msgspec import Raw

from intercom.extract.pages import Page
from intercom.lake.forgotten import ForgottenPeople
from intercom.normalise.coerce import UNREADABLE
from intercom.normalise.erase import Eraser
from intercom.normalise.protect import FORGOTTEN, Protector
from intercom.normalise.records import Record, Rejected, text_of
from intercom.tables.column_rules import ColumnRules
from intercom.tables.table import Table


class Protection:
    """What the rules of one table, and of the table that it is read through, do to pages. Safe for any thread.

    `hash_key` is the connection's, `people` are those who are forgotten in the lake. Raises ConfigurationError if the
    rules hash with another key.
    """

    def __init__(self, table: Table, hash_key: str | None, people: ForgottenPeople | None = None) -> None:
        self.of_rows = Protector(table.schema.rules, hash_key)
        self._of_parents = Protector(table.listed.schema.rules, hash_key)
        self._eraser = Eraser(table, people) if people else None

    @property
    def hides_rejected(self) -> bool:
        """Whether nothing may be kept of the text of a record that cannot be a row."""
        return bool(self.of_rows.rules or self._of_parents.rules)

    def is_forgotten(self, parent: str) -> bool:
        """Whether the parent of a child table with this key is a forgotten contact."""
        return self._eraser is not None and self._eraser.forgets_parent(parent)

    def page(self, page: Page) -> Page:
        """The page without what is protected and without forgotten people; a record that cannot be read is rejected."""
        if not self.of_rows.rules and self._eraser is None:
            return page
        records: list[Record] = page.records[: page.marks]
        rejected: list[Rejected] = []
        for record in page.records[page.marks :]:
            try:
                left = self._left(record)
            except UNREADABLE as error:
                rejected.append(Rejected(bytes(text_of(record)), f"not protected ({type(error).__name__})"))
            else:
                records += [] if left is None else [left]
        page = replace(page, records=records, rejected=(*page.rejected, *rejected))
        return page if self._eraser is None else self._without_people(page, self._eraser)

    def _left(self, record: Record) -> Record | None:
        """What is left of a record; None if it is a forgotten person's own.

        People are looked for in what was sent, and then by names that are known as the rules have hashed them.
        """
        sent = self._eraser.record(record) if self._eraser else record
        if sent is None or not self.of_rows.rules:
            return sent
        protected = self.of_rows.record(sent)
        return self._eraser.record(protected) if self._eraser else protected

    def _without_people(self, page: Page, eraser: Eraser) -> Page:
        """The page without marks of forgotten parents, and without the texts of rejected records that name people."""
        marks = [record for record in page.records[: page.marks] if not eraser.is_own(record)]
        rejected = tuple(
            Rejected(FORGOTTEN.encode(), one.reason) if eraser.names_one(one.text) else one for one in page.rejected
        )
        return replace(page, records=[*marks, *page.records[page.marks :]], marks=len(marks), rejected=rejected)

    def parent_text(self, record: Record) -> Raw | bytes:
        """The text of a parent's record of which a digest is kept: with what is protected, that could be guessed.

        A text that cannot be read is another one each time, so the parent counts as changed.
        """
        if not self._of_parents.rules:
            return text_of(record)
        try:
            return self._of_parents.text(text_of(record))
        except UNREADABLE:
            return os.urandom(16)


def protection_hints(table: Table, before: ColumnRules) -> Iterator[str]:
    """Lines for the end of the run after which other rules hold for a table."""
    rules, name = table.schema.rules, table.name
    if rules == before:
        return
    if more := [rule.name for rule in rules.rules if rule not in before.rules]:
        yield (
            f"{name}: protected from now on: {', '.join(more)}. Their values are still in what was written before: "
            "versions of files that the store keeps, backups, old files of a Delta table (for a week), and staged rows "
            "of runs that died (until the next merge)"
        )
    if not rules.only_adds_to(before):
        less = sorted({rule.name for rule in before.rules if rule not in rules.rules})
        what = f"not protected as before: {', '.join(less)}" if less else "hashed with another key from now on"
        yield (
            f"{name}: {what}. The whole table is read again; rows that Intercom does not serve any more keep what the "
            "old rules have left of them, until a full refresh"
        )
