"""``python -m intercom.sandbox``: serve a synthetic workspace until it is told to stop."""

from __future__ import annotations

import argparse
import gc
import signal
from collections.abc import Sequence
from threading import Event

from intercom.sandbox.server import SandboxServer
from intercom.sandbox.workspace import Workspace


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m intercom.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--contacts", type=int, default=300)
    parser.add_argument("--companies", type=int, default=80)
    parser.add_argument("--conversations", type=int, default=150)
    parser.add_argument("--articles", type=int, default=40)
    parser.add_argument("--timezone", default="UTC", help="time zone of the calendar days that contact search compares")
    parser.add_argument("--history-days", type=int, default=5 * 365, help="records were created within this many days")
    parser.add_argument("--one-day", action="store_true", help="every record was created and changed yesterday")
    parser.add_argument("--rate-limit", type=int, default=166, help="requests per 10 seconds")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="milliseconds to wait before each answer")
    parser.add_argument("--no-compress", dest="compress", action="store_false", help="never send gzip")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Print the address and the token in one line, then serve until SIGTERM or SIGINT."""
    arguments = _parser().parse_args(argv)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    workspace = Workspace.seeded(
        seed=arguments.seed,
        contacts=arguments.contacts,
        companies=arguments.companies,
        conversations=arguments.conversations,
        articles=arguments.articles,
        timezone=arguments.timezone,
        history_days=arguments.history_days,
        one_day=arguments.one_day,
    )
    gc.freeze()  # so that garbage collection does not scan a million records again and again
    with SandboxServer(
        workspace,
        rate_limit=arguments.rate_limit,
        latency_seconds=arguments.latency_ms / 1000,
        port=arguments.port,
        compress=arguments.compress,
    ) as server:
        print(f"Sandbox workspace at {server.base_url}  token: {server.token}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
