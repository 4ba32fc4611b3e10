"""A flow's parameters as shell options, read from the text of its file: help and mistakes are answered without Prefect.

The names, types and defaults are the flow function's own, the help is its docstring's. A parameter may be a group, a
model in `intercom.config.parameters`: then its fields are options like all others.

The text is read, and the function not imported, so that ``--help`` takes 0.3 to 0.4 s. On the same busy machine of two
cores the import of Pydantic alone took 0.6 s, and that of `intercom.config.parameters` with the names of tables 1.7 s.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from intercom.config.storage_options import parse_options
from intercom.errors import ConfigurationError

_DESCRIBED = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)
_GROUPS_FILE = Path(__file__).parents[1] / "config" / "parameters.py"


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """A flow's name, a parser of its parameters, and which of the options are the fields of which parameter."""

    flow: str
    parser: argparse.ArgumentParser
    groups: Mapping[str, list[str]]

    def parameters(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the flow is called with: the options of a group as one object."""
        grouped = {group: {name: options[name] for name in names} for group, names in self.groups.items()}
        inside = {name for names in self.groups.values() for name in names}
        return {name: value for name, value in options.items() if name not in inside} | grouped


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    annotation: ast.expr | None
    default: ast.expr
    described: str


def flow_options(path: Path, groups_file: Path = _GROUPS_FILE) -> FlowOptions:
    """The options of the file's flow; the models of groups are in another file.

    Raises ValueError for a file without a flow, or for a parameter that has no default or no type for a shell.
    """
    flow = _flow_in(path)
    models = {node.name: node for node in _body_of(groups_file) if isinstance(node, ast.ClassDef)}
    summary, _, described = (ast.get_docstring(flow) or "").partition("Args:\n")
    helps = dict(_DESCRIBED.findall(described))
    parser = argparse.ArgumentParser(description=summary.strip(), formatter_class=_DefaultsThatSayMore)
    groups: dict[str, list[str]] = {}
    for parameter, default in zip(flow.args.args, flow.args.defaults, strict=True):
        name, annotation = parameter.arg, parameter.annotation
        if isinstance(annotation, ast.Name) and annotation.id in models:
            fields = list(_fields_of(annotation, models))
            groups[name] = [field.name for field in fields]
        else:
            fields = [_Parameter(name, annotation, default, helps.get(name, ""))]
        for field in fields:
            _add(parser, field)
    return FlowOptions(flow.name, parser, groups)


class _DefaultsThatSayMore(argparse.ArgumentDefaultsHelpFormatter):
    """Shows an option's default, unless it is empty: then the option's own text says what happens without it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


def _body_of(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text(encoding="utf-8")).body


def _flow_in(path: Path) -> ast.FunctionDef:
    for node in _body_of(path):
        if isinstance(node, ast.FunctionDef) and any(_is_flow(decorator) for decorator in node.decorator_list):
            return node
    raise ValueError(f"{path} has no function that is decorated with @flow.")


def _is_flow(decorator: ast.expr) -> bool:
    name = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(name, ast.Name) and name.id == "flow"


def _fields_of(model: ast.expr, models: Mapping[str, ast.ClassDef]) -> Iterator[_Parameter]:
    """Fields of the model, those that it inherits first, as Pydantic has them, each with its default."""
    if not isinstance(model, ast.Name) or model.id not in models:
        return
    for base in models[model.id].bases:
        yield from _fields_of(base, models)
    for field in models[model.id].body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.value:
            given = _given(field.value)
            text = str(ast.literal_eval(given["description"])) if "description" in given else ""
            yield _Parameter(field.target.id, field.annotation, given["default"], text)


def _given(value: ast.expr) -> dict[str | None, ast.expr]:
    """What a field has after the ``=``: the arguments of Field, or a default alone."""
    return {one.arg: one.value for one in value.keywords} if isinstance(value, ast.Call) else {"default": value}


def _add(parser: argparse.ArgumentParser, parameter: _Parameter) -> None:
    option = f"--{parameter.name.replace('_', '-')}"
    kind = "" if parameter.annotation is None else ast.unparse(parameter.annotation)
    default = ast.literal_eval(parameter.default)
    described = " ".join(parameter.described.split())
    if choices := _choices(parameter.annotation):
        parser.add_argument(option, choices=choices, default=default, help=described)
    elif kind == "bool":
        parser.add_argument(option, action="store_true", help=described)
    elif kind in _KINDS:
        convert, shown = _KINDS[kind]
        parser.add_argument(option, type=convert, default=default, metavar=shown, help=described)
    else:
        raise ValueError(f"Parameter {parameter.name!r} has the type {kind!r}, which no shell option has.")


def _choices(annotation: ast.expr | None) -> list[str] | None:
    """The words of a ``Literal["a", "b"]``."""
    if not isinstance(annotation, ast.Subscript) or ast.unparse(annotation.value) != "Literal":
        return None
    return list(ast.literal_eval(annotation.slice))


def _object_or_name(text: str) -> dict[str, Any] | str:
    try:
        return parse_options(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _day_or_all(text: str) -> date | str:
    try:
        return text if text == "all" else date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a day, such as 2026-05-01, nor the word all") from None


def _names(text: str) -> list[str]:
    """Names separated by commas; none at all is a mistake, such as an unset shell variable, and must not mean all."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("give at least one name")
    return names


_KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "ConnectionName": (str, "TEXT"),
    "LakeURL": (str, "TEXT"),
    "FilePath | None": (str, "TEXT"),
    "Sequence[TableName]": (_names, "A,B,..."),
    "StoreText | StoreObject | None": (_object_or_name, "JSON|BLOCK"),
    "StartDate | None": (_day_or_all, "YYYY-MM-DD|all"),
    "Day | None": (date.fromisoformat, "YYYY-MM-DD"),
}
"""By annotation: how an option's text becomes the parameter, and how the help shows it."""
