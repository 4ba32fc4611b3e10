"""Settings of a process that runs flows, from environment variables: ``INTERCOM_`` and the name of a field.

For what belongs to a machine or a deployment (its ``job_variables: env``) and not to a single run, whose settings are
the flow's parameters.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from intercom.config.redaction import without_passwords
from intercom.errors import ConfigurationError

_PREFIX = "INTERCOM_"


def _shown(value: object) -> str:
    """The value as it was given, without the user and password that an address may have."""
    text = str(value)
    return repr(without_passwords(text) if "@" in text else text)


class EnvironmentSettings(BaseSettings):
    """Base of settings; made by `read`. A field's description is shown as the cure where a value is not valid."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True)

    @classmethod
    def read(cls) -> Self:
        """The settings of this process; ConfigurationError for values that are not valid, with all variables."""
        try:
            return cls()
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False)
            names = {str(fault["loc"][0]): fault["input"] for fault in faults}
            raise ConfigurationError(
                " ".join(
                    f"{_PREFIX}{name.upper()} is {_shown(value)}. {cls.model_fields[name].description}"
                    for name, value in names.items()
                )
            ) from None

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Without blanks around values; one of nothing else is as if the variable were not set."""
        stripped = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in stripped.items() if value != ""}
