"""Laws of masking: however a server repeats a token, no run of eight of its characters is shown."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intercom.api.response import HttpResponse, read_answer, read_refusal
from intercom.config.secret_masking import WITHHELD, SecretMask
from tests.support.effort import effort

TOKENS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="[]()"), min_size=16, max_size=60
).filter(lambda token: len(set(token)) > 6)
ENCODERS = {
    "as it is": str,
    "URL": lambda text: quote(text, safe=""),
    "all of a URL": lambda text: "".join(f"%{ord(c):02x}" if ord(c) < 256 else c for c in text),
    "HTML": html.escape,
    "all of HTML": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "all of JSON": lambda text: "".join(f"\\u{ord(c):04X}" for c in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "hexadecimal": lambda text: text.encode().hex(),
    "lines": lambda text: "\n".join(text[at : at + 5] for at in range(0, len(text), 5)),
}
ENCODED = st.lists(st.sampled_from(list(ENCODERS)), max_size=2)


def runs(token: str) -> set[str]:
    return {token[at : at + 8].lower() for at in range(len(token) - 7)}


def plain(text: str) -> list[str]:
    """The text and what a reader would make of it."""
    escaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    forms = [text, unquote(text), html.unescape(text), html.unescape(unquote(text)), escaped]
    return [form.lower() for one in forms for form in (one, "".join(one.split()))]


@settings(max_examples=effort(50, 1500))
@given(token=TOKENS, how=ENCODED, before=st.text(max_size=30), after=st.text(max_size=30), data=st.data())
def test_no_run_of_a_token_is_shown(token: str, how: list[str], before: str, after: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(token) - 8))
    part = token[start : data.draw(st.integers(start + 8, len(token)))]
    echoed = part
    for name in how:
        echoed = ENCODERS[name](echoed)
    mask = SecretMask([token])
    shown = mask.clean(f"{before} {echoed} {after}", 200)
    assert not [run for run in runs(token) for form in plain(shown) if run in form]
    whole = " ".join(echoed.split())
    assert len(whole) < 8 or len(whole) > 150 or whole not in shown
    assert token not in repr(mask)


@pytest.mark.parametrize(
    "echo",
    [
        ENCODERS["base64 for URLs"],
        lambda token: f"0{token.encode().hex()}",
        lambda token: "".join(f"\\{ord(c):03o}" for c in token),
    ],
    ids=["base64 with a - or _ in every group", "hexadecimal after one more digit", "octal"],
)
def test_what_chance_seldom_brings_is_not_shown(echo: Callable[[str], str]) -> None:
    token = "k1>m2?p3~q4>r5?s6~"
    assert SecretMask([token]).clean(f"now {echo(token)} now") == WITHHELD


@settings(max_examples=effort(20, 600))
@given(token=TOKENS, how=ENCODED, status=st.sampled_from([200, 400, 401, 500, 502]), data=st.data())
def test_no_failure_shows_a_token(token: str, how: list[str], status: int, data: st.DataObject) -> None:
    echoed = token
    for name in how:
        echoed = ENCODERS[name](echoed)
    body = data.draw(
        st.sampled_from(
            [
                json.dumps({"type": "error.list", "errors": [{"code": echoed, "message": echoed}]}),
                json.dumps({"type": "error.list", "request_id": echoed, "errors": [{"code": "unauthorized"}]}),
                f"<html>{echoed}</html>",
                echoed,
            ]
        )
    )
    received = HttpResponse(status, {"X-Request-Id": echoed, "Content-Type": f"text/{echoed}"}, body.encode())
    mask = SecretMask([token])
    for found in (read_refusal(received, mask), read_answer(received, ("data",), mask)):
        shown = repr(found) + repr(received)
        assert not [run for run in runs(token) for form in plain(shown) if run in form]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_a_text_without_secrets_is_only_put_into_one_line(text: str) -> None:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    assert SecretMask(["dG9rOnRoaXMtaXMtYS1zZWNyZXQ="]).clean(text) == line
    assert SecretMask([]).clean(text) == line
