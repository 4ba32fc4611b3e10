"""Connections: where they come from, and what each fault is answered with."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from intercom.config.connection import Connection, Region, connection_slug, make_connection
from intercom.config.lookup import connection_from_environment, find_connection, read_connections_file
from intercom.errors import ConfigurationError

SECRET = "dG9rOnRoaXMtaXMtYS1zZWNyZXQ="
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "connections.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def entry(**values: str) -> str:
    values = {"name": "acme", "access_token": SECRET, **values}
    lines = "\n      ".join(f"{key}: {value}" for key, value in values.items())
    return f"connections:\n  intercom:\n    - {lines}\n"


def no_block(name: str) -> Connection | None:
    return None


def known(name: str = "acme") -> Connection:
    return make_connection(name=name, access_token=SECRET, place="test")


def fault_of(action: Callable[[], object]) -> str:
    """The error's text, after a look for the secret in all that a traceback would print."""
    with pytest.raises(ConfigurationError) as caught:
        action()
    error = caught.value
    assert SECRET not in "".join(traceback.format_exception(error)) + repr(error)
    assert error.__cause__ is error.__context__ is None
    return str(error)


def test_a_file_with_every_key(write: Write) -> None:
    path = write(
        """
connections:
  intercom:
    - name: "my_intercom"
      access_token: ${TOKEN}
      region: "EU"
      base_url: https://${HOST}/intercom/
      requests_per_10s: ${CAP}
      requests_in_flight: ${PLACES}
    - name: second
      access_token: abc
      requests_per_10s: 7
      requests_in_flight: 32
    - name: third
      access_token: abc
"""
    )
    environ = {"TOKEN": SECRET, "HOST": "proxy.example", "CAP": "80", "PLACES": "3"}
    first, second, third = read_connections_file(path, environ).values()
    assert (first.name, first.region, first.base_url) == ("my_intercom", Region.EU, "https://proxy.example/intercom")
    assert first.access_token.get_secret_value() == SECRET
    assert first.requests_per_10s == 80
    assert (second.name, second.region, second.base_url) == ("second", Region.US, "https://api.intercom.io")
    assert second.requests_per_10s == 7
    assert third.requests_per_10s is None
    assert [each.requests_in_flight for each in (first, second, third)] == [3, 32, 32]


def test_each_region_has_its_host() -> None:
    assert [region.base_url for region in Region] == [
        "https://api.intercom.io",
        "https://api.eu.intercom.io",
        "https://api.au.intercom.io",
    ]


def test_several_variables_in_one_value(write: Write) -> None:
    path = write(entry(name='"${A}_${B}"', access_token='"x${A}$$y${B}"'))
    connection = read_connections_file(path, {"A": "one", "B": "two"})["one_two"]
    assert connection.access_token.get_secret_value() == "xone$$ytwo"


def test_a_variables_value_is_not_expanded_again(write: Write) -> None:
    found = read_connections_file(write(entry(access_token="${A}")), {"A": "${B}"})
    assert found["acme"].access_token.get_secret_value() == "${B}"


def test_the_token_shows_in_no_text_of_a_connection() -> None:
    assert SECRET not in f"{known()!r} {known()} {known().access_token}"


@pytest.mark.parametrize(
    ("name", "slug"), [("my_intercom", "my-intercom"), ("A  B__c", "a-b-c"), ("--x1.", "x1"), ("default", "default")]
)
def test_slugs(name: str, slug: str) -> None:
    assert connection_slug(name) == slug


