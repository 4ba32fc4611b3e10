"""Records that cannot become rows. Each is kept as sent and counted; too many of them fail the table's read.

    _rejected/<connection>/<table>/<run-id>.jsonl       one JSON object a line

A line has the ``reason``, the ``request_id``, the ``time`` at which the record was received (ISO 8601, UTC), the
``digest`` of its text (SHA-256, hex) and the text: ``record``, or ``record_base64`` if it is not valid UTF-8. A record
that is in an earlier file is not written again. Where rules protect columns of the table, a line has the ``length`` of
the text in bytes, and no text. Files are deleted after `KEPT`. The content of a record appears nowhere else, such as in
logs.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import TracebackType
from typing import Final, Self

from intercom.errors import LakeError, SchemaError
from intercom.lake.layout import TablePaths
from intercom.lake.rejected_lines import digest_of, entry_of, line_of, text_in, without_text
from intercom.lake.storage import Lake
from intercom.normalise.coerce import coerce
from intercom.normalise.json_salvage import members
from intercom.normalise.records import Rejected
from intercom.tables.schema import ColumnKind

log = logging.getLogger(__name__)

MOST: Final = 100
"""Most rejected records of a run and table. More of them mean that the answers as a whole have changed."""
FIRST: Final = 10
"""The read also fails after this many rejected records if no record could be a row so far."""
KEPT: Final = timedelta(days=90)
_REQUESTS_SHOWN: Final = 3

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Found:
    """A rejected record, and the first request, with its time, whose answer had it."""

    rejected: Rejected
    request_id: str | None
    time: datetime


class RejectedRecords:
    """The rejected records of one run of one table. Any thread may add to them. Leaving the block always saves them.

    A record that is read again, with its page, counts once; the same text twice in one page counts twice.
    """

    def __init__(self, lake: Lake, paths: TablePaths, run_id: str, now: Clock = _now) -> None:
        self._lake, self._paths, self._now = lake, paths, now
        self._file = paths.rejected_of(run_id)
        self._lock = threading.Lock()
        self._good = 0
        self._found: dict[str, _Found] = {}
        self._times: Counter[str] = Counter()
        self._earlier: frozenset[str] | None = None
        self._saved = 0
        self._written = self._hides_texts = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.save()
        except LakeError as second:
            if error is None:
                raise
            log.warning("%s: rejected records could not be kept: %s", self._paths.table, second)

    def hide_texts(self) -> None:
        """Keep lengths and digests, and no text, of the records: rules protect what may be in it."""
        self._hides_texts = True

    def recall(self) -> None:
        """Load what earlier attempts at this run have saved, because their pages are not read again."""
        with self._lock:
            for line in self._lines(self._file):
                entry = entry_of(line)
                digest = str(entry.get("digest", ""))
                if digest:
                    one = Rejected(text_in(entry), str(entry["reason"]))
                    self._found.setdefault(digest, _Found(one, entry.get("request_id"), self._now()))
                    self._times |= Counter({digest: 1})

    def take(self, good: int, rejected: Sequence[Rejected], request_id: str | None) -> None:
        """Count the records of a page: usable ones (fewer if some of them failed later) and rejected ones.

        Raises SchemaError when there are too many rejected records.
        """
        with self._lock:
            self._good += good
            if not rejected:
                return
            here: Counter[str] = Counter()
            for one in rejected:
                digest = sha256(one.text).hexdigest()
                here[digest] += 1
                self._found.setdefault(digest, _Found(one, request_id, self._now()))
            self._times |= here  # the larger count of each digest
            total = self._times.total()
            if total > MOST:
                raise self._too_many(f"which is more than {MOST}")
            if total >= FIRST and not self._good:
                raise self._too_many("which is every one that came")

    def holds(self, name: str, key: str) -> bool:
        """Whether a rejected record has this key in its member `name`, as far as its text can be parsed."""
        with self._lock:
            texts = [found.rejected.text for found in self._found.values()]
        sent = ((members(text) or {}).get(name, b"null") for text in texts)
        return any(coerce(ColumnKind.STRING, value) == key for value in sent)

    def save(self) -> None:
        """Save the records that no file has yet; LakeError when the lake cannot be written."""
        with self._lock:
            if self._saved == len(self._found):
                return
            if self._earlier is None:
                self._earlier = frozenset(self._digests_of_earlier_files())
            lines = {digest_of(line): line for line in self._lines(self._file)}  # of an earlier try of this run
            self._written = self._written or bool(lines)
            fresh = [digest for digest in self._found if digest not in self._earlier and digest not in lines]
            if fresh:
                hides = self._hides_texts
                lines |= {digest: _line(digest, self._found[digest], hides_text=hides) for digest in fresh}
                self._lake.write_bytes(self._file, b"".join(line + b"\n" for line in lines.values()))
                self._written = True
            self._saved = len(self._found)

    @property
    def total(self) -> int:
        """How many records were rejected."""
        return self._times.total()

    @property
    def kept_in(self) -> str | None:
        """Path of the run's file; of its folder where earlier files have all of the records; None without any."""
        if not self.total:
            return None
        return self._file if self._written else self._paths.rejected

    def notes(self, *, replaces: bool) -> tuple[str, ...]:
        """A line for the end of the run, if records were rejected; `replaces`: the run removes rows it has not read."""
        total = self._times.total()
        if not total:
            return ()
        what = "1 record could not be a row" if total == 1 else f"{total} records could not be rows"
        is_are, one = ("is", "it") if total == 1 else ("are", "one of them")
        fate = "is gone" if replaces else "stays as it was"
        hidden = " by length and digest, as columns are protected" if self._hides_texts else ""
        return (
            f"{self._paths.table}: {what} ({self._reasons()}) and {is_are} kept in {self._folder}{hidden}; "
            f"a row that {one} had before {fate}",
        )

    def _too_many(self, bound: str) -> SchemaError:
        requests = list(dict.fromkeys(found.request_id for found in self._found.values() if found.request_id))
        kept = "by length and digest" if self._hides_texts else "as sent"
        named = f"first requests: {', '.join(requests[:_REQUESTS_SHOWN])}" if requests else "requests without id"
        return SchemaError(
            f"{self._paths.table}: {self._times.total()} records of this run could not be rows, {bound} "
            f"({self._reasons()}; {named}). They are kept {kept} in {self._lake.url}/{self._file} or in earlier files "
            "beside it: look at them, ask Intercom about the requests, or upgrade intercom-lake; then run again. The "
            "watermark has not moved."
        )

    def _reasons(self) -> str:
        counts: Counter[str] = Counter()
        for digest, times in self._times.items():
            counts[self._found[digest].rejected.reason] += times
        return "; ".join(f"{reason}: {count}" for reason, count in counts.most_common())

    @property
    def _folder(self) -> str:
        return f"{self._lake.url}/{self._paths.rejected}"

    def _digests_of_earlier_files(self) -> Iterator[str]:
        for path in remove_expired(self._lake, self._paths, self._now()):
            if path != self._file:
                yield from filter(None, map(digest_of, self._lines(path)))

    def _lines(self, path: str) -> list[bytes]:
        text = self._lake.read_bytes(path) or b""
        return [line for line in text.split(b"\n") if line]


