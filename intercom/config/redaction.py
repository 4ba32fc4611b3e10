"""Ways to make a text, an error or a value harmless before it is shown or kept as plain text. Pure.

without_passwords   a text whose addresses lose users, passwords and signatures
without             a text, in one line, that also loses given secrets
one_line            an error's text in one line, without passwords
named               an error's class and the first line of its text, without passwords
harmless            a value of a short plain shape, quoted; anything else is not shown
holds_secret        whether an option is named like a secret, or holds an address with a password
WITHOUT_...         the same check as JSON schemas

Which one: an error of a library `one_line`; a value that a user gave `harmless`, since a token may stand in the wrong
place; a text of a server that knows our credentials `without`. A text of Intercom's API, which may repeat the token in
any encoding, goes through the connection's `SecretMask`.

Prefect keeps flow parameters as plain text. The JSON schemas let its server refuse a run before it keeps them; they
know the same names as `holds_secret`, which is asked when the run begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from intercom.config.secret_masking import SecretMask

SHORTEST_SECRET: Final = 6
"""Characters: fewer are in any text by chance."""
_HINT: Final = re.compile(r"\s*(- )?For more information check: \S+")
"""The end of an error of httpx, and so of Prefect's client: where to read about HTTP statuses."""

_WORDS: Final = "key|secret|token|passw|passphrase|auth|sas|credential|connection_string"
"""Parts of the names of secret options, in fsspec's filesystems."""
_WHOLE_WORDS: Final = "pass|pwd|cookies|private"
"""Words that make a name secret only where they stand alone: between ``_``, ``-``, ``.``, or in camel case."""
_HARMLESS_NAMES: Final = ".*kms.*|bucketkeyenabled|key_file(name)?|token_uri"
"""Names that look secret and are not."""
_HARMLESS_VALUES: Final = (None, True, False, "anon", "cloud", "google_default")
"""Values that are no secret under any name."""
_SCHEMA_DEPTH: Final = 3
"""Levels of nested options that a schema checks. The check when a run begins covers all levels."""


def _in_any_case(pattern: str) -> str:
    """The pattern for upper and lower case, spelled out: patterns of JSON schema have no flags."""
    return re.sub("[a-z]", lambda letter: f"[{letter[0]}{letter[0].upper()}]", pattern)


def _secret_names(any_letters: str) -> str:
    """A pattern of whole names of secrets; ``any_letters`` is the pattern of what may stand around the words."""
    some, humps = any_letters, "|".join(word.title() for word in _WHOLE_WORDS.split("|"))
    return (
        f"({some}({_in_any_case(_WORDS)}){some}"
        f"|({some}[_.-])?({_in_any_case(_WHOLE_WORDS)})([_.-]{some})?"
        f"|({some}[_.-])?({_WHOLE_WORDS})[A-Z0-9]{some}"
        f"|({some}[_.a-z0-9-])?({humps})([_.A-Z0-9-]{some})?)"
    )


_HARMLESS_NAME: Final = _in_any_case(_HARMLESS_NAMES)
_SECRET_NAME: Final = f"^(?!({_HARMLESS_NAME})$)" + _secret_names(r"[\s\S]*") + "$"
_SIGNED: Final = f"({_in_any_case('sig')}|[A-Za-z0-9_.-]*({_in_any_case('signature|token|secret|password')}))="
"""Pattern of a URL parameter that grants access like a password: Azure's SAS, signed URLs of S3 and Google."""
_PASSWORD: Final = f"://[^/@]*:[^/]*@|(^|[?&;]){_SIGNED}"
_PASSWORD_IN_TEXT: Final = f'://[^/@"]*:[^/"]*@|["?&;]{_SIGNED}'
_SECRET_IN_TEXT: Final = (
    '"(?!('
    + _HARMLESS_NAME.replace(".*", '[^"]*')
    + ')")'
    + _secret_names('[^"]*')
    + (r'"\s*:\s*(?!\s|null|true|false|"anon"|"cloud"|"google_default")')
)

WITHOUT_PASSWORD: Final[dict[str, Any]] = {"not": {"type": "string", "pattern": _PASSWORD}}
"""JSON schema of a text that is, or may be, a URL."""
WITHOUT_SECRETS: Final[dict[str, Any]] = {
    "not": {"anyOf": [{"pattern": _PASSWORD_IN_TEXT}, {"pattern": _SECRET_IN_TEXT}]}
}
"""JSON schema of options as text."""


def options_without_secrets(depth: int = _SCHEMA_DEPTH) -> dict[str, Any]:
    """JSON schema of options as an object, checked down to ``depth`` levels."""
    if not depth:
        return WITHOUT_PASSWORD
    inner = options_without_secrets(depth - 1)
    named = {_SECRET_NAME: {"enum": list(_HARMLESS_VALUES)}}
    return {**WITHOUT_PASSWORD, "patternProperties": named, "additionalProperties": inner, "items": inner}


def holds_secret(name: str, value: object) -> bool:
    """Whether an option is secret, by its name or by a password in its value. The value is no object."""
    named = re.search(_SECRET_NAME, name) is not None and value not in _HARMLESS_VALUES
    return named or (isinstance(value, str) and has_password(value))


def has_password(url: str) -> bool:
    """Whether an address has a user with a password, or is signed."""
    return re.search(_PASSWORD, url) is not None


def without_passwords(text: str) -> str:
    """The text with ``...`` in place of users, passwords and signatures in its addresses."""
    return re.sub(rf"([?&;]{_SIGNED})[^&;\s\"'<>]+", r"\1...", re.sub(r"//[^/\s]*@", "//...@", text))


def without(text: str, secrets: Iterable[str]) -> str:
    """The text in one line, at most 2,000 characters, with ``...`` in place of these secrets and of passwords.

    Secrets of fewer characters than `SHORTEST_SECRET` are taken out where they stand as they are; of longer ones also
    every part, and an encoded one withholds the text, as in `SecretMask`.
    """
    known = [secret for secret in secrets if secret]
    for secret in known:
        text = text.replace(secret, "...")
    mask = SecretMask([secret for secret in known if len(secret) >= SHORTEST_SECRET], label="...")
    return mask.clean(without_passwords(text))


def one_line(error: object) -> str:
    """An error's text in one line, without passwords; the name of its class when it has no text, as some of httpx."""
    return _line(str(error)) or type(error).__name__


def named(error: Exception) -> str:
    """An error's class and the first line of its text, without passwords: ``ValueError: no such month``."""
    name, first = type(error).__name__, _line(str(error).split("\n", 1)[0])
    return f"{name}: {first}" if first else name


def harmless(value: object, shape: str = r"[\w.-]{1,24}") -> str:
    """The value, quoted, where its text has this shape (a regular expression, ASCII); else a note that it is not shown.

    For values that a user gave: a token may stand in the wrong place.
    """
    text = str(value)
    return repr(text) if re.fullmatch(shape, text, re.ASCII) else "(not shown: it may hold a secret)"


def _line(text: str) -> str:
    return without_passwords(" ".join(_HINT.sub("", text).split()))
