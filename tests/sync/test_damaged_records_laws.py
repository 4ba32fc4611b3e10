"""Laws of damaged records in a lake: whatever bytes one has, a run ends exact or with an error that says what to do."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intercom.compaction.policy import CompactionMode
from intercom.errors import IntercomLakeError
from tests.support.effort import effort
from tests.support.rig import MemoryWatermarks, Rig

TABLES = ("contacts", "tags", "contact_tags")
wrong = st.sampled_from([None, True, -1, 10**30, 0.5, "", "x", "2020-01-01T00:00:00Z", [], {}, [None], {"a": 1}])


@pytest.fixture
def kept(make_rig: Callable[..., Rig]) -> Rig:
    """A lake with published files, with rows that wait for a merge, and changes that no run has read."""
    rig = make_rig(contacts=12, tags=3, history_days=32)
    rig.load(TABLES)
    for _ in range(2):
        rig.workspace.travel(7200)
        rig.workspace.update("contacts", rig.workspace.rows("contacts")[3]["id"], name="changed")
        rig.workspace.create("contacts")
        rig.sync(TABLES, when=CompactionMode.NEVER)
    rig.workspace.update("contacts", rig.workspace.rows("contacts")[5]["id"], name="changed again")
    return rig


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all members and elements inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for name, one in inner for found in ((*path, name), *places(one, (*path, name)))]


def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    if draw(st.booleans()):
        value = json.loads(content)
        path = draw(st.sampled_from(places(value)))
        inside = value
        for name in path[:-1]:
            inside = inside[name]
        inside[path[-1]] = draw(wrong)
        return json.dumps(value).encode()
    cut = draw(st.integers(0, len(content)))
    return content[:cut] + draw(st.binary(max_size=3)) + (content[cut + 1 :] if draw(st.booleans()) else b"")


@given(data=st.data())
@settings(
    max_examples=effort(15, 2_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_damage_of_a_record_ends_a_run_in_another_way(
    kept: Rig, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    lake = folder / "lake"
    shutil.copytree(kept.lake_folder, lake)
    files = sorted(path for path in lake.rglob("*.json") if "_locks" not in path.parts)
    hit = data.draw(st.sampled_from(files))
    hit.write_bytes(data.draw(st.composite(damaged)(hit.read_bytes())))
    rig = copy.copy(kept)
    rig.lake_url, rig.store = str(lake), MemoryWatermarks(kept.store.kept)
    try:
        # Whose lake it is cannot be found out anew.
        with suppress(IntercomLakeError) if hit.name == "lake.json" else nullcontext():
            rig.sync(TABLES)
            rig.check(TABLES)
    finally:
        shutil.rmtree(folder)
