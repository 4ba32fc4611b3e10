"""Options of a lake's store, from a parameter or a block."""

from __future__ import annotations

from typing import Any

import pytest

from intercom.config.storage_options import block_named, checked_options, options_from_block
from intercom.errors import ConfigurationError


def test_options_without_secrets_are_taken_as_they_are() -> None:
    options = {
        "profile": "lake",
        "endpoint_url": "https://minio.example.com",
        "client_kwargs": {"region_name": "eu-central-1"},
        "s3_additional_kwargs": {
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": "alias/lake",
            "BucketKeyEnabled": True,
        },
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    assert checked_options(options) == options


@pytest.mark.parametrize(
    "options",
    [{"token": "anon"}, {"token": "cloud"}, {"key": None}, {"key_filename": "/key"}, {"default_kms_key_name": "a"}],
)
def test_what_is_named_like_a_secret_and_is_none_is_taken(options: dict[str, Any]) -> None:
    assert checked_options(options) == options


@pytest.mark.parametrize(
    "options",
    [
        {"key": "AKIA"},
        {"secret": "hidden"},
        {"token": "hidden"},
        {"client_kwargs": {"aws_secret_access_key": "hidden"}},
        {"client_kwargs": {"aws_session_token": "hidden"}},
        {"account_key": "hidden"},
        {"sas_token": "hidden"},
        {"password": "hidden"},
        {"passphrase": "hidden"},
        {"passwd": "hidden"},
        {"auth": "hidden"},
        {"client_kwargs": {"headers": {"Authorization": "Bearer hidden"}}},
        {"endpoint_url": "https://user:hidden@minio.example.com"},
        {"config_kwargs": {"proxies": ["http://user:hidden@proxy"]}},
    ],
)
def test_a_secret_as_a_parameter_is_refused_without_being_shown(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="Secret block") as refused:
        checked_options(options)
    assert "hidden" not in str(refused.value)
    assert "AKIA" not in str(refused.value)


@pytest.mark.parametrize("reference", ["lake", "secret/", "/lake", "s3-bucket/lake", "secret/a/b", ""])
def test_what_names_no_block_is_refused(reference: str) -> None:
    with pytest.raises(ConfigurationError, match="secret, aws-credentials, minio-credentials"):
        block_named(reference)


@pytest.mark.parametrize("reference", ["lake", "s3-bucket/lake", "secret/a/b", ""])
def test_a_reference_that_is_only_a_name_is_repeated(reference: str) -> None:
    with pytest.raises(ConfigurationError, match=f"The storage options '{reference}' do not name a block"):
        block_named(reference)


HIDDEN = ["key=AKIA,secret=hidden", '["hidden"]', '{"secret": "hidden"', "hidden" * 5]


@pytest.mark.parametrize("reference", HIDDEN)
def test_what_may_hold_a_secret_is_not_repeated(reference: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        block_named(reference)
    assert "hidden" not in str(refused.value)


def test_blocks_are_named_by_type_and_name() -> None:
    assert block_named("aws-credentials/prod") == ("aws-credentials", "prod")


def test_aws_credentials() -> None:
    data = {
        "aws_access_key_id": "AKIA",
        "aws_secret_access_key": "hidden",
        "aws_session_token": None,
        "profile_name": None,
        "region_name": "eu-west-1",
        "aws_client_parameters": {
            "endpoint_url": "https://r2.example.com",
            "verify": True,
            "verify_cert_path": "/ca.pem",
            "config": {"s3": {"addressing_style": "path"}},
        },
    }
    assert options_from_block("aws-credentials", data) == {
        "key": "AKIA",
        "secret": "hidden",
        "endpoint_url": "https://r2.example.com",
        "config_kwargs": {"s3": {"addressing_style": "path"}},
        "client_kwargs": {"region_name": "eu-west-1", "verify": "/ca.pem"},
    }
    assert options_from_block("aws-credentials", {"aws_client_parameters": {"verify": "/ca.pem"}}) == {
        "client_kwargs": {"verify": "/ca.pem"}
    }
    assert options_from_block("aws-credentials", {"profile_name": "lake"}) == {"profile": "lake"}


def test_minio_credentials() -> None:
    data = {
        "minio_root_user": "root",
        "minio_root_password": "hidden",
        "aws_client_parameters": {"endpoint_url": "http://127.0.0.1:9000", "use_ssl": False, "verify": False},
    }
    assert options_from_block("minio-credentials", data) == {
        "key": "root",
        "secret": "hidden",
        "endpoint_url": "http://127.0.0.1:9000",
        "use_ssl": False,
        "client_kwargs": {"verify": False},
    }


def test_a_secret_holds_any_filesystems_options() -> None:
    assert options_from_block("secret", {"value": {"account_name": "lake", "account_key": "hidden"}}) == {
        "account_name": "lake",
        "account_key": "hidden",
    }
    assert options_from_block("secret", {"value": '{"key": "typed"}'}) == {"key": "typed"}
    with pytest.raises(ConfigurationError, match="JSON object") as refused:
        options_from_block("secret", {"value": "hidden"})
    assert "hidden" not in str(refused.value)
