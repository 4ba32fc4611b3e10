"""``intercom-lake report``: a page of HTML that shows a lake, made from its files alone, without Prefect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from intercom.cli.endings import FAILED, WRONG_SETTINGS


def report(
    *,
    lake: Annotated[str, Parameter(metavar="URL", help="Folder, or fsspec URL such as s3://bucket/prefix.")] = "./lake",
    connection: Annotated[
        str | None,
        Parameter(metavar="NAME", help="Name of the connection; needed if the lake has several.", show_default=False),
    ] = None,
    output: Annotated[str, Parameter(metavar="FILE", help="The file to write.")] = "report.html",
    storage_options: Annotated[
        str | None,
        Parameter(
            metavar="JSON|BLOCK", help="How to reach the lake's store: a JSON object, or the name of a Prefect block."
        ),
    ] = None,
) -> int:
    """Write a web page that shows the lake: tables, growth, conversations, runs, and what was verified.

    It sends no request to Intercom, and writes nothing into the lake. Exit status: 0 success, 1 a table could not be
    read (the page says so, too), 2 a setting is wrong. The page has no script and loads nothing. The command needs the
    extra `report`: pipx install --force --include-deps '.[report]'.
    """
    import sys

    from intercom.errors import ConfigurationError, IntercomLakeError

    try:
        size, unread = _written(lake, connection, Path(output), storage_options)
    except IntercomLakeError as error:
        print(error, file=sys.stderr)
        return WRONG_SETTINGS if isinstance(error, ConfigurationError) else FAILED
    for line in unread:
        print(line, file=sys.stderr)
    print(f"{output}: {size}")
    return FAILED if unread else 0


def _written(url: str, connection: str | None, output: Path, storage_options: Any) -> tuple[str, list[str]]:
    """How large the file is, which is there whole or not at all; and a line for each table that could not be read."""
    from datetime import UTC, datetime

    from intercom.cli.commands.plan import Prefect
    from intercom.errors import ConfigurationError
    from intercom.lake.storage import Lake
    from intercom.report.drawing import check_installed
    from intercom.report.facts import connection_in, read_facts
    from intercom.report.page import as_html
    from intercom.sync.summary import shown_size

    check_installed()
    if output.is_dir() or not output.parent.is_dir():
        raise ConfigurationError(f"--output {output}: no file can be written there. Nothing was read.")
    lake = Lake(url, Prefect().storage_options(storage_options))
    facts = read_facts(lake, connection_in(lake, connection), datetime.now(UTC))
    page = as_html(facts).encode()
    aside = output.with_name(f".{output.name}.part")
    try:
        aside.write_bytes(page)
        aside.replace(output)
    except OSError as error:
        raise ConfigurationError(f"--output {output}: the page could not be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)
    tables = facts.tables.items()
    return shown_size(len(page)), [f"{name}: {one.scan.failure}" for name, one in tables if one.scan.failure]
