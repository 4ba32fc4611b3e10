"""Prefect's API by plain HTTP, for a look from a shell: Prefect's own client takes two seconds to import.

Only GET requests are sent. Values of blocks are the same as those that runs see (`documents.load_values`).
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from intercom.config.connection import Connection, connection_slug, make_connection
from intercom.config.redaction import one_line, without, without_passwords
from intercom.errors import ConfigurationError, PrefectError
from intercom.orchestration.server.api_settings import ApiSettings

_TIMEOUT = httpx.Timeout(10.0, connect=3.0)
_TRIES = 3
_PAUSE_SECONDS = 0.5
_OPTIONAL: dict[str, type] = {
    "region": str,
    "base_url": str,
    "requests_per_10s": int,
    "requests_in_flight": int,
    "deleted": str,
    "columns": dict,
    "hash_key": str,
}
"""Fields that a block may lack, and the kinds of their values."""


class PlainApi:
    """Prefect's API at a configured address; safe for several threads.

    Methods raise PrefectError, which says what to do, when the API refuses, does not answer, or is something else.
    """

    def __init__(self, settings: ApiSettings) -> None:
        assert settings.url is not None
        self.url = without_passwords(settings.url)
        self._place = settings.place
        self._secrets = list(settings.headers.values())
        try:
            trusted = ssl.create_default_context(cafile=settings.certificates) if settings.certificates else True
            self._client = httpx.Client(
                base_url=settings.url,
                headers=dict(settings.headers),
                verify=trusted if settings.verify else False,
                timeout=_TIMEOUT,
                follow_redirects=True,
            )
        except (OSError, httpx.InvalidURL, UnicodeEncodeError) as error:  # a file of certificates, an address, a header
            kind = type(error).__name__
            raise ConfigurationError(
                f"Prefect's API at {self.url} (from {self._place}) cannot be used as configured: {kind}. Check "
                "PREFECT_API_URL, PREFECT_API_KEY, PREFECT_API_SSL_CERT_FILE and PREFECT_CLIENT_CUSTOM_HEADERS."
            ) from None

    def close(self) -> None:
        """Close all sockets; no request may be under way."""
        self._client.close()

    def get(self, path: str) -> Any | None:
        """The JSON at a path below the API's address; None where there is no such thing (404)."""
        answer = self._answer(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise PrefectError(
                f"Prefect's API at {self.url} refuses (status {answer.status_code}). Check PREFECT_API_KEY, or "
                "PREFECT_API_AUTH_STRING of a server with a password.",
                refused=True,
            )
        if answer.is_error:
            raise self._unusable(f"answers with status {answer.status_code}", refused=answer.is_client_error)
        try:
            return answer.json()
        except ValueError:
            raise self._unusable("answers, but not as Prefect does", refused=True) from None

    def block_values(self, kind: str, name: str) -> dict[str, Any] | None:
        """The values of a block document, with its secrets and unchecked; None when there is none."""
        document = self.get(f"/block_types/slug/{quote(kind)}/block_documents/name/{quote(name)}?include_secrets=true")
        if document is None:
            return None
        if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
            raise self._unusable("answers, but not as Prefect does", refused=True)
        return dict(document["data"])

    def check_health(self) -> None:
        """Raise PrefectError unless this is Prefect's API, and answers."""
        if self.get("/health") is None:
            raise self._unusable("answers, but not as Prefect does", refused=True)

    def _answer(self, path: str) -> httpx.Response:
        """The answer, after some tries while the server is busy: on SQLite it then answers with 503."""
        for tries_left in reversed(range(_TRIES)):
            try:
                answer = self._client.get(path)
            except httpx.HTTPError as error:
                what = "nobody listens there" if isinstance(error, httpx.ConnectError) else type(error).__name__
                raise PrefectError(
                    f"Prefect's API at {self.url} (from {self._place}) does not answer: {what} "
                    f"({without(one_line(error), self._secrets)}). Start that server, or take the setting away: "
                    "sync then starts a temporary server.",
                    refused=False,
                ) from None
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or not tries_left:
                break
            time.sleep(_PAUSE_SECONDS)
        return answer

    def _unusable(self, what: str, *, refused: bool) -> PrefectError:
        return PrefectError(
            f"Prefect's API at {self.url} (from {self._place}) {what}. Check the address: that of a server of your own "
            "ends with /api.",
            refused=refused,
        )


def connection_of(name: str, values: Mapping[str, Any]) -> Connection:
    """The connection that a block's values make; ConfigurationError, which names the field, for one of another kind."""
    place = f"block intercom-connection/{connection_slug(name)}"
    token = values.get("access_token")
    given: dict[str, Any] = {field: values.get(field) for field in _OPTIONAL}
    given["region"] = given["region"] or "us"
    wrong = [] if isinstance(token, str) else ["access_token"]
    wrong += [field for field, value in given.items() if value is not None and not isinstance(value, _OPTIONAL[field])]
    if wrong or not isinstance(token, str):
        raise ConfigurationError(
            f"{place}: {', '.join(wrong)} has no value of the right kind. Correct it in Prefect's UI (Blocks)."
        )
    return make_connection(name=name, access_token=token, **given, place=place)