@pytest.mark.parametrize("name", ["", "___", "日本"])
def test_a_name_without_letters_is_refused(name: str) -> None:
    assert "no letter or digit" in fault_of(lambda: connection_slug(name))


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"acces_token": "x"}, ("entry 1", "unknown key 'acces_token'", "access_token")),
        ({SECRET: "x"}, ("unknown key (not shown",)),
        ({"access_token": ""}, ("'acme'", "token is empty")),
        ({"access_token": '""'}, ("'acme'", "token is empty")),
        ({"access_token": "12345"}, ("'access_token'", "int", "quotes")),
        ({"access_token": "1e5"}, ()),  # text for YAML 1.1
        ({"access_token": "2024-01-01"}, ("'access_token'", "date", "quotes")),
        ({"access_token": "2024-13-45"}, ("cannot be read", "quotes")),
        ({"access_token": f"[{SECRET}]"}, ("'access_token'", "list", "quotes")),
        ({"access_token": f'"Bearer {SECRET}"'}, ("a blank", "'Bearer'")),
        ({"access_token": f'"{SECRET}\\n"'}, ("a line end",)),
        ({"access_token": f'"{SECRET}é"'}, ("another character",)),
        ({"access_token": f'"{SECRET}\\x00"'}, ("another character",)),
        ({"access_token": "${NOPE}"}, ("variable NOPE", "'acme'", "'access_token'", "Set it")),
        ({"access_token": "${EMPTY}"}, ("variable EMPTY", "empty")),
        ({"access_token": '"${NOPE:-x}"'}, ("does not begin a variable", "'access_token'")),
        ({"access_token": '"${NOPE"'}, ("does not begin a variable",)),
        ({"region": "${NOPE}"}, ("variable NOPE", "'acme'", "'region'")),
        ({"region": "uk"}, ("unknown region 'uk'", "us, eu, au")),
        ({"region": SECRET}, ("unknown region (not shown", "us, eu, au")),
        ({"region": "no"}, ("'region'", "bool")),
        ({"base_url": "http://api.example"}, ("https", "loopback")),
        ({"base_url": "http://localhost.example"}, ("https", "loopback")),
        ({"base_url": "ftp://127.0.0.1"}, ("https",)),
        ({"base_url": f"https://user:{SECRET}@api.example"}, ("user and password",)),
        ({"base_url": f'"https://api.example?a={SECRET}"'}, ("query",)),
        ({"base_url": f'"https://api.example#{SECRET}"'}, ("fragment",)),
        ({"base_url": '"https://api.example\\\\@evil.example"'}, ("base_url",)),
        ({"base_url": "api.example"}, ("not a URL",)),
        ({"base_url": '"https://[::1"'}, ("not a URL",)),
        ({"base_url": "https://api.example:99999"}, ("not a URL",)),
        ({"requests_per_10s": "0"}, ("at least 1",)),
        ({"requests_per_10s": "-5"}, ("at least 1",)),
        ({"requests_per_10s": "true"}, ("at least 1",)),
        ({"requests_per_10s": "1.5"}, ("float",)),
        ({"requests_per_10s": "many"}, ("at least 1",)),
        ({"requests_in_flight": "0"}, ("requests_in_flight", "from 1 to 32")),
        ({"requests_in_flight": "33"}, ("requests_in_flight", "from 1 to 32")),
        ({"requests_in_flight": "8.0"}, ("'requests_in_flight'", "float")),
        ({"requests_in_flight": "all"}, ("from 1 to 32",)),
        ({"name": "7"}, ("'name'", "int", "quotes")),
        ({"name": ""}, ("'name'", "missing")),
        ({"name": '"--"'}, ("no letter or digit",)),
    ],
)
def test_a_wrong_value_names_the_place_and_the_cure(
    values: dict[str, str], parts: tuple[str, ...], write: Write
) -> None:
    path = write(entry(**values))
    environ = {"EMPTY": ""}
    if not parts:
        read_connections_file(path, environ)
        return
    fault = fault_of(lambda: read_connections_file(path, environ))
    for part in (*parts, str(path)):
        assert part in fault


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:1/x", "http://[::1]:5", "https://a.example"]
)
def test_base_urls_that_are_allowed(url: str) -> None:
    assert make_connection(name="a", access_token="t", base_url=f"{url}/", place="test").base_url == url


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("'connections'",)),
        ("- a", ("'connections'",)),
        ("connections: 5", ("'intercom'",)),
        ("connections:\n  intercom: {}", ("a list",)),
        ("connections:\n  intercom: []", ("a list",)),
        ("connections:\n  intercom: [a]", ("entry 1", "name, access_token")),
        ("connections:\n  intercom: []\n  stripe: []", ("unknown key 'stripe'",)),
        ("connections: {intercom: []}\nother: 1", ("unknown key 'other'",)),
        (f"connections: {{intercom: [{{name: a, access_token:{SECRET}}}]}}", ("unknown key (not shown",)),
        (f"connections:\n  intercom:\n  - name: a\n    access_token: '{SECRET}\n", ("line 5", "not YAML")),
        (f"connections:\n\t- {SECRET}", ("line 2, column 1", "not YAML")),
        (f"connections: *{SECRET[:-1]}", ("line 1", "not YAML")),
        (f"connections: !{SECRET} x", ("line 1", "not YAML")),
        (f"connections: \x07{SECRET}", ("UTF-8",)),
        ("[" * 5000, ("read",)),
        (entry() + f"      access_token: {SECRET}\n", ("line 5, column 7", "repeats")),
        ("connections: {}\nconnections: {}", ("line 2, column 1", "repeats")),
        ("connections:\n  intercom:\n  - name: a\n    ? [x]\n    : y", ("line 4",)),
        (entry() + entry().split("\n", 2)[2], ("'acme' and 'acme'", "Rename")),
        (entry() + entry(name="ACME_").split("\n", 2)[2], ("'acme' and 'ACME_'", "Rename")),
    ],
)
def test_a_file_of_the_wrong_shape(text: str, parts: tuple[str, ...], write: Write) -> None:
    path = write(text)
    fault = fault_of(lambda: read_connections_file(path, {}))
    for part in (*parts, str(path)):
        assert part in fault


def test_a_file_that_is_missing_or_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    assert "cannot be read (No such file" in fault_of(lambda: read_connections_file(path, {}))
    path.write_bytes(b"connections: \xff\xfe")
    assert "UTF-8" in fault_of(lambda: read_connections_file(path, {}))
    assert "cannot be read" in fault_of(lambda: read_connections_file(tmp_path, {}))


