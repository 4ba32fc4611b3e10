"""The connection, the tables and the lake that options, files and Prefect's blocks name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intercom.config.connection import Region
from tests.conftest import BUCKET
from tests.support.checked import TOKEN, Check, PlayedPrefect, block, whole_text
from tests.support.rig import Rig


def test_the_connection_of_the_environment(rig: Rig, here: Path, checked: Check, monkeypatch: Any) -> None:
    monkeypatch.setattr(Region, "base_url", property(lambda _: rig.server.base_url))
    (here / "connections.yml").unlink()
    found = checked(connection="default", tables="tags")
    assert (found.status, found["connection"]["detail"]) == (0, "default, from the environment (INTERCOM_ACCESS_TOKEN)")


def test_the_environment_beside_a_file_of_other_connections_is_a_warning(
    rig: Rig, here: Path, checked: Check, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Region, "base_url", property(lambda _: rig.server.base_url))
    found = checked(connection="default", tables="tags")
    assert (found.status, found.states()["file"]) == (0, "warn")
    assert found["file"]["detail"].startswith("connections.yml is not used, since it has no connection 'default'")
    assert found["file"]["cure"].endswith("name it: --connection acme.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("connections: [", "not YAML"),
        ("connections: {intercom: [{name: other, access_token: x}]}", "'other'"),
        ("connections: {intercom: [{name: acme, access_token: '${NOT_SET}'}]}", "NOT_SET"),
        ("connections: {intercom: [{name: acme, access_token: x, region: mars}]}", "us, eu, au"),
    ],
)
def test_a_connection_that_cannot_be_is_a_wrong_setting_and_the_lake_is_tried_all_the_same(
    text: str, told: str, here: Path, checked: Check
) -> None:
    (here / "connections.yml").write_text(text)
    found = checked()
    assert (found.status, found.failed()) == (2, ["connection"])
    assert told in whole_text(found["connection"])
    assert found["connection"]["cure"]
    assert list(found.states()) == ["connection", "lake", "lock", "prefect"]


def test_all_wrong_settings_are_told_together(rig: Rig, here: Path, checked: Check) -> None:
    found = checked(connection="--", tables="kontacts,foo,tags", lake="nosuch://lake")
    assert (found.status, found.failed()) == (2, ["tables", "connection", "lake"])
    tables = found["tables"]
    assert tables["facts"] == {"unknown": {"kontacts": "contacts", "foo": None}}
    assert "'kontacts', 'foo'" in tables["detail"]
    assert "did you mean contacts?" in tables["cure"]
    assert "data_attributes" in tables["cure"]
    assert "nosuch" in found["lake"]["detail"]
    assert rig.server.requests() == []


def test_the_right_ones_of_the_tables_are_tried_beside_wrong_ones(checked: Check) -> None:
    found = checked(tables="kontacts,tags")
    assert (found.status, found.failed()) == (2, ["tables"])
    assert found["tags"]["status"] == "ok"


def test_secret_or_broken_storage_options_are_a_wrong_setting(checked: Check) -> None:
    for given, told in (
        ('{"secret": "very-secret-value"}', "holds a secret"),
        ("{", "not a JSON object"),
        ("nosuch/block", "do not name a block"),
        ("secret/lake", "no Prefect API is configured"),
    ):
        found = checked(tables="tags", storage_options=given)
        assert (found.status, found.failed()) == (2, ["lake"]), given
        assert told in found["lake"]["detail"]
        assert "very-secret" not in str(found.told)


def test_a_block_counts_before_the_file(rig: Rig, here: Path, played: PlayedPrefect, checked: Check) -> None:
    (here / "connections.yml").write_text("this is not looked at: [")
    block(played, access_token=TOKEN, base_url=rig.server.base_url, region="us", requests_per_10s=80)
    found = checked(tables="tags")
    assert found.status == 0
    assert found["connection"]["detail"].startswith("acme, from block intercom-connection/acme")
    assert found["rate limit"]["facts"]["cap"] == 80


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "access_token"),
        ({"access_token": TOKEN, "requests_per_10s": "many"}, "requests_per_10s"),
        ({"access_token": TOKEN, "region": "mars"}, "us, eu, au"),
        ({"access_token": "two words"}, "no token has"),
        ({"access_token": TOKEN, "base_url": 5}, "base_url"),
    ],
)
def test_a_block_that_cannot_be(values: dict[str, Any], told: str, played: PlayedPrefect, checked: Check) -> None:
    block(played, **values)
    found = checked(tables="tags")
    assert (found.status, found.failed()) == (2, ["connection"])
    assert told in whole_text(found["connection"])
    assert "block intercom-connection/acme" in found["connection"]["detail"]


def test_storage_options_of_a_block(played: PlayedPrefect, checked: Check, s3_storage: dict[str, Any]) -> None:
    name = "/api/block_types/slug/secret/block_documents/name/lake"
    played.answers[name] = {"data": {"value": {"endpoint_url": s3_storage["endpoint_url"]}}}
    found = checked(tables="tags", lake=f"s3://{BUCKET}/lake", storage_options="secret/lake")
    assert (found.status, found["lake"]["status"]) == (0, "ok")
    missing = checked(tables="tags", lake=f"s3://{BUCKET}/lake", storage_options="secret/other")
    assert (missing.status, missing.failed()) == (2, ["lake"])
    assert "has no such" in missing["lake"]["detail"]
