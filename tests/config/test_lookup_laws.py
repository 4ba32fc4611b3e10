"""Laws of connections: whatever stands in a file, it is read whole or refused without showing a secret."""

from __future__ import annotations

import re
import tempfile
import traceback
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from intercom.config.connection import connection_slug, make_connection
from intercom.config.lookup import read_connections_file
from intercom.errors import ConfigurationError

tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1).filter(
    lambda t: "${" not in t and t == t.strip("\"'`")
)
names = st.text(min_size=1).filter(lambda name: re.search("[a-z0-9]", name.lower()) and "${" not in name)


def read(text: str | bytes, environ: dict[str, str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "connections.yml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return dict(read_connections_file(path, environ))


@given(name=names)
def test_slugs_hold_allowed_characters_only_and_are_their_own_slug(name: str) -> None:
    slug = connection_slug(name)
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", slug)
    assert connection_slug(slug) == slug


@given(name=names, token=tokens, region=st.sampled_from(["us", "EU", " au "]), cap=st.none() | st.integers(1, 9999))
def test_what_is_written_is_read(name: str, token: str, region: str, cap: int | None) -> None:
    values = {"name": name, "access_token": token, "region": region, "requests_per_10s": cap}
    found = read(yaml.safe_dump({"connections": {"intercom": [values]}}), {})
    assert found == {
        name: make_connection(name=name, access_token=token, region=region, requests_per_10s=cap, place="")
    }


@given(parts=st.lists(tokens, min_size=1, max_size=4))
def test_variables_are_replaced_wherever_they_stand(parts: list[str]) -> None:
    environ = {f"V{number}": part for number, part in enumerate(parts)}
    template = "-".join(f"${{{name}}}" for name in environ)
    values = {"name": "a", "access_token": template}
    found = read(yaml.safe_dump({"connections": {"intercom": [values]}}), environ)
    assert found == {"a": make_connection(name="a", access_token="-".join(parts), place="")}


@given(rubbish=st.binary(max_size=60) | st.text(alphabet="-:{}[]#&*!|>'\"%@`, \n\tab${}", max_size=60).map(str.encode))
def test_no_rubbish_gets_past_or_shows_the_secret(rubbish: bytes) -> None:
    secret, shown = b"dG9rOnRoaXMtaXMtYS1zZWNyZXQ", ""
    try:
        read(b"connections:\n  intercom:\n  - name: a\n    access_token: " + secret + rubbish, {})
    except ConfigurationError as error:
        shown = "".join(traceback.format_exception(error))
    assert secret.decode() not in shown
