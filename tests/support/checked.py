"""`intercom-lake check` as `--json` tells it, and a server that plays Prefect's API for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import Any

import pytest

from intercom.cli.commands.check import check
from intercom.cli.options import list_of_names
from tests.support.rig import CONNECTION

TOKEN = "dG9rOmEtdG9rZW4tdGhhdC1ub2JvZHktbWF5LXNlZQ=="


class Checked:
    """One check as `--json` tells it: its exit status, and the findings by name."""

    def __init__(self, capsys: pytest.CaptureFixture[str], **options: Any) -> None:
        capsys.readouterr()
        options = {"connection": CONNECTION, **options}
        if isinstance(options.get("tables"), str):
            options["tables"] = list_of_names(options["tables"])
        self.status = check(**options, json=True)
        printed = capsys.readouterr()
        assert printed.err == ""
        assert TOKEN not in printed.out
        self.told = json.loads(printed.out)
        assert (self.told["ok"], self.told["exit_status"]) == (self.status == 0, self.status)
        self.findings: list[dict[str, Any]] = self.told["checks"]

    def __getitem__(self, name: str) -> dict[str, Any]:
        (found,) = [finding for finding in self.findings if finding["check"] == name]
        return found

    def states(self) -> dict[str, str]:
        return {finding["check"]: finding["status"] for finding in self.findings}

    def failed(self) -> list[str]:
        return [finding["check"] for finding in self.findings if finding["status"] == "fail"]


Check = Callable[..., Checked]


def whole_text(finding: dict[str, Any]) -> str:
    return f"{finding['detail']} {finding.get('cure', '')}"


class PlayedPrefect(ThreadingHTTPServer):
    """Answers some paths as Prefect's API does, 404 all others; `status` for all of them if it is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Any] = {"/api/health": True, "/api/admin/version": version("prefect")}
        self.status: int | None = None
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api"


class _Handler(BaseHTTPRequestHandler):
    server: PlayedPrefect

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        there = path in self.server.answers
        answer = self.server.answers.get(path, {"detail": "Not Found"})
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(self.server.status or (200 if there else 404))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def block(played: PlayedPrefect, **values: Any) -> None:
    played.answers["/api/block_types/slug/intercom-connection/block_documents/name/acme"] = {"data": values}
