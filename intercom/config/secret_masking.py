"""Mask for secrets in texts of others: a plain secret is replaced, a text with an encoded one is withheld. Pure.

A server that repeats what it was sent may do so escaped, packed into a URL, into HTML or base64, cut off, or broken by
a line end. So a text is decoded in every usual way, several times over. Where a run of eight characters of a secret
comes out, the text is not shown.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final
from urllib.parse import unquote

_RUN: Final = 8
"""Characters of a secret that give it away, in any case; shorter runs are in any text by chance."""
_MOST: Final = 2_000
"""Characters of a text that are checked, and so the most that is shown."""
_ROUNDS: Final = 4
"""Encodings, one inside another, that are decoded."""
_MOST_FORMS: Final = 400
"""Decoded forms of one text that are checked."""
WITHHELD: Final = "(not shown: it holds a part of a secret)"

_ESCAPE = re.compile(r"\\(?:u\{?([0-9a-fA-F]{4,6})\}?|x([0-9a-fA-F]{2})|([0-7]{3})|(.))", re.DOTALL)
_QUOTED = re.compile(r"=(?:\s+|([0-9a-fA-F]{2}))")
_PACKED = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_MOST_NAME = 100  # characters
_CODE = re.compile(r"[a-z]+(_[a-z]+){0,7}")
_NAME = re.compile(rf"[A-Za-z0-9._:-]{{1,{_MOST_NAME}}}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}[\s:]?){4,}")


class SecretMask:
    """Takes secrets out of texts, with ``label`` in their place. Its repr shows none of them."""

    def __init__(self, secrets: Iterable[str], label: str = "[token]") -> None:
        self._label, self._secrets, self._withholds = label, tuple(secrets), False
        found: dict[int, set[str]] = {}
        for secret in self._secrets:
            for form in _forms_of(secret):
                size = min(_RUN, len(form))
                found.setdefault(size, set()).update(form[at : at + size] for at in range(len(form) - size + 1))
        self._runs = {size: frozenset(runs) for size, runs in found.items()}

    def __repr__(self) -> str:
        return "SecretMask()"

    def withholding(self) -> SecretMask:
        """A mask that shows no text at all, and of names only those of an error's code or a request."""
        mask = SecretMask(self._secrets, self._label)
        mask._withholds = True
        return mask

    def clean(self, text: str, most: int = _MOST) -> str:
        """The text in one line of at most ``most`` printable characters, without any run of a secret's characters."""
        if self._withholds:
            return text if len(text) <= most and _CODE.fullmatch(text) else ""
        text = " ".join("".join(c if c.isprintable() else " " for c in text[:_MOST]).split())
        text = self._masked(text)[:most]
        return WITHHELD if self.finds(text) else text

    def name(self, text: str) -> str:
        """The same as ``clean`` for a short name, such as a request's id, in a tenth of the time."""
        if _NAME.fullmatch(text) and not any(map(self._holds, set(_decodings(text)))):
            return text
        return self.clean(text, _MOST_NAME)

    def finds(self, text: str) -> bool:
        """Whether a run of a secret is in the text, plain or encoded."""
        return bool(self._runs) and any(self._holds(form) for form in _decoded(text))

    def _masked(self, text: str) -> str:
        folded = text.casefold() if len(text.casefold()) == len(text) else text.lower()
        if len(folded) != len(text):  # some letter's other case has two characters
            return WITHHELD if self._holds(text) else text
        inside = [False] * len(text)
        for size, runs in self._runs.items():
            for at in range(len(text) - size + 1):
                if folded[at : at + size] in runs:
                    inside[at : at + size] = [True] * size
        shown = []
        for at, hidden in enumerate(inside):
            if not hidden:
                shown.append(text[at])
            elif not at or not inside[at - 1]:
                shown.append(self._label)
        return "".join(shown)

    def _holds(self, text: str) -> bool:
        folded = text.casefold()
        return any(
            not runs.isdisjoint([folded[at : at + size] for at in range(len(folded) - size + 1)])
            for size, runs in self._runs.items()
        )


def _forms_of(secret: str) -> Iterator[str]:
    """The secret in lower case and, if it is base64 itself, as Intercom's tokens are, its decoded text."""
    if not secret:
        return
    yield secret.casefold()
    with suppress(ValueError):
        inner = base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True).decode("ascii")
        if len(inner) >= _RUN and inner.isprintable():
            yield inner.casefold()


def _decoded(text: str) -> Iterator[str]:
    """The text, and all that it decodes to in several rounds; with and without blanks and line ends."""
    seen: set[str] = set()
    forms = [text]
    for _ in range(_ROUNDS):
        following: list[str] = []
        for form in forms:
            for decoded in _decodings(form):
                if decoded not in seen and len(seen) < _MOST_FORMS:
                    seen.add(decoded)
                    following.append(decoded)
                    yield decoded
        forms = following


def _decodings(text: str) -> Iterator[str]:
    """One round of decoding, in each way. A way that does not apply gives the text itself."""
    yield text
    yield "".join(c for c in text if "!" <= c <= "~")
    yield html.unescape(text)
    yield unquote(text)
    yield _ESCAPE.sub(_unescaped, text)
    yield _QUOTED.sub(lambda found: chr(int(found[1], 16)) if found[1] else "", text)
    for found in _HEX.finditer(text):
        digits = re.sub(r"[\s:]", "", found[0])
        for start in (0, 1):
            part = digits[start:]
            yield bytes.fromhex(part[: len(part) // 2 * 2]).decode("latin-1")
    for found in _PACKED.finditer(text):
        packed = found[0].replace("-", "+").replace("_", "/")
        for start in range(4):  # of a cut text the start of its groups of four is unknown
            part = packed[start:]
            part = part[: len(part) // 4 * 4] if len(part) % 4 == 1 else part + "=" * (-len(part) % 4)
            with suppress(ValueError):
                yield base64.b64decode(part).decode("latin-1")


def _unescaped(found: re.Match[str]) -> str:
    number = found[1] or found[2]
    if number:
        value = int(number, 16)
        return chr(value) if value < 0x110000 else ""
    if found[3]:
        return chr(int(found[3], 8))
    return " " if found[4] in "nrtbfv" else found[4]
