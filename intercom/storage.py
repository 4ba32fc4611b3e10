"""How a lake's store is reached: options for fsspec, from a flow parameter or from a Prefect block's content. Pure.

Options that are secrets never come as a parameter, since Prefect keeps parameters as plain text: they stay in the
environment, in fsspec's configuration, in an AWS profile, or in a block.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from intercom.errors import ConfigurationError

_SECRETS: Final = ("key", "secret", "token", "password", "sas", "credential", "connection_string")
"""Words of which the names of secret options are made, in fsspec's filesystems."""
_NO_SECRETS: Final = ("ssekmskeyid", "sse_kms_key_id", "bucketkeyenabled", "key_file", "token_uri")

BLOCK_TYPES: Final = ("secret", "aws-credentials", "minio-credentials")
"""Slugs of the Prefect block types that `from_block` knows."""


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a flow parameter; ConfigurationError when one of them is a secret, without its value."""
    for name in _names(options):
        plain = name.lower().replace("-", "_")
        if plain not in _NO_SECRETS and any(word in plain for word in _SECRETS):
            raise ConfigurationError(
                f"The storage option {name!r} is a secret, and Prefect keeps flow parameters as plain text. Put it "
                "into the environment, fsspec's configuration or an AWS profile, or save the options as a Secret "
                "block and give that block's name: storage_options='secret/<name>'. Nothing was read."
            )
    return dict(options)


def block_named(reference: str) -> tuple[str, str]:
    """Type slug and name of a block given as ``secret/my-lake``; ConfigurationError for anything else."""
    kind, _, name = reference.partition("/")
    if kind not in BLOCK_TYPES or not name or "/" in name:
        raise ConfigurationError(
            f"The storage options {reference!r} name no block. Give one as '<type>/<name>' with one of the types "
            f"{', '.join(BLOCK_TYPES)}, or give fsspec's options themselves as a JSON object. Nothing was read."
        )
    return kind, name


def from_block(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a block's content: those of s3fs from credentials, any filesystem's as they are from a Secret.

    Fields as in Prefect's collection prefect-aws, which need not be installed here. ConfigurationError when a Secret
    holds no object.
    """
    if kind == "secret":
        value = data.get("value")
        if not isinstance(value, Mapping):
            raise ConfigurationError(
                "The Secret block with the storage options holds no JSON object. Save one, for example "
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
        "client_kwargs": _present({"region_name": data.get("region_name"), "verify": _verified(client)}),
    }
    return _present(options)


def _verified(client: Mapping[str, Any]) -> Any:
    """A file of certificates, or False where none are checked; nothing where that is not said."""
    if client.get("verify") is False:
        return False
    return client.get("verify_cert_path")


def _present(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, {})}


def _names(options: Mapping[str, Any]) -> Iterator[str]:
    """The names of all options, also of nested ones."""
    for name, value in options.items():
        yield name
        if isinstance(value, Mapping):
            yield from _names(value)
