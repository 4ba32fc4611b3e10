"""Shell options are the flow's parameters: read from its text, taken by the flow."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest
from cyclopts import App, CoercionError, Parameter
from prefect.flows import load_flow_from_entrypoint

from intercom.cli.options import FlowOptions, flow_options

ROOT = Path(__file__).parents[2]
SYNC = ROOT / "flows" / "sync.py"


def given(options: FlowOptions, arguments: Sequence[str]) -> dict[str, Any]:
    """What the options' command is called with."""
    taken: list[dict[str, Any]] = []

    def keep(values: dict[str, Any]) -> int:
        taken.append(values)
        return 0

    app = App()
    app.default(options.command("test", keep))
    app(arguments, result_action="return_value", exit_on_error=False, print_error=False)
    return options.defaults | taken[0]


@pytest.mark.parametrize("name", ["sync", "reconcile", "compact", "verify"])
def test_options_are_the_flows_parameters(name: str) -> None:
    file = ROOT / "flows" / f"{name}.py"
    flow = load_flow_from_entrypoint(f"{file}:{name}")
    options = flow_options(file)
    assert options.flow == name
    parameters = {name: parameter.default for name, parameter in inspect.signature(flow.fn).parameters.items()}
    group = parameters.pop("advanced")
    assert given(options, []) == options.defaults == parameters | group.model_dump()
    helps = {option.name: _help(option) for option in options.options}
    described = {name: flow.parameters.properties[name]["description"] for name in parameters}
    described |= {name: field.description for name, field in type(group).model_fields.items()}
    assert helps == {name: " ".join(text.split()) for name, text in described.items()}


def _help(option: inspect.Parameter) -> str | None:
    return next(one.help for one in get_args(option.annotation) if isinstance(one, Parameter))


def test_options_are_taken_by_the_flow() -> None:
    options = flow_options(SYNC)
    shell = ["--tables", "tags, teams", "--full-refresh", "--start-date", "2026-05-01", "--compact", "never",
             "--storage-options", '{"profile": "lake"}']  # fmt: skip
    parameters = options.parameters(given(options, shell))
    taken = load_flow_from_entrypoint(f"{SYNC}:sync").validate_parameters(parameters)
    assert (list(taken["tables"]), taken["full_refresh"]) == (["tags", "teams"], True)
    assert (taken["start_date"], taken["end_date"]) == (date(2026, 5, 1), None)
    assert (taken["advanced"].compact, taken["advanced"].table_format) == ("never", "parquet")
    assert taken["advanced"].store() == {"profile": "lake"}
    parameters = options.parameters(given(options, ["--start-date", "all"]))
    assert load_flow_from_entrypoint(f"{SYNC}:sync").validate_parameters(parameters)["start_date"] == "all"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--tables", ","], "give at least one name"),
        (["--start-date", "yesterday"], "'yesterday' is neither a day, such as 2026-05-01, nor the word all"),
        (["--storage-options", '{"profile"'], "not a JSON object"),
        (["--compact", "sometimes"], '"auto", "always", "never"'),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_the_option(arguments: list[str], told: str) -> None:
    with pytest.raises(CoercionError) as caught:
        given(flow_options(SYNC), arguments)
    assert told in str(caught.value)
    assert arguments[0] in str(caught.value)


def test_a_parameter_that_no_option_can_give_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    file.write_text("@flow\ndef copy(rate: float = 1.0): ...\n")
    with pytest.raises(ValueError, match="'rate' has the type 'float'"):
        flow_options(file)
    file.write_text("def copy(): ...\n")
    with pytest.raises(ValueError, match="no function that is decorated"):
        flow_options(file)


def test_a_field_of_a_group_needs_no_text_to_be_an_option(tmp_path: Path) -> None:
    groups, file = tmp_path / "parameters.py", tmp_path / "flow.py"
    groups.write_text("class Options(BaseModel):\n    first: bool = False\n    last: Literal['a', 'b'] = 'b'\n")
    file.write_text("@flow\ndef copy(advanced: Options = Options()): ...\n")
    assert flow_options(file, groups).defaults == {"first": False, "last": "b"}
