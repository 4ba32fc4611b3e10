"""What a run is foretold to read, and the run that follows held against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from intercom.extract.read_forecast import Range
from intercom.lake.conditional_put import ConditionalPut
from intercom.lake.local_store import LocalStore
from intercom.lake.object_store import ObjectStore
from intercom.sync.forecast import RunForecast, forecast_run
from intercom.sync.ingested import Ingested
from intercom.sync.run import Run
from intercom.sync.table_forecast import TableForecast
from intercom.tables.catalogue import TABLES
from tests.support.rig import BY_DEFAULT, Rig

MOST_REQUESTS = 3


def foretell(rig: Rig, tables: Iterable[str] = BY_DEFAULT, **options: Any) -> RunForecast:
    """The forecast of a run with these options; it takes few requests and changes nothing in the lake."""
    wanted = [TABLES[name] for name in tables]
    if rig.per_page is not None:
        wanted = [replace(table, per_page=rig.per_page) for table in wanted]
    before, sent = everything_in(rig), len(rig.server.requests())
    client, lake = rig.client(), rig.lake()

    def begin(run_start: int, workspace: str | None, doubt: int) -> Run:
        return Run(
            "plan", rig.connection, datetime.now(UTC), run_start,
            workspace=workspace, doubt=doubt, limits=rig.limits, **options,
        )  # fmt: skip

    try:
        with read_only():
            found = forecast_run(wanted, client, lake, rig.table_format, lake.known_identity(), rig.store, begin)
    finally:
        client.close()
    assert everything_in(rig) == before
    most = MOST_REQUESTS * (2 if "lookback" in options else 1)  # what the usual one would read is asked for, too
    assert all(table.requests_of_the_plan <= most for table in found.tables), found.tables
    assert len(rig.server.requests()) - sent == found.requests_of_the_plan <= most * len(wanted) + 1
    return found


@contextmanager
def read_only() -> Iterator[None]:
    """Within the block, no store can be written, not even to try what it can do."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a plan writes")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("intercom.lake.capabilities._found", {})
        for store in (LocalStore, ObjectStore):
            for step in ("put", "create", "delete"):
                patch.setattr(store, step, refuse)
        for step in ("replace", "replace_by_file", "why_not"):
            patch.setattr(ConditionalPut, step, refuse)
        yield


def everything_in(rig: Rig) -> dict[str, str]:
    """All files and folders of the lake, with their stamps."""
    files = rig.lake().stamps("")
    folders = [] if rig.storage else [str(path) for path in rig.lake_folder.rglob("*") if path.is_dir()]
    return {**files, **dict.fromkeys(folders, "folder"), "itself": str(bool(rig.storage) or rig.lake_folder.exists())}


def held_against_the_run(rig: Rig, tables: Iterable[str] = BY_DEFAULT, **options: Any) -> dict[str, TableForecast]:
    """The forecast of each table; the run that follows begins where it says, and its numbers lie in its bounds."""
    names = tuple(tables)
    permitted = {"allow_mass_removal": options.pop("allow_mass_removal", False)}
    found = {table.table: table for table in foretell(rig, names, **options).tables}
    for name, (read, _) in rig.sync(names, **options, **permitted).items():
        one = found[name]
        assert one.failure is None, one
        if one.derived:
            assert (one.requests, read.traffic.requests, one.reason) == (Range(0, 0), 0, read.reason), name
            continue
        from_there = read.watermark_before if read.reason == "incremental" else None
        assert (one.watermark, one.reason) == (from_there, read.reason), name
        assert_holds(one.rows, read.rows, f"rows of {name}")
        assert_holds(one.requests, read.traffic.requests, f"requests of {name}")
        assert_received(one, read)
    return found


def assert_holds(number: Range, real: int, what: str) -> None:
    """Numbers are met within 5 %, bounds are kept."""
    least, most = (0.95 * real, 1.05 * real) if number.exact else (real, real)
    assert number.least <= most, f"{what}: {number}, and {real} in the run"
    assert number.most is None or least <= number.most, f"{what}: {number}, and {real} in the run"


def assert_received(one: TableForecast, read: Ingested) -> None:
    """Records of a page differ in size, so what is received is met roughly, and only where it is much."""
    if read.traffic.received > 200_000 and one.received.most is not None:
        assert 0.7 * one.received.least < read.traffic.received < 1.5 * one.received.most, one


def are_known(found: dict[str, TableForecast], names: Iterable[str]) -> bool:
    """Whether rows and requests of all these tables are numbers, and no bounds."""
    return all(found[name].rows.exact and found[name].requests.exact for name in names)
