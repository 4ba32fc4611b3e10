"""Creates an object of a store only where there is none, and finds out whether the store can do that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_EXISTS = 412
_SOMEBODY_ELSE_IS_AT_IT = 409
_TRIES = 5


def create(fs: Any, path: str, data: bytes) -> bool:
    """Write an object of an fsspec filesystem, full path, unless it exists; False when it does.

    Raises what the filesystem raises when the store refuses.
    """
    for _ in range(_TRIES):
        try:
            fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            status = status_of(error)
            if status == _EXISTS:  # s3fs takes it for that only where the answer is worded as AWS does
                return False
            if status != _SOMEBODY_ELSE_IS_AT_IT:
                raise
        else:
            return True
    return False


def looks_before_it_writes(fs: Any) -> bool:
    """Whether a filesystem leaves exclusive creation to fsspec's base class, which looks first and writes then."""
    return bool(fs.pipe_file.__qualname__ == "AbstractFileSystem.pipe_file")


def why_not_exclusive(create: Callable[[], bool], write: Callable[[], None]) -> str | None:
    """Why a store does not create exclusively, found by trying it on one path; None when it does.

    `write` writes the same path in any case: what it raises is raised, since a store that takes nothing has another
    fault.
    """
    refusal = _refusal(create) and _refusal(create)  # twice, else a hiccup would switch the lock off
    if refusal is not None:
        write()
        return f"it refuses to ({refusal})"
    return "a second one replaced the first" if create() else None


def _refusal(create: Callable[[], bool]) -> Exception | None:
    try:
        create()
    except Exception as error:
        return error
    return None


def status_of(error: OSError) -> int | None:
    """The HTTP status of the answer that an S3 filesystem has turned into this error; None when there was none."""
    status: int | None = _answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def code_of(error: OSError) -> str | None:
    """The code in that answer, such as ``NoSuchKey``."""
    code: str | None = _answer(error).get("Error", {}).get("Code")
    return code


def _answer(error: OSError) -> Mapping[str, Any]:
    return getattr(error.__cause__, "response", None) or {}
