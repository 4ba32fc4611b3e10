"""Passes log lines of this package to the log of the run that they belong to."""

from __future__ import annotations

import logging
from uuid import UUID

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

from intercom.errors import IntercomLakeError
from intercom.sync.board import BOARD

_PACKAGE = "intercom"


class RunLogHandler(APILogHandler):
    """Sends lines to Prefect that belong to a run and that no other handler of Prefect's sends.

    Threads that read pages have no run's context. Their lines go to the run that reads in this process, if it is the
    only one.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to send the line; one without a run would be an error of Prefect's handler."""
        if _sent_by_another(record.name):
            return False
        if FlowRunContext.get() is None and TaskRunContext.get() is None:
            reading = {tracked.run_id for tracked in BOARD.tracked()}
            run_id = _uuid(reading.pop()) if len(reading) == 1 else None
            if run_id is None:
                return False
            record.flow_run_id = run_id
        return bool(super().filter(record))


def _told_in_a_sentence(record: logging.LogRecord) -> bool:
    """Take the traceback off a line about an error that we raise on purpose: its message says what to do."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, IntercomLakeError):
        record.msg, record.args, record.exc_info, record.exc_text = str(error), None, None, None
    return True


def log_to_runs() -> None:
    """Send the package's lines from INFO on to their runs from now on, without a setting of Prefect's.

    And let Prefect's own lines about our errors have no traceback.
    """
    for name in ("prefect", "prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            if _told_in_a_sentence not in handler.filters:
                handler.addFilter(_told_in_a_sentence)
    logger = logging.getLogger(_PACKAGE)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not any(isinstance(handler, RunLogHandler) for handler in logger.handlers):
        logger.addHandler(RunLogHandler())


def _sent_by_another(name: str) -> bool:
    """Whether a handler of Prefect's sends the logger's lines already, as PREFECT_LOGGING_EXTRA_LOGGERS may ask for."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(isinstance(one, APILogHandler) and not isinstance(one, RunLogHandler) for one in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
