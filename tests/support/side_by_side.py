"""Which tests pytest-xdist gives to which of its processes: whole files, and to one all that share a Prefect server.

xdist has `--dist loadgroup` for that, but as of 3.8 it groups nothing with pytest 9.2: it writes a group into an
attribute of items that pytest no longer reads. Then files are torn apart, and each process starts every server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

ROOT = Path(__file__).parents[2]
SHARED_SERVER = "prefect"
"""The fixture, and the name of the group of files whose tests use it."""
OWN_SERVER = "own_prefect"


@cache
def group_of(path: Path) -> str:
    """`SHARED_SERVER`, or the path of a test file.

    The process that gives the tests away has not imported them, so this goes by the text of the file."""
    text = path.read_text(encoding="utf-8")
    shares = re.search(rf"\b{SHARED_SERVER}: Prefect\b", text) and OWN_SERVER not in text
    return SHARED_SERVER if shares else path.relative_to(ROOT).as_posix()


def check_groups(items: Iterable[pytest.Item]) -> None:
    """UsageError if a test uses the shared server and its file does not show that."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if SHARED_SERVER in used and OWN_SERVER not in used and group_of(item.path) != SHARED_SERVER:
            raise pytest.UsageError(
                f"{item.nodeid} uses the fixture `{SHARED_SERVER}`: write a parameter `{SHARED_SERVER}: Prefect` in "
                "this file, so that its tests run where the others' server is."
            )


class InGroups(LoadScopeScheduling):  # type: ignore[misc]
    """Gives groups away in the order of their first tests."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(ROOT / nodeid.split("::", 1)[0])
