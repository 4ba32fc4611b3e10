"""What a lake has, by connection."""

from __future__ import annotations

from pathlib import Path

from intercom.lake.contents import connections_in, no_table_of, tables_in
from intercom.lake.storage import Lake


def lake_with(folder: Path, *paths: str) -> Lake:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"{}")
    return Lake(str(folder))


def test_connections_are_those_with_a_table(tmp_path: Path) -> None:
    lake = lake_with(
        tmp_path,
        "_state/lake.json",
        "_state/acme/runs/one.json",
        "_state/acme/tags.json",
        "data/my%20eu/contacts/created_month=2026-01/data.parquet",
        "_state/empty/runs/one.json",
    )
    assert connections_in(lake) == ["acme", "my eu"]
    assert [tables_in(lake, name) for name in ("acme", "my eu", "empty", "nobody")] == [["tags"], ["contacts"], [], []]
    told = str(no_table_of(lake, "default"))
    assert "no table of connection 'default'" in told
    assert "It has tables of 'acme', 'my eu': --connection acme." in told


def test_of_a_lake_without_tables_the_lake_is_doubted(tmp_path: Path) -> None:
    assert str(no_table_of(lake_with(tmp_path), "acme")).endswith("has no table: nothing was synced. Check --lake.")
    told = str(no_table_of(lake_with(tmp_path, "data/my%20eu/tags/data.parquet"), "acme"))
    assert "--connection 'my eu'" in told
