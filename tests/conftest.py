"""Shared by all tests: sandbox workspaces behind a real HTTP server, and lakes in fresh folders."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from intercom.extract.limits import DEFAULT_LIMITS, ReadLimits
from intercom.lake.layout import TableFormat
from intercom.sandbox import SandboxServer
from tests.support.effort import effort
from tests.support.loaded import FirstLoads
from tests.support.nursery import Nursery
from tests.support.prefect_server import WITHOUT_BLOCKS, Prefect, new_database, shared_warm_python
from tests.support.rig import Rig
from tests.support.seeded import seeded_workspace
from tests.support.service_models import share_service_models
from tests.support.side_by_side import ELSEWHERE, RUNS, InGroups, check_groups, group_of

# A deadline measures the machine, and tests run side by side; how many examples there are is what counts.
settings.register_profile("intercom", deadline=None, max_examples=effort(25, 1000))
settings.load_profile("intercom")

NOW = 1_793_707_200  # 2026-11-03 12:00:00 UTC; in Los Angeles a day of 25 hours has just passed


FIRST = (
    ELSEWHERE,
    RUNS,
    *(f"tests/{file}.py" for file in ("orchestration/test_production", "orchestration/server/test_provision")),
    *(f"tests/{file}.py" for file in ("sync/test_sync", "sync/test_forecast", "sync/test_schema_change")),
    *(f"tests/{file}.py" for file in ("tables/test_contract", "sync/test_recovery", "verify/test_against_api")),
)
"""The groups that take longest, the longest first: what is begun last should not take long."""


def pytest_configure(config: pytest.Config) -> None:
    """Start what all processes that run tests share, where all tests are run, side by side."""
    gives_away = not hasattr(config, "workerinput") and config.getoption("numprocesses", None)
    if gives_away and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        shared = ExitStack()
        shared.enter_context(shared_warm_python())
        config.add_cleanup(shared.close)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    check_groups(items)
    items.sort(key=lambda item: FIRST.index(group) if (group := group_of(item.path)) in FIRST else len(FIRST))


def pytest_collection_finish() -> None:
    """Look for unreachable objects seldom, and never among the modules and thousands of tests that stay to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> InGroups:
    return InGroups(config, log)


@pytest.fixture
def table_format() -> TableFormat:
    """Of the lakes that rigs have; `in_both_formats` gives a test one after the other."""
    return TableFormat.PARQUET


@pytest.fixture
def per_page() -> int | None:
    """Rows of a page of the tables that rigs read, None for what the tables declare; `small_pages` gives a few."""
    return None


@pytest.fixture
def limits() -> ReadLimits:
    """By which rigs cut their reads; `in_slices` gives a test smaller ones."""
    return DEFAULT_LIMITS


@pytest.fixture
def sizes() -> dict[str, Any]:
    """Of the workspaces of rigs. Each month is a file, and files take the time; `in_four_months` gives more."""
    return {"contacts": 160, "history_days": 32}


@pytest.fixture(scope="session")
def first_loads(tmp_path_factory: pytest.TempPathFactory) -> FirstLoads:
    """Lakes after a first run, for `Rig.load`."""
    return FirstLoads(tmp_path_factory.mktemp("first-loads"))


@pytest.fixture
def make_rig(
    tmp_path: Path,
    table_format: TableFormat,
    per_page: int | None,
    limits: ReadLimits,
    sizes: dict[str, Any],
    first_loads: FirstLoads,
) -> Iterator[Callable[..., Rig]]:
    """Makes rigs with their own workspace; `seeded` options are the workspace's, `server` ones the server's."""
    with ExitStack() as stack:

        def make(*, server: dict[str, Any] | None = None, lake: str | None = None, **seeded: Any) -> Rig:
            workspace = seeded_workspace(**{"now": NOW, **sizes, **seeded})
            running = stack.enter_context(SandboxServer(workspace, **(server or {})))
            url = lake or str(tmp_path / "lake")
            return Rig(
                running, url, table_format=table_format, per_page=per_page, limits=limits, first_loads=first_loads
            )

        yield make


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """A small workspace in Los Angeles and an empty lake."""
    return make_rig()


BUCKET = "acme-lake"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # half of what there is to import here, for few files

    share_service_models()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_storage(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Options of s3fs for an empty bucket."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket=BUCKET)
    yield {"endpoint_url": s3_endpoint, "use_listings_cache": False, "skip_instance_cache": True}
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture(scope="session")
def prefect_database() -> Path:
    """Of a new Prefect server, one for all processes and sessions; to be copied."""
    return new_database()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Forks runs that can be killed."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def moments() -> random.Random:
    """Random times; the seed is shown when a test fails, and taken from the environment to repeat it."""
    seed = int(os.environ.get("RANDOM_KILLS", "0")) or random.SystemRandom().randrange(1, 10**9)
    print(f"RANDOM_KILLS={seed}")
    return random.Random(seed)


IDLE = {
    f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false"
    for service in ("SCHEDULER", "LATE_RUNS", "PAUSE_EXPIRATIONS", "CANCELLATION_CLEANUP", "FOREMAN")
}
"""Without loops of Prefect's server that no test of a shared one is about; they take one of its 3 % of a core."""


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[Prefect]:
    """One for all tests of this process that need none of their own; who stops it starts it again.

    A start takes ten seconds of CPU. So tests use connections, limits and blocks of names of their own.
    """
    soon = {  # a killed run's slot is free soon after its lease, and that may be short
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "2",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "tests.support.short_leases",
    }
    yield from started(Prefect(tmp_path_factory.mktemp("prefect"), prefect_database, **soon, **IDLE, **WITHOUT_BLOCKS))


@pytest.fixture(scope="module")
def own_prefect(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[Prefect]:
    """For a file whose tests begin with an empty database."""
    yield from started(Prefect(tmp_path_factory.mktemp("prefect"), prefect_database, **IDLE))


def started(server: Prefect) -> Iterator[Prefect]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
