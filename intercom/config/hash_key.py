"""The key that protected columns are hashed with."""

from __future__ import annotations

from typing import Final

from pydantic import SecretStr

from intercom.errors import ConfigurationError

SHORTEST_KEY: Final = 16
"""Characters."""


def checked_hash_key(given: str | SecretStr, place: str) -> SecretStr:
    """The key that values are hashed with; ConfigurationError for one that is too short."""
    key = given.get_secret_value() if isinstance(given, SecretStr) else given
    if len(key) < SHORTEST_KEY or key != key.strip():
        raise ConfigurationError(
            f"{place}: hash_key has fewer than {SHORTEST_KEY} characters, or blanks around it. Make one, for example "
            "by openssl rand -hex 32, and keep it: another key gives other hashes."
        )
    return SecretStr(key)
