"""Every error of the package, grouped by who has to act.

    IntercomLakeError
    ├── ConfigurationError          a connection, a parameter or a lake URL is wrong; found before the first request
    ├── ClusterError                the Dask or Ray cluster for merging cannot be used; merging works without one
    ├── ApiError                    Intercom's answer; names connection, table and request id
    │   ├── FatalApiError           asking again gives the same answer
    │   │   ├── PermissionDeniedError   401, 402, 403: token, scope, region or plan
    │   │   ├── RequestRejectedError    400, 404, 405, 422, ...: the request itself
    │   │   └── AnswerTooLargeError     an answer of more bytes than a page of any workspace has
    │   └── RetriableApiError       tries or time ran out; running the flow again may succeed
    │       └── PageTooHeavyError   the same page keeps failing with 502, 504, 408 or a time-out: ask for a smaller one
    ├── RequestsSpentError          as many requests were sent as was told beforehand; the rest was not asked for
    ├── AbandonedError              reading a table was stopped: another part of it failed, or the process ends
    ├── SchemaError                 a record or a file that has no place in its table
    ├── LakeError                   the lake's storage cannot be read or written, or does not fit the lake's records
    │   ├── NoParentError           a table is made of another one, of which the lake has nothing
    │   ├── OvertakenError          another run has changed what this run was about to replace
    │   └── DamagedFileError        a published file is not as it was written; the next run reads the table anew
    ├── PrefectError                Prefect's server refuses what a run needs, or has not answered for minutes
    └── BusyError                   another run holds what this run has waited for

No message holds a token or request headers.
"""

from __future__ import annotations


class IntercomLakeError(Exception):
    """Root of all errors that this package raises on purpose."""


class ConfigurationError(IntercomLakeError):
    """Bad input, found before the first request; the message names the place and the cure."""


class ClusterError(IntercomLakeError):
    """A Dask or Ray cluster that cannot be made or reached."""


class ApiError(IntercomLakeError):
    """A request to Intercom's API has failed, with an answer or without one.

    ``status`` is None if there was no answer. For an error list in an answer of status 200 it is the status that
    belongs to the error's code. ``code`` is Intercom's own error code, if the body had one. ``server_time`` is the
    answer's Date header in unix seconds.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        server_time: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.server_time = server_time

    @property
    def answer(self) -> str:
        """Status and code of the answer: ``403 forbidden``."""
        return f"{self.status} {self.code}" if self.code else f"{self.status}"


class FatalApiError(ApiError):
    """Asking again gives the same answer."""


class PermissionDeniedError(FatalApiError):
    """401, 402 or 403: the token, its scopes, the region or the plan."""


class RequestRejectedError(FatalApiError):
    """400, 404, 405, 406, 409, 415, 422: Intercom understood the request and refused it."""


class AnswerTooLargeError(FatalApiError):
    """An answer has more bytes than the limit, and was not read to its end."""


class RetriableApiError(ApiError):
    """408, 429, 5xx, a broken body or no answer, after all tries; a later run may succeed."""


class PageTooHeavyError(RetriableApiError):
    """A page keeps failing with 502, 504, 408 or a time-out, as too large pages do; ask for fewer rows."""


class AbandonedError(IntercomLakeError):
    """Reading a table was stopped, because another part of its reading has failed or the process was told to end."""

    def __init__(self) -> None:
        super().__init__("The run was stopped before the table was read. Run again; the watermark has not moved.")


class RequestsSpentError(IntercomLakeError):
    """A bounded job has sent all the requests that it may send."""

    def __init__(self, most: int) -> None:
        super().__init__(f"All {most:,} requests that were allowed are spent, and the rest was not asked for.")


class SchemaError(IntercomLakeError):
    """A record or a file that has no place in its table, for example a record without a primary key."""


class LakeError(IntercomLakeError):
    """The lake's storage cannot be read or written, or is not what the lake's own records say."""


class NoParentError(LakeError):
    """A derived table's parent table was never synced into the lake."""


class OvertakenError(LakeError):
    """Another run has changed a record or a file that this run has read and was about to replace."""


class DamagedFileError(LakeError):
    """A published file that is not as it was written; `month` is its partition, ``""`` the table's one file."""

    def __init__(self, message: str, month: str = "") -> None:
        super().__init__(message)
        self.month = month


class PrefectError(IntercomLakeError):
    """Prefect's server refuses what a run needs (`refused`), or has not answered for minutes."""

    def __init__(self, message: str, *, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


class BusyError(IntercomLakeError):
    """Another run holds what this run has waited for; this run has read and written nothing."""
