"""Run a flow from the shell: its options are the flow's own parameters, with the help of the flow's docstring."""

from __future__ import annotations

import argparse
import inspect
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_type_hints

from prefect import Flow
from prefect.settings import (
    PREFECT_SERVER_ANALYTICS_ENABLED,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    temporary_settings,
)

from intercom.errors import IntercomLakeError
from intercom.sandbox import SandboxServer, Workspace

_LOCAL_SETTINGS: Mapping[Any, Any] = {
    PREFECT_SERVER_ANALYTICS_ENABLED: False,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS: 120,  # a cold start on a small machine takes over 20 s
}
"""For runs from a shell, where neither the environment nor a profile says otherwise."""


_DEMO_NOW = datetime(2026, 11, 2, 9, tzinfo=UTC).timestamp()


def run_from_shell(flow: Flow[..., Any], arguments: Sequence[str] | None = None) -> int:
    """Run the flow with the shell's options; 0 when it completed, 1 when it failed, 2 for options that do not exist."""
    options = vars(_parser(flow).parse_args(arguments))
    demo = options.pop("demo")
    _quiet_prefect()
    connection: AbstractContextManager[dict[str, str]] = _demo_connection() if demo else nullcontext({})
    with temporary_settings(set_defaults=_LOCAL_SETTINGS), connection as overrides:
        state: Any = flow(**{**options, **overrides}, return_state=True)
    if state.is_completed():
        return 0
    error = state.result(raise_on_failure=False)
    print(error if isinstance(error, IntercomLakeError) else state.message, file=sys.stderr)
    return 1


def _quiet_prefect() -> None:
    """This package's lines; of Prefect's only warnings, and not its tracebacks: failures are told by table."""
    logging.getLogger("prefect").setLevel(logging.WARNING)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _demo_connection() -> Iterator[dict[str, str]]:
    """Flow parameters for a simulated workspace on loopback, which lives as long as the block."""
    workspace = Workspace.seeded(seed=7, now=_DEMO_NOW)  # the same each time, so that a second demo is an increment
    with SandboxServer(workspace) as server, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "connections.yml")
        file.write_text(
            "connections:\n  intercom:\n"
            f'    - {{name: demo, access_token: "{server.token}", base_url: "{server.base_url}"}}\n',
            encoding="utf-8",
        )
        print(f"Sandbox workspace at {server.base_url}: synthetic data, no account needed", flush=True)
        yield {"connection": "demo", "connections_file": str(file)}


def _parser(flow: Flow[..., Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=(flow.description or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    kinds = get_type_hints(flow.fn)
    for name, parameter in inspect.signature(flow.fn).parameters.items():
        described = flow.parameters.properties[name].get("description", "")
        option = f"--{name.replace('_', '-')}"
        if kinds[name] is bool:
            parser.add_argument(option, action="store_true", help=described)
        else:
            convert, shown = _conversion(kinds[name])
            parser.add_argument(option, type=convert, default=parameter.default, metavar=shown, help=described)
    parser.add_argument("--demo", action="store_true", help="Copy a simulated workspace instead; no account needed.")
    return parser


def _conversion(kind: Any) -> tuple[Callable[[str], Any], str]:
    """How an option's text becomes a parameter of this type, and how the help shows it."""
    if kind == list[str] | None:
        return _names, "A,B,..."
    if kind == date | None:
        return date.fromisoformat, "YYYY-MM-DD"
    return str, "TEXT"


def _names(text: str) -> list[str]:
    """Names separated by commas; none at all is a mistake, such as an unset shell variable, and must not mean all."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("give at least one name")
    return names
