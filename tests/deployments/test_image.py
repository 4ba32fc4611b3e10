"""The container image. There is no engine to build it with here: what can be checked without one."""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.scripts import ROOT, script

DOCKERFILE = ROOT / "deployments/Dockerfile"
IGNORE = ROOT / ".dockerignore"


def instructions() -> list[tuple[str, str]]:
    """Name and rest of each instruction, continued lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def of_kind(name: str) -> list[str]:
    return [rest for kind, rest in instructions() if kind == name]


def copied() -> list[str]:
    """What is copied from the project's folder."""
    copies = [shlex.split(rest) for rest in of_kind("COPY")]
    return [source for copy in copies if not copy[0].startswith("--from") for source in copy[:-1]]


def test_what_is_copied_exists_and_reaches_the_build() -> None:
    let_through = {line[1:] for line in IGNORE.read_text().splitlines() if line.startswith("!")}
    assert copied()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert Path(source).parts[0] in let_through, source


def test_nothing_else_reaches_the_build() -> None:
    lines = [line for line in IGNORE.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == {Path(source).parts[0] for source in copied()}


def test_versions_are_those_that_are_tested() -> None:
    (install,) = [rest for rest in of_kind("RUN") if "-c constraints.txt" in rest]
    assert "--python /opt/venv install" in install
    pinned = dict(line.split("==") for line in (ROOT / "deployments/constraints.txt").read_text().splitlines()[1:])
    assert pinned["prefect"] == version("prefect")


def test_each_command_has_the_packages_that_it_needs() -> None:
    """All extras but those for clusters, which are large and have workers of their own, and those of developers."""
    (installed,) = re.findall(r'"\.\[([a-z,]+)\]"', " ".join(of_kind("RUN")))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    left_out = {"dask", "ray", "test", "bench", "docs"}
    assert set(installed.split(",")) == set(project["optional-dependencies"]) - left_out


def test_runs_as_a_user_that_is_not_root_and_keeps_no_secret() -> None:
    assert int(of_kind("USER")[-1]) > 0
    last = max(place for place, (kind, _) in enumerate(instructions()) if kind == "USER")
    assert {kind for kind, _ in instructions()[last:]} == {"USER", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert [rest.partition("=")[0] for rest in of_kind("ARG")] == ["VERSION"]
    assert not re.search(r"TOKEN|SECRET|PASSWORD", " ".join(of_kind("ENV")))


def test_modules_are_compiled_when_the_image_is_built() -> None:
    assert all("--compile" in rest for rest in of_kind("RUN") if "pip" in rest)


def test_what_it_starts_is_there() -> None:
    assert json.loads(of_kind("ENTRYPOINT")[0])[0] == "tini"
    health = of_kind("HEALTHCHECK")[0].partition("CMD")[2]
    for command in (json.loads(of_kind("CMD")[0]), json.loads(health)):
        assert command[0] == "python"
        assert (ROOT / command[1]).is_file()


# -- the health check -------------------------------------------------------------------------------------------------


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Serves `status` at /health, as the web server of serve.py does."""
    answer = {"status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer["status"] if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("PREFECT_RUNNER_SERVER_PORT", str(server.server_port))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield answer
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_a_serving_container_is_as_well_as_its_runner(
    runner: dict[str, int], tmp_path: Path, status: int, healthy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked without the proxy that the container may have for the way to Intercom."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    runner["status"] = status
    (tmp_path / "cmdline").write_bytes(b"tini\0-g\0--\0python\0deployments/serve.py\0")
    assert (script("health").main(tmp_path / "cmdline") == 0) is healthy


def test_a_container_of_one_run_is_well_while_it_lives(tmp_path: Path, runner: dict[str, int]) -> None:
    runner["status"] = 503
    (tmp_path / "cmdline").write_bytes(b"tini\0-g\0--\0prefect\0flow-run\0execute\0")
    assert script("health").main(tmp_path / "cmdline") == 0


def test_the_health_check_needs_nothing_but_python() -> None:
    """It runs twice a minute: importing Prefect would cost seconds of CPU each time."""
    tree = ast.parse((ROOT / "deployments/health.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [getattr(node, "module", None) or node.names[0].name for node in imports]
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
