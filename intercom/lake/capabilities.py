"""Optional capabilities of a store, found out by a trial write: once for each store in a process."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from threading import Lock

from intercom.lake.storage_errors import StorageErrors
from intercom.lake.store import Store

log = logging.getLogger(__name__)

_found: dict[tuple[str, str], str | None] = {}
"""(capability, store) -> why the store does not have it, None when it has it, as tried in this process."""
_finding = Lock()


class Capabilities:
    """Capabilities of a lake's store; `scratch` gives a local file for the time of a block.

    Raises LakeError when the store cannot be written at all.
    """

    def __init__(
        self, store: Store, errors: StorageErrors, scratch: Callable[[str], AbstractContextManager[Path]]
    ) -> None:
        self._store, self._errors, self._scratch = store, errors, scratch

    def creates_exclusively(self) -> bool:
        """Whether exactly one of two writers that create the same file succeeds; if not, the log says so."""
        return self.why_not_exclusively() is None

    def why_not_exclusively(self) -> str | None:
        """Why the store does not create exclusively; None when it does."""
        return self._obstacle(
            "exclusive creation",
            self._why_not_exclusive,
            lambda obstacle: log.warning(
                "The lake %s does not create files exclusively: %s. So there is no lock between two runs over "
                "the same table: keep the concurrency limit of 1 on every deployment that writes to it.",
                *(self._store.url, obstacle),
            ),
        )

    def replaces_conditionally(self) -> bool:
        """Whether the store can replace a file only if its ETag still matches; False without exclusive creation."""
        return self.why_not_conditionally() is None

    def why_not_conditionally(self) -> str | None:
        """Why files are not replaced by their ETag; None when they are."""
        conditional = self._store.conditional
        if conditional is None:
            return "it has no such request"
        if not self.creates_exclusively():
            return "it does not create files exclusively"
        return self._obstacle(
            "conditional replacement",
            lambda: self._tried(lambda _, path: conditional.why_not(path)),
            lambda obstacle: log.info(
                "The lake %s does not replace files by If-Match: %s", *(self._store.url, obstacle)
            ),
        )

    def _obstacle(self, capability: str, why_not: Callable[[], str | None], tell: Callable[[str], None]) -> str | None:
        """Why the store does not have the capability, by `why_not`. Tried and logged once in a process."""
        with _finding:
            if (capability, self._store.key) not in _found:
                obstacle = why_not()
                _found[capability, self._store.key] = obstacle
                if obstacle is not None:
                    tell(obstacle)
            return _found[capability, self._store.key]

    def _why_not_exclusive(self) -> str | None:
        if self._store.looks_first:
            return "its filesystem looks for the file and then writes it"
        return self._tried(self._creates_twice)

    def _creates_twice(self, written: Path, path: str) -> str | None:
        refusal = self._refusal(written, path) and self._refusal(written, path)  # twice: one error may be transient
        if refusal is not None:
            with self._errors.told("write", path):  # LakeError if the store refuses a plain write too
                self._store.put(written, path)
            return f"it refuses to ({self._errors.text(refusal)})"
        return "a second one replaced the first" if self._store.create(written, path) else None

    def _refusal(self, written: Path, path: str) -> Exception | None:
        try:
            self._store.create(written, path)
        except Exception as error:
            return error
        return None

    def _tried(self, why_not: Callable[[Path, str], str | None]) -> str | None:
        """Call `why_not` with a finished local file and an unused path of the lake, which is deleted afterwards."""
        path = f"_locks/probe-{uuid.uuid4().hex}.json"
        try:
            with self._scratch(".json") as written:
                written.write_bytes(b"{}")
                with self._errors.told("create", path):
                    return why_not(written, path)
        finally:
            with suppress(Exception):  # a leftover probe does no harm; the error before it must be raised
                self._store.delete([path])
