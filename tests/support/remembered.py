"""What Prefect works out at each start of a process though it comes out the same: worked out once, before forks.

Reading its settings, writing them into the template of its logging, making validators of its models and the schemas of
the flows' parameters take half of the CPU time of a short run. Forks of `tests/support/warm.py` read the same settings
from the same places, and log as others do: `tests/test_warm.py` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from types import SimpleNamespace
from typing import Any

import prefect.flows
import prefect.settings
import yaml
from prefect.logging import configuration
from prefect.settings import Settings
from pydantic import BaseModel
from pydantic_settings.sources import base
from pydantic_settings.sources.providers import dotenv, env


def remember() -> None:
    """In this process and its forks, before flows are imported: their schemas are remembered."""
    _remember_how_settings_are_read()
    flows: Any = prefect.flows
    flows.parameter_schema = _remembered(flows.parameter_schema, _what_a_schema_says)
    logging: Any = configuration
    logging.get_current_settings = _ForATemplate
    logging.yaml = SimpleNamespace(
        safe_load=lambda text: yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    )
    # Told apart are settings of one process only, so passwords, which are not shown, need not be.
    settings: Any = Settings
    settings.hash_key = lambda settings: str(hash(repr(settings)))


def rehearse() -> None:
    """Do what is remembered, or put off until it is needed, after all imports."""
    _complete_models_below(BaseModel)
    Settings().copy_with_update()
    configuration.load_logging_config(configuration.DEFAULT_LOGGING_SETTINGS_PATH)


def _complete_models_below(model: type[BaseModel]) -> None:
    """Make the validators that Prefect puts off until a model is used."""
    for one in model.__subclasses__():
        if not one.__pydantic_complete__:
            one.model_rebuild(raise_errors=False)
        _complete_models_below(one)


def _remembered(function: Callable[..., Any], key: Callable[..., Hashable]) -> Callable[..., Any]:
    known: dict[Hashable, tuple[Any, Any]] = {}  # what was given is kept, too: an identity is of one object only

    @wraps(function)
    def remembered(*given: Any) -> Any:
        if (of := key(*given)) not in known:
            known[of] = function(*given), given
        return known[of][0]

    return remembered


def _remember_how_settings_are_read() -> None:
    """Which variables a field is read from, and whether they are JSON, is declared; the environment is read at once."""

    def of_field(_source: object, field: object) -> Hashable:
        return id(field)

    def of_names(source: Any, field: object, name: str, config: object = None) -> Hashable:
        return id(field), name, source.env_prefix, source.case_sensitive, id(config)

    def of_variables(variables: Any, *how: object) -> Hashable:
        # `os.environ` decodes each name and value that it is asked for, `_data` has them as bytes.
        return tuple(getattr(variables, "_data", variables).items()), how

    for source, name, key in (
        (base.PydanticBaseSettingsSource, "field_is_complex", of_field),
        (base.PydanticBaseEnvSettingsSource, "_extract_field_info", of_names),
        (env.EnvSettingsSource, "_field_is_complex", of_field),
    ):
        setattr(source, name, _remembered(getattr(source, name), key))
    modules: tuple[Any, ...] = (env, dotenv)
    parse = _remembered(modules[0].parse_env_vars, of_variables)
    for module in modules:
        module.parse_env_vars = lambda *given: dict(parse(*given))


def _what_a_schema_says(flow: Callable[..., Any]) -> Hashable:
    """Each load of a flow's file makes its function anew, with the same code."""
    given = flow.__annotations__, flow.__defaults__, flow.__kwdefaults__
    return flow.__code__, flow.__doc__, repr(given)


class _ForATemplate:
    """Settings in place of `Settings` whose values are looked up one by one: the template of logging has three."""

    def to_environment_variables(self, **_: object) -> _ForATemplate:
        return self

    def __getitem__(self, name: str) -> str:
        return str(getattr(prefect.settings, name).value())