def test_the_environment_is_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connection_from_environment({"INTERCOM_ACCESS_TOKEN": SECRET, "INTERCOM_REGION": "AU"})
    assert connection is not None
    assert (connection.name, connection.region) == ("default", Region.AU)
    assert connection_from_environment({"INTERCOM_ACCESS_TOKEN": "", "INTERCOM_REGION": "xx"}) is None
    without_region = connection_from_environment({"INTERCOM_ACCESS_TOKEN": SECRET, "INTERCOM_REGION": ""})
    assert without_region is not None
    assert without_region.region is Region.US
    for faulty in ({"INTERCOM_ACCESS_TOKEN": f"{SECRET}\n"}, {"INTERCOM_ACCESS_TOKEN": SECRET, "INTERCOM_REGION": "x"}):
        assert "INTERCOM_ACCESS_TOKEN" in fault_of(lambda faulty=faulty: connection_from_environment(faulty))


@pytest.mark.parametrize("quotes", ['""', "''", "``", '" ', ' "', "' "])
def test_a_quoted_token_in_the_environment_is_refused(quotes: str) -> None:
    token = f"{quotes[0]}{SECRET}{quotes[1]}".strip()
    fault = fault_of(lambda: connection_from_environment({"INTERCOM_ACCESS_TOKEN": token}))
    assert "contains a quote" in fault
    assert SECRET not in fault


def test_block_before_file_before_environment(write: Write) -> None:
    environ = {"INTERCOM_ACCESS_TOKEN": "from-environment"}
    path = write(entry(name="default", access_token="from-file"))

    def token(file: Path | None, load_block: Callable[[str], Connection | None] = no_block) -> str:
        found = find_connection("default", connections_file=file, environ=environ, load_block=load_block)
        return found.access_token.get_secret_value()

    assert token(path, lambda name: known(name)) == SECRET
    assert token(path) == "from-file"
    assert token(write(entry(name="other"))) == "from-environment"


def test_the_file_in_the_working_directory_is_found(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(entry())
    monkeypatch.chdir(path.parent)
    assert find_connection("acme", connections_file=None, environ={}, load_block=no_block).name == "acme"
    path.unlink()
    fault = fault_of(lambda: find_connection("acme", connections_file=None, environ={}, load_block=no_block))
    assert "There is no connections.yml here: `intercom-lake init` writes one." in fault


def test_what_is_not_found_lists_what_is_there(write: Write) -> None:
    path = write(entry(name="my_intercom"))
    environ = {"INTERCOM_ACCESS_TOKEN": SECRET}
    fault = fault_of(lambda: find_connection("My X", connections_file=path, environ=environ, load_block=no_block))
    for part in ("'My X'", "intercom-connection/my-x", f"{path} has 'my_intercom'", "--connection my_intercom"):
        assert part in fault
    assert "INTERCOM_ACCESS_TOKEN" not in fault  # which is that of `default`


def test_the_environment_beside_a_file_of_other_connections_is_remarked_on(write: Write) -> None:
    """Its workspace is most likely that of the file, whose region and rules do not hold then."""
    path, environ = write(entry(name="My EU")), {"INTERCOM_ACCESS_TOKEN": SECRET}
    found = find_connection("default", connections_file=path, environ=environ, load_block=no_block)
    assert found.remark.startswith(f"{path} is not used, since it has no connection 'default'")
    assert found.remark.endswith("--connection 'My EU'")
    assert find_connection("My EU", connections_file=path, environ=environ, load_block=no_block).remark == ""
    write(entry(name="default"))
    assert find_connection("default", connections_file=path, environ=environ, load_block=no_block).remark == ""
    path.unlink()
    assert find_connection("default", connections_file=None, environ=environ, load_block=no_block).remark == ""


def test_without_a_name_the_command_for_those_of_the_file_is_told(write: Write) -> None:
    path = write(entry(name="My EU"))
    fault = fault_of(lambda: find_connection("default", connections_file=path, environ={}, load_block=no_block))
    for part in ("'default'", "--connection 'My EU'", "INTERCOM_ACCESS_TOKEN"):
        assert part in fault


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    environ = {"INTERCOM_ACCESS_TOKEN": SECRET}
    missing = tmp_path / "no.yml"
    fault = fault_of(lambda: find_connection("default", connections_file=missing, environ=environ, load_block=no_block))
    assert str(missing) in fault


@pytest.mark.parametrize("other", [{"access_token": "${NOPE}"}, {"name": "${NOPE}"}, {"region": "${NOPE}"}])
def test_variables_of_other_connections_need_not_be_set(other: dict[str, str], write: Write) -> None:
    path = write(entry() + entry(**{"name": "other", **other}).split("\n", 2)[2])
    assert find_connection("acme", connections_file=path, environ={}, load_block=no_block).name == "acme"
    assert "NOPE" in fault_of(lambda: read_connections_file(path, {}))


def test_a_wrong_key_in_another_connection_is_an_error(write: Write) -> None:
    path = write(entry() + entry(name="other", tokn="x").split("\n", 2)[2])
    fault = fault_of(lambda: find_connection("acme", connections_file=path, environ={}, load_block=no_block))
    assert "entry 2" in fault
