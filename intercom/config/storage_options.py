"""Storage options: fsspec's options for a lake's store, from a flow parameter or from a Prefect block. Pure.

Secret options are never a parameter, since Prefect keeps parameters as plain text: they stay in the environment, in
fsspec's configuration, in an AWS profile, or in a block.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from intercom.config.redaction import SHORTEST_SECRET, harmless, holds_secret
from intercom.errors import ConfigurationError

BLOCK_TYPES: Final = ("secret", "aws-credentials", "minio-credentials")
"""Slugs of the Prefect block types that `options_from_block` knows."""
_REFERENCE: Final = "[a-z0-9-]{0,24}(/[a-z0-9-/]*)?"
"""The shape of references that are shown. A long word without '/' may be a key that was given in a block's place."""


def parse_options(text: str) -> dict[str, Any] | str:
    """Options given as text: those of a JSON object, or the text itself, which is the name of a block then.

    Raises ConfigurationError for a broken object.
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"The storage options are not a JSON object: {error}. Nothing was read.") from None
    return found


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a flow parameter. Raises ConfigurationError, which does not show the value, for a secret one."""
    for name, value in _values(options):
        if holds_secret(name, value):
            raise ConfigurationError(
                f"The storage option {name!r} holds a secret, and Prefect keeps flow parameters as plain text. Put it "
                "into the environment, fsspec's configuration or an AWS profile, or save the options as a Secret "
                "block and give that block's name: storage_options='secret/<name>'. Nothing was read."
            )
    return dict(options)


def secret_values(options: Mapping[str, Any]) -> list[str]:
    """The values of secret options, also of nested ones and those of a block. No message may show them.

    Values shorter than `SHORTEST_SECRET` are left out: they would be taken out of any message.
    """
    found = [value for name, value in _values(options) if isinstance(value, str) and holds_secret(name, value)]
    return [value for value in found if len(value) >= SHORTEST_SECRET]


def block_named(reference: str) -> tuple[str, str]:
    """Type slug and name of a block given as ``secret/my-lake``; raises ConfigurationError for anything else."""
    kind, _, name = reference.partition("/")
    if kind not in BLOCK_TYPES or not name or "/" in name:
        raise ConfigurationError(
            f"The storage options {harmless(reference, _REFERENCE)} do not name a block. Give one as '<type>/<name>' "
            f"with one of the types {', '.join(BLOCK_TYPES)}, or give fsspec's options themselves as a JSON object. "
            "Nothing was read."
        )
    return kind, name


def options_from_block(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The options in the content of a block: s3fs's from credentials, any filesystem's from a Secret, as they are.

    Source of the fields: Prefect's collection prefect-aws, which need not be installed here. Raises
    ConfigurationError when a Secret holds no object.
    """
    if kind == "secret":
        value = data.get("value")
        if isinstance(value, str):  # typed into a form
            with suppress(ValueError):
                value = json.loads(value)
        if not isinstance(value, Mapping):
            raise ConfigurationError(
                "The Secret block with the storage options does not contain a JSON object. Save one, for example "
                '{"key": "...", "secret": "...", "endpoint_url": "https://..."}. Nothing was read.'
            )
        return dict(value)
    client = data.get("aws_client_parameters") or {}
    options = {
        "key": data.get("aws_access_key_id") or data.get("minio_root_user"),
        "secret": data.get("aws_secret_access_key") or data.get("minio_root_password"),
        "token": data.get("aws_session_token"),
        "profile": data.get("profile_name"),
        "endpoint_url": client.get("endpoint_url"),
        "use_ssl": client.get("use_ssl"),
        "config_kwargs": client.get("config"),
        "client_kwargs": _present({"region_name": data.get("region_name"), "verify": _verified(client)}),
    }
    return _present(options)


def _verified(client: Mapping[str, Any]) -> Any:
    """The option ``verify``: a file of certificates, False to check none, None if the block does not set it."""
    verify = client.get("verify")
    return client.get("verify_cert_path") or (verify if verify is False or isinstance(verify, str) else None)


def _present(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, {})}


def _values(options: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of all options, also of nested ones."""
    if isinstance(options, Mapping):
        for inner, value in options.items():
            yield from _values(value, str(inner))
    elif isinstance(options, list):
        for value in options:
            yield from _values(value, name)
    else:
        yield name, options
