"""A flow's parameters as shell options, read from the text of its file: help and mistakes are answered without Prefect.

The names, types and defaults are the flow function's own, the help is its docstring's.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

_DESCRIBED = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def flow_options(path: Path) -> tuple[str, argparse.ArgumentParser]:
    """Name of the file's flow, and a parser of its parameters.

    Raises ValueError for a file without a flow, or for a parameter that has no default or no type for a shell.
    """
    flow = _flow_in(path)
    summary, _, described = (ast.get_docstring(flow) or "").partition("Args:\n")
    helps = {name: " ".join(text.split()) for name, text in _DESCRIBED.findall(described)}
    parser = argparse.ArgumentParser(
        description=summary.strip(), formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for parameter, default in zip(flow.args.args, flow.args.defaults, strict=True):
        _add(parser, parameter, ast.literal_eval(default), helps.get(parameter.arg, ""))
    return flow.name, parser


def _flow_in(path: Path) -> ast.FunctionDef:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and any(_is_flow(decorator) for decorator in node.decorator_list):
            return node
    raise ValueError(f"{path} has no function that is decorated with @flow.")


def _is_flow(decorator: ast.expr) -> bool:
    name = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(name, ast.Name) and name.id == "flow"


def _add(parser: argparse.ArgumentParser, parameter: ast.arg, default: Any, described: str) -> None:
    option = f"--{parameter.arg.replace('_', '-')}"
    kind = "" if parameter.annotation is None else ast.unparse(parameter.annotation)
    if choices := _choices(parameter.annotation):
        parser.add_argument(option, choices=choices, default=default, help=described)
    elif kind == "bool":
        parser.add_argument(option, action="store_true", help=described)
    elif kind in _KINDS:
        convert, shown = _KINDS[kind]
        parser.add_argument(option, type=convert, default=default, metavar=shown, help=described)
    else:
        raise ValueError(f"Parameter {parameter.arg!r} has the type {kind!r}, which no shell option has.")


def _choices(annotation: ast.expr | None) -> list[str] | None:
    """The words of a ``Literal["a", "b"]``."""
    if not isinstance(annotation, ast.Subscript) or ast.unparse(annotation.value) != "Literal":
        return None
    return list(ast.literal_eval(annotation.slice))


def _object_or_name(text: str) -> dict[str, Any] | str:
    """A JSON object, or the name of a block."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no JSON object: {error}") from None
    return found


def _names(text: str) -> list[str]:
    """Names separated by commas; none at all is a mistake, such as an unset shell variable, and must not mean all."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("give at least one name")
    return names


_KINDS: dict[str, tuple[Callable[[str], Any], str]] = {
    "str": (str, "TEXT"),
    "str | None": (str, "TEXT"),
    "list[str] | None": (_names, "A,B,..."),
    "dict[str, Any] | str | None": (_object_or_name, "JSON|BLOCK"),
    "date | None": (date.fromisoformat, "YYYY-MM-DD"),
}
"""By annotation: how an option's text becomes the parameter, and how the help shows it."""