def remove_expired(lake: Lake, paths: TablePaths, now: datetime) -> list[str]:
    """Delete the table's files of rejected records that are older than `KEPT`; gives the paths of the others."""
    kept: list[str] = []
    expired: list[str] = []
    for path in lake.list(paths.rejected):
        written = lake.modified(path)
        (expired if written is not None and now - _aware(written) > KEPT else kept).append(path)
    lake.delete(expired)
    return kept


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _line(digest: str, found: _Found, *, hides_text: bool) -> bytes:
    rejected, request_id, time = found.rejected, found.request_id, found.time
    return line_of(
        rejected.text,
        reason=rejected.reason,
        request_id=request_id,
        time=time,
        digest=digest,
        hides_text=hides_text,
    )


def hide_texts(lake: Lake, paths: TablePaths) -> int:
    """Put lengths in place of the texts in all files of the table's rejected records; gives the number of such files.

    A file that has no text any more is left as it is.
    """
    written = 0
    for path in lake.list(paths.rejected):
        before = lake.read_bytes(path) or b""
        after = b"".join(without_text(line) + b"\n" for line in before.split(b"\n") if line)
        if after != before:
            lake.write_bytes(path, after)
            written += 1
    return written


def count_lines_with(lake: Lake, paths: TablePaths, values: Sequence[str]) -> int:
    """The number of the table's rejected records whose text has one of these values, in letters of any case."""
    return sum(
        sum(_has(line, values) for line in (lake.read_bytes(path) or b"").split(b"\n"))
        for path in lake.list(paths.rejected)
    )


def count_reasons(lake: Lake, paths: TablePaths) -> Counter[str]:
    """Reason -> number of the table's records that were rejected for it and are kept; one file in memory at a time."""
    reasons: Counter[str] = Counter()
    for path in lake.list(paths.rejected):
        lines = (lake.read_bytes(path) or b"").split(b"\n")
        reasons.update(str(entry_of(line).get("reason", "a line that cannot be read")) for line in lines if line)
    return reasons


def drop_lines_with(lake: Lake, paths: TablePaths, values: Sequence[str]) -> int:
    """Drop these records from the table's files; gives their number."""
    dropped = 0
    for path in lake.list(paths.rejected):
        lines = [line for line in (lake.read_bytes(path) or b"").split(b"\n") if line]
        kept = [line for line in lines if not _has(line, values)]
        if len(kept) < len(lines):
            dropped += len(lines) - len(kept)
            lake.write_bytes(path, b"".join(line + b"\n" for line in kept))
    return dropped


def _has(line: bytes, values: Sequence[str]) -> bool:
    text = text_in(entry_of(line)).lower()
    return any(value.lower().encode() in text for value in values)
