"""A flow's parameters as shell options, read from the text of its file: help and mistakes are answered without Prefect.

The names, types and defaults are the flow function's own, the help is its docstring's. A parameter may be a group, a
model in `intercom.config.parameters`: then its fields are options like all others, shown apart.

The text is read, and the function not imported: the help of a command takes 0.2 s, most of it cyclopts, and the import
of Prefect alone ten times that.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

from intercom.config.storage_options import parse_options
from intercom.errors import ConfigurationError

_DESCRIBED = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)
_GROUPS_FILE = Path(__file__).parents[1] / "config" / "parameters.py"
_RARE = Group("Rarely needed", sort_key=1)


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """A flow's name and summary, its options as parameters of a function, and which options are fields of a group."""

    flow: str
    summary: str
    options: Sequence[inspect.Parameter]
    groups: Mapping[str, list[str]]

    @property
    def defaults(self) -> dict[str, Any]:
        """The value of each option that is not given."""
        return {option.name: option.default for option in self.options}

    def parameters(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the flow is called with: the options of a group as one object."""
        grouped = {group: {name: options[name] for name in names} for group, names in self.groups.items()}
        inside = {name for names in self.groups.values() for name in names}
        return {name: value for name, value in options.items() if name not in inside} | grouped

    def command(
        self, name: str, run: Callable[[dict[str, Any]], int], more: Sequence[inspect.Parameter] = ()
    ) -> Callable[..., int]:
        """A function for cyclopts with these options and `more`: it calls `run` with those that are given, by name."""

        def command(**given: Any) -> int:
            return run(given)

        command.__name__, command.__doc__ = name, self.summary
        command.__signature__ = inspect.Signature([*self.options, *more], return_annotation=int)  # type: ignore[attr-defined]
        command.__annotations__ = {option.name: option.annotation for option in (*self.options, *more)}
        return command


@dataclass(frozen=True, slots=True)
class _Field:
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
    options: list[inspect.Parameter] = []
    groups: dict[str, list[str]] = {}
    for parameter, default in zip(flow.args.args, flow.args.defaults, strict=True):
        name, annotation = parameter.arg, parameter.annotation
        if isinstance(annotation, ast.Name) and annotation.id in models:
            fields = list(_fields_of(annotation, models))
            groups[name] = [field.name for field in fields]
            options += [_option(field, group=_RARE) for field in fields]
        else:
            options.append(_option(_Field(name, annotation, default, helps.get(name, ""))))
    return FlowOptions(flow.name, " ".join(summary.split()), options, groups)


def flag(name: str, described: str, group: Group | None = None) -> inspect.Parameter:
    """An option that is given or not."""
    return _parameter(name, bool, False, group, Parameter(help=described, negative=(), show_default=False))


def _parameter(name: str, kind: Any, default: Any, group: Group | None, shown: Parameter) -> inspect.Parameter:
    annotation = Annotated[kind, shown] if group is None else Annotated[kind, shown, Parameter(group=group)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


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


def _fields_of(model: ast.expr, models: Mapping[str, ast.ClassDef]) -> Iterator[_Field]:
    """Fields of the model, those that it inherits first, as Pydantic has them, each with its default."""
    if not isinstance(model, ast.Name) or model.id not in models:
        return
    for base in models[model.id].bases:
        yield from _fields_of(base, models)
    for field in models[model.id].body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.value:
            given = _given(field.value)
            text = str(ast.literal_eval(given["description"])) if "description" in given else ""
            yield _Field(field.target.id, field.annotation, given["default"], text)


def _given(value: ast.expr) -> dict[str | None, ast.expr]:
    """What a field has after the ``=``: the arguments of Field, or a default alone."""
    return {one.arg: one.value for one in value.keywords} if isinstance(value, ast.Call) else {"default": value}


def _option(field: _Field, group: Group | None = None) -> inspect.Parameter:
    kind = "" if field.annotation is None else ast.unparse(field.annotation)
    default = ast.literal_eval(field.default)
    described = " ".join(field.described.split())
    if kind == "bool":
        return flag(field.name, described, group)
    if choices := _choices(field.annotation):
        return _parameter(field.name, str, default, group, Parameter(help=described, choices=choices))
    if kind not in _KINDS:
        raise ValueError(f"Parameter {field.name!r} has the type {kind!r}, which no shell option has.")
    convert, metavar = _KINDS[kind]
    return _parameter(field.name, Any, default, group, parsed_by(convert, metavar, described, default))


def _choices(annotation: ast.expr | None) -> list[str] | None:
    """The words of a ``Literal["a", "b"]``."""
    if not isinstance(annotation, ast.Subscript) or ast.unparse(annotation.value) != "Literal":
        return None
    return list(ast.literal_eval(annotation.slice))


def _converter(convert: Callable[[str], Any]) -> Callable[[Any, Sequence[Token]], Any]:
    def converted(_kind: Any, tokens: Sequence[Token]) -> Any:
        return convert(tokens[-1].value)

    return converted


def parsed_by(convert: Callable[[str], Any], metavar: str, described: str, default: Any = None) -> Parameter:
    """An option whose text a function turns into its value; ValueError says what is wrong with it.

    An empty default is not shown: the option's own text says what happens without it.
    """
    return Parameter(
        help=described,
        metavar=metavar,
        converter=_converter(convert),
        n_tokens=1,
        accepts_keys=False,
        negative=(),
        show_default=bool(default),
    )


def storage_options_of(text: str) -> dict[str, Any] | str:
    """fsspec's options as an object, or the name of a block that has them."""
    try:
        return parse_options(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def columns_of(text: str) -> dict[str, Any]:
    """Columns to protect, by table."""
    from intercom.config.column_rules import parse_columns  # with Pydantic: help must not wait for it

    try:
        return parse_columns(text)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def day_or_all(text: str) -> date | str:
    try:
        return text if text == "all" else date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a day, such as 2026-05-01, nor the word all") from None


def list_of_names(text: str) -> list[str]:
    """Names separated by commas; none at all is a mistake, such as an unset shell variable, and must not mean all."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise ValueError("give at least one name")
    return found


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a day. Write it as YYYY-MM-DD") from None


_KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "ConnectionName": (str, "NAME"),
    "LakeURL": (str, "URL"),
    "FilePath | None": (str, "FILE"),
    "LookbackText": (str, "26h,TABLE=2d"),
    "SampleSize": (int, "N"),
    "RequestCount": (int, "N"),
    "Sequence[TableName]": (list_of_names, "A,B,..."),
    "StoreText | StoreObject | None": (storage_options_of, "JSON|BLOCK"),
    "RulesText | RulesObject | None": (columns_of, "JSON"),
    "StartDate | None": (day_or_all, "YYYY-MM-DD|all"),
    "Day | None": (_day, "YYYY-MM-DD"),
}
"""By annotation: how an option's text becomes the parameter, and how the help shows it."""
