"""The trial of a store: what it tells agrees with what the store can do, and nothing of it stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intercom.errors import LakeError
from intercom.lake.storage import Lake
from intercom.lake.trial import try_store
from tests.lake.stores.kinds import Backend
from tests.lake.stores.limits import mode


def test_a_store_is_tried_and_left_as_it_was(store: Backend) -> None:
    store.put("data/acme/tags/data.parquet", b"rows")
    before = store.lake().stamps("")
    trial = try_store(store.lake())
    assert (trial.exclusively is None) == store.kind.creates_exclusively
    assert (trial.conditionally is None) == store.kind.replaces_conditionally
    assert store.lake().stamps("") == before


def test_a_lake_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    assert try_store(Lake(str(tmp_path / "some" / "lake"))).exclusively is None
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_stays_empty_and_a_lakes_own_scratch_folder_stays(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    try_store(lake)
    assert list(tmp_path.iterdir()) == []
    lake.write_json("_state/lake.json", {})
    there = {path.name for path in tmp_path.iterdir()}
    assert "_tmp" in there
    try_store(lake)
    assert {path.name for path in tmp_path.iterdir()} == there


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_that_cannot_be_written_is_told(exists: bool, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path if exists else tmp_path / "lake"))
    with mode(tmp_path, 0o500), pytest.raises(LakeError, match=f"may not write in {tmp_path}"):
        try_store(lake)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("not a folder")
    for url in ("lake", "lake/below"):
        with pytest.raises(LakeError, match=f"{tmp_path / 'lake'} is no folder"):
            try_store(Lake(str(tmp_path / url)))
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_a_link_to_a_disk_that_is_not_there_is_told(tmp_path: Path) -> None:
    link = tmp_path / "lake"
    link.symlink_to(tmp_path / "unmounted" / "lake")
    for place in (link, link / "below"):
        with pytest.raises(LakeError, match=f"{link} is a link that leads nowhere"):
            try_store(Lake(str(place)))


def test_a_lake_that_is_there_is_tried_and_not_its_folders_rights(tmp_path: Path) -> None:
    """All that a run writes lies in folders below."""
    lake = Lake(str(tmp_path))
    for folder in ("_state", "_tmp", "_locks"):
        (tmp_path / folder).mkdir()
    with mode(tmp_path, 0o500):
        assert try_store(lake).exclusively is None


class Stale(Lake):
    """A store behind a cache: a file reads as it was before, is not listed yet, or is still there once deleted."""

    how = ""
    kept: dict[str, bytes] | None = None

    def write_bytes(self, path: str, data: bytes) -> None:
        super().write_bytes(path, data)
        self.kept = {path: data}

    def read_bytes(self, path: str) -> bytes | None:
        if self.how == "old":
            return b"old"
        return self.kept[path] if self.how == "undead" and self.kept else super().read_bytes(path)

    def list(self, folder: str) -> dict[str, Any]:
        return {} if self.how == "unlisted" else super().list(folder)


@pytest.mark.parametrize(
    ("how", "told"), [("old", "another content"), ("unlisted", "listing"), ("undead", "after it was deleted")]
)
def test_a_store_that_answers_from_a_cache_is_told(how: str, told: str, tmp_path: Path) -> None:
    lake = Stale(str(tmp_path))
    lake.how = how
    with pytest.raises(LakeError, match=told):
        try_store(lake)
    assert list(tmp_path.iterdir()) == []
