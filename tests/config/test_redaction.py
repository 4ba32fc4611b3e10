"""What is not to be seen: secret options and passwords, by the check of a run and by the schema of Prefect's server."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intercom.config.redaction import (
    WITHOUT_PASSWORD,
    WITHOUT_SECRETS,
    harmless,
    has_password,
    named,
    one_line,
    options_without_secrets,
    without,
    without_passwords,
)
from intercom.config.secret_masking import WITHHELD
from intercom.config.storage_options import checked_options
from intercom.errors import ConfigurationError
from intercom.lake.storage import Lake

SECRET = [
    "key",
    "KEY",
    "aws_secret_access_key",
    "token",
    "password",
    "sas_token",
    "sas",
    "google_credentials",
    "connection_string",
]
SECRET += [
    "pass",
    "db-pass",
    "PWD",
    "user.pwd",
    "dbPass",
    "passValue",
    "Cookies",
    "session_cookies",
    "private",
    "isPrivate",
]
OPEN = ["SSEKMSKeyId", "BucketKeyEnabled", "key_file", "token_uri", "profile", "endpoint_url", "anon", "client_kwargs"]
OPEN += ["compass", "bypass_cache", "passage", "PASSAGE", "cookie", "privately", "pwdx", "pass\u00e9"]
NAMES = st.sampled_from([*SECRET, *OPEN])
VALUES = st.sampled_from([None, True, False, "anon", "cloud", "x", "http://host:1/a", "http://me:s@host", 7])
VALUES |= st.sampled_from(
    ["https://host/a?sv=1&SIG=x", "https://host/a?X-Amz-Signature=x", "sig=x", "https://host/a?design=x", "host/sig=x"]
)


INNER = st.dictionaries(NAMES, VALUES, max_size=2)


@given(st.dictionaries(NAMES, VALUES, max_size=3), INNER, st.lists(VALUES | INNER, max_size=2))
def test_the_server_and_the_run_refuse_the_same_options(
    outer: dict[str, Any], inner: dict[str, Any], listed: list[Any]
) -> None:
    options = {**outer, "config_kwargs": {"s3": inner}, "many": listed}
    try:
        checked_options(options)
    except ConfigurationError:
        taken = False
    else:
        taken = True
    assert jsonschema.Draft202012Validator(options_without_secrets()).is_valid(options) is taken


@pytest.mark.parametrize("name", SECRET)
def test_a_name_of_a_secret_is_refused_wherever_it_is_given(name: str) -> None:
    validator = jsonschema.Draft202012Validator
    with pytest.raises(ConfigurationError, match="holds a secret") as told:
        checked_options({"client_kwargs": {name: "s3cret-value"}})
    assert "s3cret-value" not in str(told.value)
    assert not validator(options_without_secrets()).is_valid({"client_kwargs": {name: "s3cret-value"}})
    assert not validator(WITHOUT_SECRETS).is_valid(json.dumps({"client_kwargs": {name: "s3cret-value"}}))


@pytest.mark.parametrize("name", OPEN)
def test_a_name_that_only_holds_such_letters_is_taken(name: str) -> None:
    assert checked_options({name: "x"}) == {name: "x"}
    assert jsonschema.Draft202012Validator(WITHOUT_SECRETS).is_valid(json.dumps({name: "x"}, ensure_ascii=False))


@pytest.mark.parametrize(
    "parameter",
    ["sig", "SIG", "X-Amz-Signature", "X-Goog-Signature", "Signature", "X-Amz-Security-Token", "secret", "password"],
)
def test_a_signed_address_is_no_parameter_and_is_not_shown(parameter: str) -> None:
    url = f"https://host/a?se=2026&{parameter}=abcdefgh&x=1"
    validator = jsonschema.Draft202012Validator
    assert has_password(url)
    assert without_passwords(url) == f"https://host/a?se=2026&{parameter}=...&x=1"
    assert not validator(WITHOUT_PASSWORD).is_valid(url)
    assert not validator(WITHOUT_SECRETS).is_valid(json.dumps({"url": url}))
    with pytest.raises(ConfigurationError, match="signature") as told:
        Lake(url)
    assert "abcdefgh" not in str(told.value)


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
        ('{"secret": "s", "SSEKMSKeyId": "x"}', False),
        ('{"url": "sig=x"}', False),
    ],
)
def test_the_server_refuses_text_with_secrets(text: str, taken: bool) -> None:
    assert jsonschema.Draft202012Validator(WITHOUT_SECRETS).is_valid(text) is taken


def test_a_password_in_an_address_is_not_shown() -> None:
    told = "'404 Not Found' for url 'http://me:hidden@host/api/me@x' and https://host/api"
    assert without_passwords(told) == "'404 Not Found' for url 'http://...@host/api/me@x' and https://host/api"
    assert without_passwords("s3://KEY:SE@CRET@bucket/prefix") == "s3://...@bucket/prefix"
    assert has_password("s3://KEY:SECRET@bucket/prefix")
    assert has_password('s3://KEY:SE"@CRET@bucket/prefix')
    assert not has_password("s3://bucket/prefix:with@signs")


def test_given_secrets_are_not_shown() -> None:
    text = "key abc of s3cret-value\nat http://me:x@host, not S3CRET-VAL"
    assert without(text, ["abc", "s3cret-value", ""]) == "key ... of ... at http://...@host, not ..."
    assert without("czNjcmV0LXZhbHVl", ["s3cret-value"]) == WITHHELD
    assert without("as it is", []) == "as it is"


@pytest.mark.parametrize(
    ("error", "line", "short"),
    [
        (ValueError("no\n  such \tmonth"), "no such month", "ValueError: no"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError("\n"), "ValueError", "ValueError"),
        (OSError("http://me:x@host/a"), "http://...@host/a", "OSError: http://...@host/a"),
        (
            RuntimeError("Server error '503' for url 'u'\nFor more information check: https://host/503"),
            "Server error '503' for url 'u'",
            "RuntimeError: Server error '503' for url 'u'",
        ),
        (
            RuntimeError("Client error '404' - Response: {'a': 1} - For more information check: https://host/404"),
            "Client error '404' - Response: {'a': 1}",
            "RuntimeError: Client error '404' - Response: {'a': 1}",
        ),
    ],
)
def test_an_error_in_a_line(error: Exception, line: str, short: str) -> None:
    assert one_line(error) == line
    assert named(error) == short


@pytest.mark.parametrize("value", ["eu", "asia-1", "a.b_c", "x" * 24])
def test_a_short_plain_word_is_shown(value: str) -> None:
    assert harmless(value) == repr(value)


@pytest.mark.parametrize("value", ["", "x" * 25, "a b", "a/b", "dG9r=", "a\n", "\u00e9", ["x"]])
def test_anything_else_may_be_a_secret(value: object) -> None:
    assert harmless(value) == "(not shown: it may hold a secret)"


def test_a_value_of_a_given_shape_is_shown() -> None:
    assert harmless("a/b", "[a-z/]+") == "'a/b'"
