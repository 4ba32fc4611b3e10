"""What a store can do beyond keeping files, found by trying it: once for each store in a process."""

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

_found: dict[tuple[str, str], bool] = {}
"""What was found out in this process, by capability and store."""
_finding = Lock()


class Capabilities:
    """What the store of a lake can do; `scratch` gives a local file for the time of a block.

    Raises LakeError when the store cannot be written at all.
    """

    def __init__(
        self, store: Store, errors: StorageErrors, scratch: Callable[[str], AbstractContextManager[Path]]
    ) -> None:
        self._store, self._errors, self._scratch = store, errors, scratch

    def creates_exclusively(self) -> bool:
        """Whether of two creators of one file exactly one succeeds; a store that cannot do that is named in the log."""
        return self._has(
            "exclusive creation",
            self._why_not_exclusive,
            lambda obstacle: log.warning(
                "The lake %s does not create files exclusively: %s. So there is no lock between two runs over "
                "the same table: keep the concurrency limit of 1 on every deployment that writes to it.",
                *(self._store.url, obstacle),
            ),
        )

    def replaces_conditionally(self) -> bool:
        """Whether a file is replaced only while it is the version that was seen; never without exclusive creation."""
        conditional = self._store.conditional
        if conditional is None or not self.creates_exclusively():
            return False
        return self._has(
            "conditional replacement",
            lambda: self._tried(lambda _, path: conditional.why_not(path)),
            lambda obstacle: log.info(
                "The lake %s does not replace files by If-Match: %s", *(self._store.url, obstacle)
            ),
        )

    def _has(self, capability: str, why_not: Callable[[], str | None], tell: Callable[[str], None]) -> bool:
        """Whether `why_not` gives no reason against the capability, tried and logged once in a process."""
        with _finding:
            if (capability, self._store.key) not in _found:
                obstacle = why_not()
                _found[capability, self._store.key] = obstacle is None
                if obstacle is not None:
                    tell(obstacle)
            return _found[capability, self._store.key]

    def _why_not_exclusive(self) -> str | None:
        if self._store.looks_first:
            return "its filesystem looks for the file and then writes it"
        return self._tried(self._creates_twice)

    def _creates_twice(self, written: Path, path: str) -> str | None:
        refusal = self._refusal(written, path) and self._refusal(written, path)  # twice, else a hiccup would count
        if refusal is not None:
            with self._errors.told("write", path):  # a store that takes nothing has another fault
                self._store.put(written, path)
            return f"it refuses to ({refusal})"
        return "a second one replaced the first" if self._store.create(written, path) else None

    def _refusal(self, written: Path, path: str) -> Exception | None:
        try:
            self._store.create(written, path)
        except Exception as error:
            return error
        return None

    def _tried(self, why_not: Callable[[Path, str], str | None]) -> str | None:
        """Try something with a finished local file, and with a path that is free and is gone afterwards."""
        path = f"_locks/probe-{uuid.uuid4().hex}.json"
        try:
            with self._scratch(".json") as written:
                written.write_bytes(b"{}")
                with self._errors.told("create", path):
                    return why_not(written, path)
        finally:
            with suppress(Exception):  # what stays does no harm, and what went wrong before is to be told
                self._store.delete([path])
