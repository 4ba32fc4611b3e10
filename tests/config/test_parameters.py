"""What the flows' parameters are to Prefect's server, which refuses a run by their schema, and to the flow itself."""

from __future__ import annotations

import re
from calendar import monthrange
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.schema_tools.validation import ValidationError, validate

from intercom.config.parameters import SyncOptions
from intercom.errors import ConfigurationError
from intercom.tables.catalogue import TABLES
from intercom.tables.selection import GROUPS

FLOWS = Path(__file__).parents[2] / "flows"


@pytest.fixture(scope="module")
def sync() -> Flow[..., Any]:
    return load_flow_from_entrypoint(f"{FLOWS / 'sync.py'}:sync")


@pytest.fixture(scope="module")
def compact() -> Flow[..., Any]:
    return load_flow_from_entrypoint(f"{FLOWS / 'compact.py'}:compact")


def fault(flow: Flow[..., Any], parameters: dict[str, Any]) -> str | None:
    """What the server finds wrong when a run with the parameters is created, by the same call."""
    try:
        validate(parameters, flow.parameters.model_dump_for_openapi(), raise_on_error=True)
    except ValidationError as error:
        return str(error)
    return None


def test_tables_are_chosen_by_group_and_by_name(sync: Flow[..., Any], compact: Flow[..., Any]) -> None:
    for flow in (sync, compact):
        tables = flow.parameters.properties["tables"]
        assert (tables["type"], tables["items"]["enum"], tables["default"]) == ("array", [*GROUPS, *TABLES], [])


GOOD: list[dict[str, Any]] = [
    {},
    {"tables": []},
    {"tables": ["default", "data_attributes"]},
    {"tables": ["all"]},
    {"tables": ["contacts", "data_attributes"], "start_date": "2026-01-31", "end_date": None},
    {"connection": "my_intercom", "lake": "s3://bucket/prefix"},
    {"advanced": {}},
    {"advanced": {"compact": "always"}},
    {"advanced": {"storage_options": {"profile": "lake"}, "table_format": "delta", "connections_file": None}},
    {"advanced": {"storage_options": "secret/lake", "connections_file": "connections.yml"}},
    {"advanced": {"storage_options": {"token": "anon", "key_file": "a.json", "client_kwargs": {"verify": False}}}},
    {"advanced": {"storage_options": '{"profile": "key", "s3_additional_kwargs": {"SSEKMSKeyId": "alias/lake"}}'}},
    {
        "advanced": {
            "storage_options": {"s3_additional_kwargs": {"SSEKMSKeyId": "alias/lake", "BucketKeyEnabled": True}}
        }
    },
    {"advanced": {"storage_options": '{"token": "anon", "endpoint_url": "http://127.0.0.1:9000", "x": "a:b@c"}'}},
    {"advanced": {"storage_options": {"token": "cloud", "endpoint_url": "https://minio.example.com:9000"}}},
    {"start_date": "2028-02-29", "end_date": "2400-02-29"},
    {"start_date": "all"},
    {"start_date": None},
    {"lookback": "2d"},
    {"lookback": "1h, contacts=6h"},
]
BAD: list[dict[str, Any]] = [
    {"connection": ""},
    {"lake": ""},
    {"lake": None},
    {"tables": "contacts"},
    {"tables": ["contacs"]},
    {"full_refresh": "perhaps"},
    {"start_date": "yesterday"},
    {"start_date": "2026-1-5"},
    {"start_date": "2026-00-10"},
    {"end_date": "2026-02-30"},
    {"end_date": "2026-11-31"},
    {"end_date": "2026-13-01"},
    {"end_date": "2026-05-01T12:00:00"},
    {"advanced": {"compact": "sometimes"}},
    {"advanced": {"table_format": "csv"}},
    {"advanced": {"compacted": "always"}},
    {"advanced": {"connections_file": ""}},
    {"advanced": {"storage_options": ["profile"]}},
    {"advanced": {"storage_options": {"key": "AKIA", "anon": False}}},
    {"advanced": {"storage_options": {"secret": "s"}}},
    {"advanced": {"storage_options": {"aws_secret_access_key": "s"}}},
    {"advanced": {"storage_options": {"account_key": "s"}}},
    {"advanced": {"storage_options": '{"key": "AKIA", "secret": "s"}'}},
    {"advanced": {"storage_options": '{"client_kwargs": {"aws_secret_access_key" : "s"}}'}},
    {"advanced": {"storage_options": '{"token": "s"}'}},
    {"advanced": {"storage_options": '{"KEY":\n"s"}'}},
    {"advanced": {"storage_options": '{"endpoint_url": "https://me:s@minio.example.com"}'}},
    {"advanced": {"storage_options": {"token": "s"}}},
    {"advanced": {"storage_options": {"Key": "s"}}},
    {"advanced": {"storage_options": {"sas_token": "s"}}},
    {"advanced": {"storage_options": {"client_kwargs": {"aws_session_token": "s"}}}},
    {"advanced": {"storage_options": {"config_kwargs": {"b": {"password": "s"}}}}},
    {"advanced": {"storage_options": {"endpoint_url": "https://me:s@minio.example.com"}}},
    {"advanced": {"storage_options": {"client_kwargs": {"proxies": ["http://me:s@proxy"]}}}},
    {"lake": "s3://KEY:s@bucket/prefix"},
    {"start_date": "All"},
    {"start_date": "all "},
    {"start_date": ""},
    {"end_date": "all"},
    {"start_date": "2027-02-29"},
    {"start_date": "2100-02-29"},
    {"advanced": "always"},
    {"lookback": 26},
    {"lookback": "26"},
    {"lookback": "companies=6h"},
]


@pytest.mark.parametrize("parameters", GOOD)
def test_parameters_as_a_deployment_has_them_are_taken(sync: Flow[..., Any], parameters: dict[str, Any]) -> None:
    assert fault(sync, parameters) is None
    taken = sync.validate_parameters(parameters)
    assert isinstance(taken.get("advanced", SyncOptions()), SyncOptions)


@pytest.mark.parametrize("parameters", BAD)
def test_a_bad_value_is_refused_when_the_run_is_created(sync: Flow[..., Any], parameters: dict[str, Any]) -> None:
    assert fault(sync, parameters)


def test_the_flow_that_merges_has_no_options_of_reading(compact: Flow[..., Any]) -> None:
    assert fault(compact, {"advanced": {"table_format": "delta"}}) is None
    assert fault(compact, {"advanced": {"connections_file": "connections.yml"}})
    with pytest.raises(ParameterTypeError):
        compact.validate_parameters({"advanced": {"compact": "never"}})


@pytest.mark.parametrize("name", ["start_date", "end_date"])
def test_days_are_those_of_the_calendar(sync: Flow[..., Any], name: str) -> None:
    pattern = sync.parameters.properties[name]["anyOf"][0]["pattern"]
    for month in range(1, 13):
        days = monthrange(2028, month)[1]  # a leap year
        taken = [day for day in range(40) if re.search(pattern, f"2028-{month:02}-{day:02}")]
        assert taken == list(range(1, days + 1))


def test_storage_options_may_be_typed_as_text() -> None:
    assert SyncOptions(storage_options='{"profile": "lake"}').store() == {"profile": "lake"}
    assert SyncOptions(storage_options="secret/lake").store() == "secret/lake"
    assert SyncOptions().store() is None
    with pytest.raises(ConfigurationError, match="not a JSON object") as refused:
        SyncOptions(storage_options='{"key": "hidden"').store()
    assert "hidden" not in str(refused.value)
