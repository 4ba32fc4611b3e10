"""What is not to be seen: secret options and passwords, by the check of a run and by the schema of Prefect's server."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercom.disclosure import WITHOUT_SECRETS, has_password, options_without_secrets, shown
from intercom.errors import ConfigurationError
from intercom.storage import checked_options

SECRET = ["key", "KEY", "aws_secret_access_key", "token", "password", "sas_token"]
OPEN = ["SSEKMSKeyId", "BucketKeyEnabled", "key_file", "token_uri", "profile", "endpoint_url", "anon", "client_kwargs"]
NAMES = st.sampled_from([*SECRET, *OPEN])
VALUES = st.sampled_from([None, True, False, "anon", "cloud", "x", "http://host:1/a", "http://me:s@host", 7])


@given(st.dictionaries(NAMES, VALUES, max_size=3), st.dictionaries(NAMES, VALUES, max_size=2))
def test_the_server_and_the_run_refuse_the_same_options(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    options = {**outer, "config_kwargs": {"s3": inner}}
    try:
        checked_options(options)
    except ConfigurationError:
        taken = False
    else:
        taken = True
    assert jsonschema.Draft202012Validator(options_without_secrets()).is_valid(options) is taken


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("secret/lake", True),
        ('{"profile": "key"}', True),
        ('{"token": "anon", "key": null, "SSEKMSKeyId": "x", "key_file": "x"}', True),
        ('{"url": "http://host:1", "x": "a@b"}', True),
        ('{"token" :\n "s"}', False),
        ('{"a": {"Secret": "s"}}', False),
        ('{"url": "http://me:s@host"}', False),
    ],
)
def test_the_server_refuses_text_with_secrets(text: str, taken: bool) -> None:
    assert jsonschema.Draft202012Validator(WITHOUT_SECRETS).is_valid(text) is taken


def test_a_password_in_an_address_is_not_shown() -> None:
    told = "'404 Not Found' for url 'http://me:hidden@host/api/me@x' and https://host/api"
    assert shown(told) == "'404 Not Found' for url 'http://...@host/api/me@x' and https://host/api"
    assert shown("s3://KEY:SE@CRET@bucket/prefix") == "s3://...@bucket/prefix"
    assert has_password("s3://KEY:SECRET@bucket/prefix")
    assert has_password('s3://KEY:SE"@CRET@bucket/prefix')
    assert not has_password("s3://bucket/prefix:with@signs")
