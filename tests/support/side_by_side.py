"""Which tests pytest-xdist gives to which of its processes: whole files, and together those that share a server.

xdist has `--dist loadgroup` for that, but as of 3.8 it groups nothing with pytest 9.2: it writes a group into an
attribute of items that pytest no longer reads. Then files are torn apart, and each process starts every server.
"""

from __future__ import annotations

import ast
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
"""The fixture. Files whose tests use it are of two groups, since one alone would take longer than all other tests."""
RUNS, ELSEWHERE = f"{SHARED_SERVER}: runs", f"{SHARED_SERVER}: elsewhere"
OWN_SERVER = "own_prefect"


@cache
def group_of(path: Path) -> str:
    """One of the two groups that share a server, or the path of a test file.

    The process that gives the tests away has not imported them, so this goes by the text of the file."""
    place = path.relative_to(ROOT)
    if not _shares(path.read_text(encoding="utf-8")):
        return place.as_posix()
    is_of_runs = place.parts[1] == "orchestration" and place.parts[2] != "server"
    return RUNS if is_of_runs else ELSEWHERE


def _shares(text: str) -> bool:
    """Whether a test or a fixture of a file has the shared server as a parameter; other functions may, too."""
    if not re.search(rf"\b{SHARED_SERVER}: Prefect\b", text) or OWN_SERVER in text:
        return False
    functions = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))
    return any(
        SHARED_SERVER in (given.arg for given in function.args.args)
        for function in functions
        if function.name.startswith("test_") or any("fixture" in ast.unparse(one) for one in function.decorator_list)
    )


def check_groups(items: Iterable[pytest.Item]) -> None:
    """UsageError if a test uses the shared server and its file does not show that."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        shares = SHARED_SERVER in used and OWN_SERVER not in used
        if shares and group_of(item.path) not in (RUNS, ELSEWHERE):
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
