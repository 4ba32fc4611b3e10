"""``intercom-lake forget``: erases a contact from a lake. It is no flow, whose parameters Prefect keeps as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from intercom.cli.options import parsed_by, storage_options_of

if TYPE_CHECKING:
    from intercom.erasure.forget import ForgottenIn

_BEFOREHAND = """\
This cannot be undone. Runs over this connection must be stopped: all its tables are locked. Rows that wait are merged.
Of Delta tables only the newest version stays: readers of older versions fail.
What it does not reach: backups, versions of objects that the store keeps, copies that readers have made, and free text
in which others wrote of the contact. In Intercom the contact stays: delete it there."""


def forget(
    *,
    contact: Annotated[str, Parameter(metavar="ID", help="Intercom's id of the contact.")],
    connection: Annotated[str, Parameter(metavar="NAME", help="Name of the connection.")] = "default",
    lake: Annotated[str, Parameter(metavar="URL", help="Folder or fsspec URL of the lake.")] = "./lake",
    storage_options: Annotated[
        Any, parsed_by(storage_options_of, "JSON", "How to reach the lake's store: fsspec's options.")
    ] = None,
    table_format: Annotated[Literal["parquet", "delta"], Parameter(help="Format of the lake's tables.")] = "parquet",
    yes: Annotated[
        bool,
        Parameter(negative=(), show_default=False, help="Do it. Without this, only show what would be done."),
    ] = False,
    json: Annotated[
        bool, Parameter(help="Print one JSON object instead of lines.", negative=(), show_default=False)
    ] = False,
) -> int:
    """Erase a contact from all tables of a connection, and keep a digest of its id so that it never comes back.

    The rows of the contact, of its notes, tags and so on are removed. In conversations, calls and tickets its name and
    addresses, and what it wrote, are masked. No request is sent to Intercom.
    """
    import sys

    from intercom.errors import ConfigurationError, IntercomLakeError

    try:
        done = _forgotten(contact, connection, lake, storage_options, table_format, write=yes)
    except IntercomLakeError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    if json:
        import json as encoder
        from dataclasses import asdict

        print(encoder.dumps({"done": yes, "connection": connection, "tables": [asdict(one) for one in done]}, indent=1))
        return 0
    print(_shown(done, yes))
    if not yes:
        print(f"\nNothing was written. To erase the contact, run this again with --yes.\n{_BEFOREHAND}")
    return 0


def _forgotten(
    contact: str, connection: str, lake_url: str, storage_options: Any, table_format: str, *, write: bool
) -> list[ForgottenIn]:
    from uuid import uuid4

    from intercom.config.storage_options import checked_options
    from intercom.erasure.forget import Erasure
    from intercom.errors import ConfigurationError
    from intercom.lake.contents import no_table_of
    from intercom.lake.layout import TableFormat, TablePaths
    from intercom.lake.locks.table_lock import TableLocks
    from intercom.lake.storage import Lake
    from intercom.lake.table import LakeTable, recorded_tables

    if not contact.strip():
        raise ConfigurationError("--contact: give the id of a contact, for example 5ba682d23d7cf92bef87bfd4.")
    lake = Lake(lake_url, checked_options(storage_options or {}))
    names = recorded_tables(lake, connection) if lake.known_identity() is not None else []
    if not names:
        raise no_table_of(lake, connection)
    locks = TableLocks(lake, connection, names, f"forget-{uuid4()}")

    def tables() -> dict[str, LakeTable]:
        return {
            name: LakeTable(lake, TablePaths(connection, name), locks.check, TableFormat(table_format))
            for name in names
        }

    if not write:
        return Erasure(lake, connection, tables(), contact.strip(), write=False).preview()
    with locks:
        return Erasure(lake, connection, tables(), contact.strip()).run()


def _shown(done: Sequence[ForgottenIn], yes: bool) -> str:
    """A line for each table in which something was found."""
    met = [one for one in done if one.removed or one.masked or one.rejected or one.left]
    headings = ("removed", "masked") if yes else ("to remove", "to mask")
    lines = [
        f"{one.table:<24}{one.removed:>10,} {one.masked:>10,}"
        + (f"   rejected records dropped: {one.rejected}" if one.rejected else "")
        + (f"   rows whose free text still has a name of the contact: {one.left}" if one.left else "")
        for one in met
    ]
    if not met:
        return "No row of this contact is in the lake. Check --contact, --connection and --lake if some should be."
    return "\n".join([f"{'rows of table':<24}{headings[0]:>10} {headings[1]:>10}", *lines])
