"""Turns errors of a storage into LakeErrors: they name the action, the path and the cure, and have no secrets."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from intercom.config.redaction import without_passwords
from intercom.config.secret_masking import SecretMask
from intercom.config.storage_options import secret_values
from intercom.errors import LakeError, OvertakenError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class StorageErrors:
    """Errors of one lake; `options` are those of its storage, whose secrets no error may show."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url = url
        named = {name: os.environ.get(name, "") for name in _SECRET_VARIABLES}
        self._mask = SecretMask(secret_values({**options, "environment": named}), label="[secret]")

    @contextmanager
    def told(self, verb: str, path: str) -> Iterator[None]:
        """Turn any error of the storage into a LakeError that says: cannot `verb` `path`."""
        try:
            yield
        except LakeError:
            raise
        except Exception as error:
            raise self.refused(verb, path, error) from self.cause(error)

    def refused(self, verb: str, path: str, error: Exception) -> LakeError:
        """The LakeError for an error of the storage; to be raised from `cause(error)`."""
        return LakeError(
            f"Cannot {verb} {path} in the lake {self._url}: {type(error).__name__}: {self.text(error).rstrip('.')}. "
            f"{_cure(error)}; then run again."
        )

    def text(self, error: BaseException) -> str:
        """An error's text, without the secrets in storage options and without passwords and signatures in URLs."""
        return self._mask.clean(without_passwords(str(error)))

    def cause(self, error: BaseException) -> BaseException | None:
        """The error to be shown as the cause; None if its text, or the text of one of its causes, has a secret."""
        cause: BaseException | None = error
        while cause is not None:
            if without_passwords(str(cause)) != str(cause) or self._mask.finds(str(cause)):
                return None
            cause = cause.__cause__ or cause.__context__
        return error


def overtaken(url: str, path: str) -> OvertakenError:
    """The OvertakenError for a file that another run has changed since this run read it."""
    return OvertakenError(
        f"This run was overtaken by another run, which has changed {path} in the lake {url} since this one "
        "read it. Nothing more is written by this run, and its watermark has not moved; run again."
    )


def replaced(url: str) -> OvertakenError:
    """The OvertakenError for a process whose unfinished files are gone, because another run has taken its tables."""
    return OvertakenError(
        f"The unfinished files of this run in {url}/_tmp have gone: it was suspended, and overtaken by another run. "
        "Nothing more is written by this run, and its watermark has not moved; run again."
    )


def _cure(error: Exception) -> str:
    """What the user can do about an error; pyarrow's errors have their errno only in the text."""
    number = getattr(error, "errno", None)
    if number in _FULL or any(f"[errno {full}]" in str(error).lower() for full in _FULL):
        return "Make room there"
    if isinstance(error, PermissionError):
        return "Check the credentials, and what they, or this user, have permission to do there"
    if isinstance(error, FileNotFoundError):
        return "Check that its bucket or folder exists"
    return "Check that the store can be reached, and that what is there can be used"
