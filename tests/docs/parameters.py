"""The pages of commands and of flow parameters, made of the commands and of the flows themselves."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cyclopts import App
from cyclopts.argument import Argument

from intercom.cli import app
from intercom.tables.catalogue import TABLES
from intercom.tables.selection import GROUPS
from tests.support.markdown import ROOT

_COMMANDS = """# Commands

All commands with their options. `intercom-lake COMMAND --help` shows the same in a terminal.

If an option is given twice, the last one counts. If options, connections file, variables or lake are wrong, a command
reports all mistakes at once, before it imports Prefect. [Exit codes](exit-codes.md) says how commands end.

`python flows/sync.py` is the same as `intercom-lake sync`, `flows/reconcile.py` as `intercom-lake reconcile`, and
`flows/compact.py` as `intercom-lake compact`. `flows/verify.py` runs `intercom-lake verify` as a flow of Prefect.

"""
_FLOWS = """# Flow parameters

The parameters of the flows have the same names as the options of the commands. In Prefect the rarely used ones are
members of the object `advanced`:

```yaml
parameters:
  connection: my_intercom
  tables: [contacts, conversations]
  advanced:
    compact: always
```

If a parameter is wrong, Prefect refuses the run when it is created.

"""
FLOWS: Final = ("sync", "reconcile", "compact", "verify")


def commands_page() -> str:
    """All commands with their options, as Markdown."""
    shell = app._app()
    names = [name for name in shell if not name.startswith("-")]
    lines = ["| command | what it does |", "|---|---|"]
    lines += [f"| [`intercom-lake {name}`](#{name}) | {shell[name].help} |" for name in names]
    for name in names:
        lines += ["", f"## {name}", "", *_command(shell, name)]
    return _COMMANDS + "\n".join(lines) + "\n"


def _command(shell: App, name: str) -> Iterator[str]:
    command = shell[name]
    arguments = command.assemble_argument_collection()
    yield f"{command.help}{_more(command)}"
    yield ""
    yield "| option | default | meaning |"
    yield "|---|---|---|"
    for argument in arguments:
        yield f"| {_option(argument)} | {_default(argument)} | {_escaped(str(argument.parameter.help))} |"


def _more(command: App) -> str:
    """What the function's docstring says below its first line."""
    text = inspect.getdoc(command.default_command) or ""
    below = [" ".join(part.split()) for part in text.split("\n\n")[1:]]
    return "".join(f"\n\n{part}" for part in below)


def _option(argument: Argument) -> str:
    names = " ".join(f"`{name}`" for name in argument.names)
    choices = argument.get_choices()
    shown = argument.parameter.metavar or ("" if _is_flag(argument) or choices else _kind(argument))
    if choices:
        shown = ", ".join(f"`{choice}`" for choice in choices)
    return _escaped(f"{names} {shown}".strip())


def _is_flag(argument: Argument) -> bool:
    return argument.hint is bool


def _kind(argument: Argument) -> str:
    return str(getattr(argument.hint, "__name__", argument.hint)).upper()


def _default(argument: Argument) -> str:
    if argument.required:
        return "required"
    default = argument.field_info.default
    if default is True:
        return "yes"
    return "" if default is None or default is False or default in ((), "") else f"`{default}`"


def parameters_page() -> str:
    """The parameters of all flows, as Markdown."""
    parts = []
    for name in FLOWS:
        flow = flow_of(name)
        parts.append(f"## {flow.name}\n\n`flows/{name}.py`. {_summary(flow)}\n\n{_table(flow.parameters.model_dump())}")
    return _FLOWS + "\n\n".join(parts) + "\n"


def flow_of(name: str) -> Any:
    from prefect.flows import load_flow_from_entrypoint

    return load_flow_from_entrypoint(f"{ROOT}/flows/{name}.py:{name}")


def _summary(flow: Any) -> str:
    return " ".join((inspect.getdoc(flow.fn) or "").partition("Args:")[0].split())


def _table(parameters: Mapping[str, Any]) -> str:
    lines = ["| parameter | type | default | meaning |", "|---|---|---|---|"]
    groups: list[tuple[str, Mapping[str, Any]]] = []
    for name, entry in parameters["properties"].items():
        group = _group(entry, parameters["definitions"])
        if group is not None:
            groups.append((name, group))
            continue
        lines.append(_parameter(name, entry))
    for name, group in groups:
        lines += [_parameter(f"{name}.{inside}", entry) for inside, entry in group["properties"].items()]
    return "\n".join(lines)


def _group(entry: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    referred = entry.get("$ref") or next((one["$ref"] for one in entry.get("allOf", ()) if "$ref" in one), None)
    return None if referred is None else definitions[referred.rpartition("/")[2]]


def _parameter(name: str, entry: Mapping[str, Any]) -> str:
    default = entry.get("default")
    shown = (
        ""
        if default in (None, [], False)
        else f"`{default}`"
        if isinstance(default, str)
        else f"`{json.dumps(default)}`"
    )
    text = " ".join(str(entry.get("description", "")).split())
    return f"| `{name}` | {_escaped(_kinds(entry))} | {shown} | {_escaped(text)} |"


def _kinds(entry: Mapping[str, Any]) -> str:
    """The types in words; null, which stands for an empty field, is left out."""
    kinds = [_one_kind(one) for one in entry.get("anyOf", [entry]) if one.get("type") != "null"]
    return " or ".join(kinds)


def _one_kind(entry: Mapping[str, Any]) -> str:
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return "a table or group" if set(entry["enum"]) == {*GROUPS, *TABLES} else _words(entry["enum"])
    if entry.get("type") == "array":
        return f"list: each {_one_kind(entry['items'])}"
    if entry.get("format") == "date":
        return "day (YYYY-MM-DD)"
    limits = [str(entry[key]) for key in ("minimum", "maximum") if key in entry]
    word = {"string": "text", "boolean": "yes or no", "integer": "whole number", "object": "object"}[entry["type"]]
    return f"{word}, {' to '.join(limits)}" if limits else word


def _words(words: Sequence[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
