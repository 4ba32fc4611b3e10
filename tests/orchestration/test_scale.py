"""Merges in pieces: on a local Dask cluster, and when one of the pieces fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.prefect_server import Prefect
from tests.support.rig import CONNECTION, Rig, in_four_months

pytestmark = pytest.mark.slow

# A script with a guard, since the processes of a local cluster import it again.
PROGRAM = """
import sys
import threading
import time
from pathlib import Path
import intercom.orchestration.tasks
from intercom.cli.run import run_from_shell

intercom.orchestration.tasks._BYTES_OF_A_TASK = 1  # a piece for every month
publish_partitions = intercom.orchestration.tasks.publish_partitions
turns = threading.Semaphore(1)  # never given back: one piece fails


def fail_first(table, lake_table, work):
    if not turns.acquire(blocking=False):
        time.sleep(1.0)
        lake_table.still_ours()
        with Path(sys.argv[1]).open("a") as told:
            print("still ours", file=told)
        return publish_partitions(table, lake_table, work)
    raise OSError("no space left")


if __name__ == "__main__":
    if sys.argv[1]:
        intercom.orchestration.tasks.publish_partitions = fail_first
    raise SystemExit(run_from_shell("flows/sync.py", sys.argv[2:]))
"""


@pytest.fixture
def arguments(rig: Rig, tmp_path: Path) -> list[str]:
    (tmp_path / "program.py").write_text(PROGRAM)
    file = rig.connections_file(tmp_path)
    return [
        "--connection", CONNECTION, "--connections-file", str(file), "--lake", rig.lake_url, "--tables", "contacts",
    ]  # fmt: skip


def test_a_local_dask_cluster_merges_to_an_exact_lake(
    prefect: Prefect, rig: Rig, tmp_path: Path, arguments: list[str]
) -> None:
    result = prefect.run(
        str(tmp_path / "program.py"), "", *arguments, INTERCOM_ACCESS_TOKEN=rig.server.token,
        INTERCOM_TASK_RUNNER="dask", INTERCOM_TASK_RUNNER_WORKERS="1",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    rig.check(["contacts"])
    assert len(prefect.tasks_named("merge ", prefect.newest_run()["id"])) > 1


def test_a_cluster_that_is_not_there_is_named_and_the_run_merges_by_itself(
    prefect: Prefect, rig: Rig, tmp_path: Path, arguments: list[str]
) -> None:
    result = prefect.run(
        str(tmp_path / "program.py"), "", *arguments, INTERCOM_ACCESS_TOKEN=rig.server.token,
        INTERCOM_TASK_RUNNER="dask", INTERCOM_TASK_RUNNER_ADDRESS="tcp://127.0.0.1:9",
        DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    (warning,) = [line for line in result.stderr.splitlines() if "merged in this process" in line]
    assert "contacts: The dask cluster at tcp://127.0.0.1:9 cannot be used" in warning
    rig.check(["contacts"])


@in_four_months  # one fails, and of several others each is waited for
def test_a_piece_that_fails_is_told_when_all_others_have_ended(
    prefect: Prefect, rig: Rig, tmp_path: Path, arguments: list[str]
) -> None:
    told = tmp_path / "told"
    result = prefect.run(str(tmp_path / "program.py"), str(told), *arguments, INTERCOM_ACCESS_TOKEN=rig.server.token)
    assert result.returncode == 1
    assert "no space left" in result.stderr
    lines = told.read_text().splitlines()
    assert len(lines) > 1
    assert set(lines) == {"still ours"}
    assert prefect.run("flows/sync.py", *arguments, INTERCOM_ACCESS_TOKEN=rig.server.token).returncode == 0
    rig.check(["contacts"])
