"""URL, options and credentials of a lake's store for deltalake, which does not use fsspec."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from intercom.errors import ConfigurationError
from intercom.lake.storage import Lake

_AWS = re.compile(r"https://s3(\.[a-z0-9-]+)?\.amazonaws\.com")
"""AWS's own addresses, which follow from the region."""

_ENCRYPTION = {"ServerSideEncryption": "AWS_SERVER_SIDE_ENCRYPTION", "SSEKMSKeyId": "AWS_SSE_KMS_KEY_ID"}


def table_uri(lake: Lake, folder: str) -> str:
    """The URI of a folder of the lake for deltalake.

    Raises ConfigurationError where Delta tables are not supported: in stores other than local folders and S3, and in
    paths with ``%``, because deltalake decodes ``%41`` to ``A`` in some of its steps and not in others.
    """
    path = f"{lake.url}/{folder}"
    if not lake.local and not path.startswith(("s3://", "s3a://")):
        raise ConfigurationError(
            f"The lake {lake.url} cannot have Delta tables: they need a local folder or S3. Leave out --table-format, "
            "or give another lake. Nothing was read."
        )
    if "%" in path:
        raise ConfigurationError(
            f"There can be no Delta table in {path}: deltalake cannot work with '%' in a path. Name the connection "
            "with letters, digits, '_', '-' and '.' only, and take a lake without '%', or leave out --table-format. "
            "Nothing was read."
        )
    return f"{'file' if lake.local else 's3'}://{quote(path.partition('://')[2])}"


def storage_options(lake: Lake, *, to_write: bool = True) -> dict[str, str]:
    """deltalake's options for the lake's store, with the credentials that s3fs uses now; empty for a local lake.

    Those for writing depend on what the store can do, which is found out by a trial write.

    They hold secrets. Call this each time a table is opened, because the credentials of a role expire.
    """
    if lake.local:
        return {}
    fs = lake.filesystem
    bucket = lake.url.partition("://")[2].split("/")[0]
    endpoint = str(fs.s3.meta.endpoint_url)
    options = {
        "AWS_REGION": _region(fs, bucket),
        **_credentials(fs),
        **(_commits(lake) if to_write else {}),
    }
    if not _AWS.fullmatch(endpoint):
        options["AWS_ENDPOINT_URL"] = endpoint
        options["AWS_ALLOW_HTTP"] = str(endpoint.startswith("http://")).lower()
    if fs.client_kwargs.get("verify") is False:
        options["AWS_ALLOW_INVALID_CERTIFICATES"] = "true"
    encryption = fs.s3_additional_kwargs
    return options | {ours: encryption[theirs] for theirs, ours in _ENCRYPTION.items() if theirs in encryption}


def _commits(lake: Lake) -> dict[str, str]:
    """Of two commits of the same version one must fail. In some stores only the table's lock prevents both."""
    if lake.creates_exclusively():
        return {"AWS_CONDITIONAL_PUT": "etag"}
    return {"AWS_CONDITIONAL_PUT": "disabled", "AWS_S3_ALLOW_UNSAFE_RENAME": "true"}


def credentials_in(options: Mapping[str, str]) -> list[str]:
    """The credentials among these options. They are removed from errors: S3 repeats a token that it refuses."""
    names = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
    return [options[name] for name in names if options.get(name)]


def _region(fs: Any, bucket: str) -> str:
    """The bucket's own region: s3fs follows redirects from another one, deltalake does not."""
    answer = fs.call_s3("head_bucket", Bucket=bucket)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region") or fs.s3.meta.region_name)


def _credentials(fs: Any) -> dict[str, str]:
    if fs.anon:
        return {"AWS_SKIP_SIGNATURE": "true"}
    given = fs.client_kwargs
    key = fs.key or given.get("aws_access_key_id")
    if key:
        token = fs.token or given.get("aws_session_token")
        if not token and os.environ.get("AWS_SESSION_TOKEN"):
            raise ConfigurationError(
                "The lake's storage options have a key without a session token, and the environment has an "
                "AWS_SESSION_TOKEN, which deltalake would send with that key. Unset it, or give all credentials in one "
                "of the two places. Nothing was read."
            )
        return _named(key, fs.secret or given.get("aws_secret_access_key"), token)
    found = asyncio.run_coroutine_threadsafe(_resolved(fs.session), fs.loop).result()
    return {} if found is None else _named(found.access_key, found.secret_key, found.token)


async def _resolved(session: Any) -> Any:
    """Credentials of the environment, a profile or a role, renewed if they are about to expire."""
    found = await session.get_credentials()
    return None if found is None else await found.get_frozen_credentials()


def _named(key: str, secret: str, token: str | None) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        **({"AWS_SESSION_TOKEN": token} if token else {}),
    }
