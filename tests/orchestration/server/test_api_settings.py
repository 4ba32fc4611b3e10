"""Which of Prefect's APIs would be used, held against Prefect's own answers."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from prefect.settings import Settings

from intercom.errors import ConfigurationError
from intercom.orchestration.server.api_settings import read_api_settings

PROFILES = """
active = "mine"
[profiles.mine]
PREFECT_API_URL = "http://profile:1/api"
PREFECT_API_KEY = "pnu_profile"
[profiles.other]
PREFECT_API_URL = "http://other:1/api"
[profiles.none]
PREFECT_SERVER_EPHEMERAL_ENABLED = "false"
[profiles.older]
PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = "true"
"""
OWN = '[api]\nurl = "http://own:1/api"\nauth_string = "me:own"\n'
PROJECT = '[tool.prefect.api]\nurl = "http://project:1/api"\ntls_insecure_skip_verify = true\n'
DOTENV = "export PREFECT_API_URL='http://dotenv:1/api'\nPREFECT_API_KEY=pnu_dotenv\n"
WITH_HEADERS = '[tool.prefect.client.custom_headers]\nX-Team = "data"\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one and Prefect's home, and an environment without settings of Prefect."""
    for name in [name for name in os.environ if name.upper().startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ({}, {}),
        ({}, {"PREFECT_API_URL": "http://environment:1/api", "PREFECT_API_KEY": "pnu_environment"}),
        ({}, {"prefect_api_url": "http://lower:1/api"}),
        ({"profiles.toml": PROFILES}, {}),
        ({"profiles.toml": PROFILES}, {"PREFECT_PROFILE": "other"}),
        ({"profiles.toml": PROFILES}, {"PREFECT_PROFILE": "none"}),
        ({"profiles.toml": PROFILES}, {"PREFECT_PROFILE": "older"}),
        ({"profiles.toml": PROFILES}, {"PREFECT_PROFILE": "missing"}),
        ({"profiles.toml": PROFILES}, {"PREFECT_API_URL": ""}),
        ({"profiles.toml": PROFILES}, {"PREFECT_TEST_MODE": "1"}),
        ({"profiles.toml": PROFILES, "prefect.toml": OWN}, {}),
        ({"profiles.toml": PROFILES, "pyproject.toml": PROJECT}, {}),
        ({"prefect.toml": OWN, "pyproject.toml": PROJECT + WITH_HEADERS}, {}),
        ({"prefect.toml": OWN, ".env": DOTENV}, {}),
        ({".env": "PREFECT_API_URL=http://dotenv:1/api\n"}, {"PREFECT_API_URL": "http://environment:1/api"}),
        ({"kept.toml": PROFILES}, {"PREFECT_PROFILES_PATH": "kept.toml"}),
        ({"kept.toml": PROFILES, ".env": "PREFECT_PROFILES_PATH=kept.toml\n"}, {}),
        ({"kept.toml": PROFILES, "prefect.toml": 'profiles_path = "kept.toml"\n'}, {}),
        ({"kept.toml": PROFILES, "pyproject.toml": '[tool.prefect]\nprofiles_path = "kept.toml"\n'}, {}),
        ({}, {"PREFECT_SERVER_EPHEMERAL_ENABLED": "off"}),
        ({}, {"PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Team": "data"}', "PREFECT_API_SSL_CERT_FILE": "some.pem"}),
    ],
)
def test_they_are_those_that_prefect_reads(
    files: dict[str, str], variables: dict[str, str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (here / name).write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    read, prefects = read_api_settings(os.environ, Path()), Settings()
    api = prefects.api
    assert read.url == (api.url or None)
    assert read.temporary == prefects.server.ephemeral.enabled
    assert read.verify is not api.tls_insecure_skip_verify
    assert read.certificates == api.ssl_cert_file
    credentials = read.headers.get("Authorization")
    if api.auth_string is not None:
        assert credentials == f"Basic {base64.b64encode(api.auth_string.get_secret_value().encode()).decode()}"
    else:
        assert credentials == (None if api.key is None else f"Bearer {api.key.get_secret_value()}")
    own = {name: value for name, value in read.headers.items() if name != "Authorization"}
    assert own == prefects.client.custom_headers


@pytest.mark.parametrize(
    ("files", "variables", "place"),
    [
        ({}, {"PREFECT_API_URL": "http://a/api"}, "the environment"),
        ({".env": "PREFECT_API_URL=http://a/api"}, {}, ".env"),
        ({"prefect.toml": OWN}, {}, "prefect.toml"),
        ({"pyproject.toml": PROJECT}, {}, "pyproject.toml"),
        ({"profiles.toml": PROFILES}, {}, "Prefect's profile 'mine'"),
    ],
)
def test_the_place_of_the_address_is_told(
    files: dict[str, str], variables: dict[str, str], place: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (here / name).write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert read_api_settings(os.environ, Path()).place == place


def test_own_headers_count_before_key_and_auth_string() -> None:
    variables = {
        "PREFECT_API_KEY": "pnu_key",
        "PREFECT_API_AUTH_STRING": "me:secret",
        "PREFECT_CLIENT_CUSTOM_HEADERS": '{"authorization": "Bearer proxy"}',
        "PREFECT_HOME": "/nowhere",
    }
    read = read_api_settings(variables, Path("/nowhere"))
    assert read.headers == {"authorization": "Bearer proxy"}
    assert "proxy" not in repr(read)


@pytest.mark.parametrize("name", ["profiles.toml", "prefect.toml", "pyproject.toml"])
def test_a_file_that_is_no_toml_is_told(name: str, here: Path) -> None:
    (here / name).write_text("[api\n")
    with pytest.raises(ConfigurationError, match=rf"{name} is not TOML"):
        read_api_settings(os.environ, Path())
