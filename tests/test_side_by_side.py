"""How tests are shared out among processes that run them side by side."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer

from tests.conftest import FIRST
from tests.support.side_by_side import ELSEWHERE, RUNS, InGroups, check_groups, group_of

TESTS = Path(__file__).parent
COLLECTED = [
    "tests/orchestration/test_flow.py::test_one",
    "tests/orchestration/test_flow.py::test_two",
    "tests/orchestration/test_selection.py::test_of_the_same_server",
    "tests/orchestration/server/test_provision.py::test_of_its_own_server",
    "tests/orchestration/test_production.py::test_of_the_servers_that_it_makes",
    "tests/ui/test_run_form.py::test_of_the_other_shared_server",
    "tests/deployments/test_wheel.py::test_of_the_other_shared_server",
    *[f"tests/tables/test_rows.py::test_{number}" for number in range(5)],
    "tests/tables/test_catalogue.py::test_last",
]


class Worker:
    """A process that gets tests to run."""

    gateway = SimpleNamespace(id="one")
    shutting_down = False

    def __init__(self) -> None:
        self.given: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_a_file_and_all_files_of_the_shared_server_go_to_one_process() -> None:
    config: Any = SimpleNamespace(option=SimpleNamespace(), getvalue={"tx": ["2*popen"]}.get)
    scheduler = InGroups(config, Producer("test"))
    workers: Any = [Worker(), Worker()]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, COLLECTED)
    scheduler.schedule()
    for index in (3, 4, 5, 6, 7, 8, 9, 10):
        scheduler.mark_test_complete(workers[1], index)
    assert workers[0].given == [0, 1, 2]
    assert workers[1].given == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]


def test_files_are_of_the_group_of_a_shared_server_only_if_their_tests_use_it() -> None:
    for of_runs in ("orchestration/test_flow.py", "orchestration/observe/test_watching.py"):
        assert group_of(TESTS / of_runs) == RUNS
    for elsewhere in ("orchestration/server/test_limits.py", "deployments/test_wheel.py"):
        assert group_of(TESTS / elsewhere) == ELSEWHERE
    for own in ("orchestration/test_production.py", "orchestration/server/test_provision.py", "test_side_by_side.py"):
        assert group_of(TESTS / own) == f"tests/{own}"


def test_the_groups_that_are_begun_first_are_there() -> None:
    assert {group_of(path) for path in TESTS.rglob("test_*.py")} >= set(FIRST)


def test_a_file_that_hides_that_it_uses_the_shared_server_is_refused() -> None:
    """Its tests would start a second one in another process."""
    item: Any = SimpleNamespace(path=TESTS / "test_map.py", nodeid="tests/test_map.py::test", fixturenames=["prefect"])
    with pytest.raises(pytest.UsageError, match="write a parameter `prefect: Prefect`"):
        check_groups([item])
