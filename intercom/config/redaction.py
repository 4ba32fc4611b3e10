"""What must not be shown or kept as plain text: passwords and signatures in addresses, options named like secrets.

Prefect keeps flow parameters as plain text. The JSON schemas here let its server refuse a run before it keeps them;
they know the same names as `holds_secret`, which is asked when the run begins. Pure.
"""

from __future__ import annotations

import re
from typing import Any, Final

_WORDS: Final = "key|secret|token|passw|passphrase|auth|sas|credential|connection_string"
"""Of which the names of secret options are made, in fsspec's filesystems."""
_WHOLE_WORDS: Final = "pass|pwd|cookies|private"
"""That name a secret where they stand alone: between ``_``, ``-``, ``.``, or the humps of camel case."""
_NAMES_OF_NONE: Final = ".*kms.*|bucketkeyenabled|key_file(name)?|token_uri"
_VALUES_OF_NONE: Final = (None, True, False, "anon", "cloud", "google_default")
_DEEP: Final = 3
"""Levels of options that a schema looks into. The check when a run begins looks into all of them."""


def _in_any_case(pattern: str) -> str:
    """Spelled out, since the patterns of JSON schema know no flags."""
    return re.sub("[a-z]", lambda letter: f"[{letter[0]}{letter[0].upper()}]", pattern)


def _secret_names(any_letters: str) -> str:
    """A pattern of whole names, whose other letters are of some kind."""
    some, humps = any_letters, "|".join(word.title() for word in _WHOLE_WORDS.split("|"))
    return (
        f"({some}({_in_any_case(_WORDS)}){some}"
        f"|({some}[_.-])?({_in_any_case(_WHOLE_WORDS)})([_.-]{some})?"
        f"|({some}[_.-])?({_WHOLE_WORDS})[A-Z0-9]{some}"
        f"|({some}[_.a-z0-9-])?({humps})([_.A-Z0-9-]{some})?)"
    )


_NONE: Final = _in_any_case(_NAMES_OF_NONE)
_SECRET_NAME: Final = f"^(?!({_NONE})$)" + _secret_names(r"[\s\S]*") + "$"
_SIGNED: Final = f"({_in_any_case('sig')}|[A-Za-z0-9_.-]*({_in_any_case('signature|token|secret|password')}))="
"""A parameter of a URL that is as good as a password, as in Azure's SAS and in signed URLs of S3 and Google."""
_PASSWORD: Final = f"://[^/@]*:[^/]*@|(^|[?&;]){_SIGNED}"
_PASSWORD_IN_TEXT: Final = f'://[^/@"]*:[^/"]*@|["?&;]{_SIGNED}'
_SECRET_IN_TEXT: Final = (
    '"(?!('
    + _NONE.replace(".*", '[^"]*')
    + ')")'
    + _secret_names('[^"]*')
    + (r'"\s*:\s*(?!\s|null|true|false|"anon"|"cloud"|"google_default")')
)

WITHOUT_PASSWORD: Final[dict[str, Any]] = {"not": {"type": "string", "pattern": _PASSWORD}}
"""JSON schema of a URL, or of what may be one."""
WITHOUT_SECRETS: Final[dict[str, Any]] = {
    "not": {"anyOf": [{"pattern": _PASSWORD_IN_TEXT}, {"pattern": _SECRET_IN_TEXT}]}
}
"""JSON schema of options as text."""


def options_without_secrets(deep: int = _DEEP) -> dict[str, Any]:
    """JSON schema of options as an object."""
    if not deep:
        return WITHOUT_PASSWORD
    inner = options_without_secrets(deep - 1)
    named = {_SECRET_NAME: {"enum": list(_VALUES_OF_NONE)}}
    return {**WITHOUT_PASSWORD, "patternProperties": named, "additionalProperties": inner, "items": inner}


def holds_secret(name: str, value: object) -> bool:
    """Whether an option of this name, with a value that is no object, should be nobody's to see."""
    named = re.search(_SECRET_NAME, name) is not None and value not in _VALUES_OF_NONE
    return named or (isinstance(value, str) and has_password(value))


def has_password(url: str) -> bool:
    """Whether an address names a user and a password, or is signed."""
    return re.search(_PASSWORD, url) is not None


def without_passwords(text: str) -> str:
    """The text with ``...`` in place of users, passwords and signatures in its addresses."""
    return re.sub(rf"([?&;]{_SIGNED})[^&;\s\"'<>]+", r"\1...", re.sub(r"//[^/\s]*@", "//...@", text))
