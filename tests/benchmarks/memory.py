"""Peak memory of first loads, merging included, each in a fresh process."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.load import UNLIMITED, contacts_only, serving
from tests.benchmarks.processes import sync
from tests.benchmarks.table import Row

SMALL, LARGE = 200_000, 1_000_000


def measure() -> Iterator[Row]:
    """The smaller load first."""
    small, large = _peak_megabytes(SMALL), _peak_megabytes(LARGE)
    yield Row(f"peak memory of a first load of {SMALL:,} contacts", f"{small:.0f} MB", "<= 400 MB", small <= 400)
    yield Row(f"peak memory of a first load of {LARGE:,} contacts", f"{large:.0f} MB", "<= 400 MB", large <= 400)
    yield Row(f"peak memory, {LARGE:,} against {SMALL:,}", f"{large / small:.2f}x", "<= 1.15x", large / small <= 1.15)


def _peak_megabytes(contacts: int) -> float:
    with serving(contacts_only(contacts), rate_limit=UNLIMITED) as (server, lake):
        return sync(server, lake, tables="contacts").peak_megabytes
