"""Where the report of a lake can be read, as the one who publishes it says: the overview of a connection links it."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from pydantic import Field, field_validator

from intercom.orchestration.settings import EnvironmentSettings

_CONNECTION: Final = "{connection}"


class ReportSettings(EnvironmentSettings):
    """The address of the page that ``intercom-lake report`` writes, in Prefect's overview of each connection."""

    report_url: str = Field(
        default="",
        description="Give the address of a web page, from http:// or https:// on, without user, password, blanks, "
        f"parentheses or braces other than {_CONNECTION}, which stands for the connection's name.",
    )

    @field_validator("report_url")
    @classmethod
    def _of_a_page(cls, value: str) -> str:
        """Nothing, or an address that ends a markdown link where it ends."""
        if not value:
            return value
        split = urlsplit(value)
        _ = split.port  # as above, ValueError for what is no address
        text = value.replace(_CONNECTION, "")
        plain = all("!" <= character <= "~" and character not in "(){}<>\\`" for character in text)
        if split.scheme not in ("http", "https") or not split.hostname or "@" in split.netloc or not plain:
            raise ValueError("not the address of a web page")
        return value

    def page_of(self, connection: str) -> str | None:
        """The address of a connection's report; None if nobody has said one."""
        return self.report_url.replace(_CONNECTION, quote(connection, safe="")) or None
