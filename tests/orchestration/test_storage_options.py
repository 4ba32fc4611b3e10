"""fsspec's options reach every kind of write to a store, and its configuration is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pytest

from intercom.lake.storage import Lake
from tests.conftest import BUCKET
from tests.support.rig import Rig

ENCRYPTED = {
    "ServerSideEncryption": "aws:kms",
    "SSEKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/aaaabbbb-cccc-dddd-eeee-ffff00001111",
}


def test_every_object_is_encrypted_with_the_key_that_was_named(rig: Rig, s3_storage: dict[str, Any]) -> None:
    rig.lake_url, rig.storage = f"s3://{BUCKET}/sse", {**s3_storage, "s3_additional_kwargs": ENCRYPTED}
    rig.sync(["tags", "articles"])
    rig.check(["tags", "articles"])
    client = boto3.client("s3", endpoint_url=s3_storage["endpoint_url"])
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys
    for key in keys:
        found = client.head_object(Bucket=BUCKET, Key=key)
        assert {name: found.get(name) for name in ENCRYPTED} == ENCRYPTED, key
    client.close()


def test_a_profile_has_keys_and_region(
    tmp_path: Path, s3_storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text("[lake]\naws_access_key_id = test\naws_secret_access_key = test\n")
    (tmp_path / "config").write_text("[profile lake]\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    lake = Lake(f"s3://{BUCKET}/profile", {"endpoint_url": s3_storage["endpoint_url"], "profile": "lake"})
    assert lake.identity() == lake.identity()


def test_fsspecs_configuration_is_used_and_a_parameter_goes_before_it(
    tmp_path: Path, s3_storage: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lake.json").write_text(json.dumps({"s3": {"endpoint_url": "http://127.0.0.1:9"}}))
    monkeypatch.setitem(fsspec.config.conf, "s3", {})  # as it was, afterwards
    fsspec.config.set_conf_files(str(tmp_path), fsspec.config.conf)
    configured = Lake(f"s3://{BUCKET}/configured")
    assert configured.filesystem.endpoint_url == "http://127.0.0.1:9"
    assert Lake(f"s3://{BUCKET}/configured", s3_storage).identity().format == 1
