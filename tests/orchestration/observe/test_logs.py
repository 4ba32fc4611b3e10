"""Which log lines go to the log of a run in Prefect, and to which."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import pytest
from prefect.context import FlowRunContext
from prefect.logging.handlers import APILogHandler

from intercom.api.rate_limit.limiter import RateUsage
from intercom.orchestration.observe.logs import RunLogHandler, log_to_runs
from intercom.sync.board import BOARD, Tracked
from intercom.sync.progress import TableProgress


def line(logger: str = "intercom.sync.ingest") -> logging.LogRecord:
    return logging.getLogger(logger).makeRecord(logger, logging.INFO, "file", 1, "tags: reading", (), None)


@contextmanager
def reading(run_id: str) -> Iterator[None]:
    """A run of this process that reads a table."""
    BOARD.add(Tracked(run_id, "acme", TableProgress("tags"), lambda: RateUsage(0, 166, 0)))
    try:
        yield
    finally:
        BOARD.close(run_id)


def test_a_line_of_a_run_is_sent_as_it_is() -> None:
    record = line()
    with FlowRunContext.model_construct():
        assert RunLogHandler().filter(record)
    assert not hasattr(record, "flow_run_id")  # Prefect's handler finds flow run and task run by itself


def test_a_line_of_no_run_stays_here() -> None:
    assert not RunLogHandler().filter(line())
    with reading("no run of Prefect's"):
        assert not RunLogHandler().filter(line())


def test_a_line_of_a_thread_that_reads_goes_to_the_one_run_that_reads() -> None:
    run_id, record = str(uuid4()), line()
    with reading(run_id):
        assert RunLogHandler().filter(record)
        assert record.__dict__["flow_run_id"] == UUID(run_id)
        with reading(str(uuid4())):
            assert not RunLogHandler().filter(line())  # whose it is cannot be told


@pytest.mark.parametrize("name", ["intercom", "intercom.sync.ingest", ""])
def test_a_line_that_prefect_sends_anyway_is_not_sent_twice(name: str) -> None:
    """As PREFECT_LOGGING_EXTRA_LOGGERS may ask for, for the package, a part of it, or everything."""
    logger, other = logging.getLogger(name), APILogHandler()
    with FlowRunContext.model_construct():
        assert RunLogHandler().filter(line())
        logger.addHandler(other)
        try:
            assert not RunLogHandler().filter(line())
        finally:
            logger.removeHandler(other)


def test_the_package_has_one_such_handler_however_often_it_is_asked_for() -> None:
    log_to_runs()
    log_to_runs()
    logger = logging.getLogger("intercom")
    assert [type(one) for one in logger.handlers].count(RunLogHandler) == 1
    assert logger.isEnabledFor(logging.INFO)
