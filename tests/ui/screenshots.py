"""The pictures of README and documentation: ``python -m tests.ui.screenshots``.

With the argument ``report`` only that of the page of a lake. Else it also starts a Prefect server, a simulated
workspace and a worker, runs the deployment `sync`, and photographs Prefect's UI.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import FloatRect

from intercom.config.connection import connection_slug
from intercom.report.facts import read_facts
from intercom.report.page import as_html
from intercom.sandbox import SandboxServer, Workspace
from tests.support.browser import WIDTH, Browser, browser, chromium_started
from tests.support.prefect_server import ROOT, Prefect, inherited
from tests.support.reported import MADE_AT, leave_history, reported_lake

PICTURES: Final = ROOT / "deployments" / "docs" / "pictures"
CONNECTION: Final = "my_intercom"
INSTALLED: Final = "/srv/intercom-lake"
"""Where the package is in the pictures, instead of in the folder of whoever takes them."""


def main() -> None:
    photograph_report()
    if "report" in sys.argv[1:]:
        return
    workspace = Workspace.seeded(contacts=2000, conversations=600, now=time.time())
    with (
        tempfile.TemporaryDirectory(prefix="intercom-") as folder,
        _set_up(Path(folder), workspace) as prefect,
        _worker(prefect),
        browser(prefect) as ui,
    ):
        for changed in (0, 37, 12):
            for contact in workspace.rows("contacts")[:changed]:
                workspace.update("contacts", contact["id"], name="Somebody else")
            run = _run(prefect, f"{folder}/lake")
        long_ago = workspace.now() - 200 * 86_400
        workspace.create("contacts", created_at=long_ago, updated_at=long_ago)  # as if a run had not seen it
        _run(prefect, f"{folder}/lake", "intercom-verify/verify", ends="FAILED")
        _deploy(prefect, INSTALLED)
        PICTURES.mkdir(exist_ok=True)
        _take(ui, prefect.get("deployments/name/intercom-sync/sync")["id"], run)


def photograph_report() -> None:
    """The top of the page that `intercom-lake report` writes of a lake with a history."""
    sizes = {"contacts": 4000, "conversations": 3000, "companies": 300, "articles": 150, "tickets": 400}
    with (
        tempfile.TemporaryDirectory(prefix="intercom-") as folder,
        reported_lake(f"{folder}/lake", hostile=False, history_days=700, **sizes) as rig,
        chromium_started() as started,
    ):
        leave_history(rig, 160)
        facts = replace(read_facts(rig.lake(), rig.connection, MADE_AT), url="s3://acme-lake/crm")
        file = Path(folder, "report.html")
        file.write_text(as_html(facts), encoding="utf-8")
        page = started.new_page(viewport={"width": WIDTH, "height": 1475})
        page.goto(file.as_uri())
        picture = PICTURES / "report.png"
        page.screenshot(path=picture)
    Image.open(picture).convert("RGB").quantize(128).save(picture, optimize=True)
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1024} KB")


def _take(ui: Browser, deployment: str, run: str) -> None:
    ui.open(f"deployments/deployment/{deployment}", "Entrypoint")
    _photograph(ui, "deployment", 800)

    ui.open_run_form(deployment)
    ui.choose_tables("contacts", "conversations")
    _photograph(ui, "run-form", 1450)

    ui.open("blocks/catalog/intercom-connection/create", "Access token")
    _photograph(ui, "block-form", 930, shown=985)  # the picture beside the form is in the internet

    ui.open(f"runs/flow-run/{run}", "Artifacts")
    ui.page.get_by_role("tab", name="Artifacts").click()
    _photograph(ui, "run", 900)

    ui.open(f"artifacts/artifact/{_latest(ui)}", "data_attributes")
    _photograph(ui, "summary", 1000)

    ui.open(f"artifacts/artifact/{_latest(ui, 'contacts')}", "kind")
    _photograph(ui, "history", 600)

    ui.open(f"artifacts/artifact/{_latest(ui, 'verified')}", "contacts")
    _photograph(ui, "verification", 800)


def _latest(ui: Browser, table: str | None = None) -> str:
    """Id of the newest version of a table's artifact, or of the connection's overview."""
    key = f"intercom-{connection_slug(CONNECTION)}" + (f"-{table}" if table else "")
    asked = {"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}
    return str(ui.prefect.post("artifacts/filter", asked)[0]["id"])


@contextmanager
def _set_up(folder: Path, workspace: Workspace) -> Iterator[Prefect]:
    """A server with the connection and the deployments, and the workspace behind them."""
    prefect = Prefect(folder)
    prefect.start()
    try:
        with SandboxServer(workspace, rate_limit=166) as server:
            connections = folder / "connections.yml"
            connections.write_text(
                f"connections:\n  intercom:\n    - name: {CONNECTION}\n      access_token: {server.token}\n"
                f"      base_url: {server.base_url}\n",
                encoding="utf-8",
            )
            _do(prefect, "deployments/bootstrap.py", "--connections-file", str(connections))
            _deploy(prefect, str(ROOT))
            yield prefect
    finally:
        prefect.stop()


def _deploy(prefect: Prefect, folder: str) -> None:
    _do(prefect, "-m", "prefect", "--no-prompt", "deploy", "--all", PWD=folder)


@contextmanager
def _worker(prefect: Prefect) -> Iterator[None]:
    """A worker of the pool; it ends what it has begun."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "local-process"]
    with (
        (prefect.home / "worker.log").open("wb") as log,
        subprocess.Popen(
            command, env={**inherited(), **prefect.environment}, cwd=prefect.home, stdout=log, stderr=log
        ) as worker,
    ):
        try:
            yield
        finally:
            worker.terminate()


def _run(prefect: Prefect, lake: str, deployment: str = "intercom-sync/sync", ends: str = "COMPLETED") -> str:
    """Id of a run of a deployment, which must end in this state."""
    deployment = prefect.get(f"deployments/name/{deployment}")["id"]
    parameters = {"connection": CONNECTION, "lake": lake}
    run = str(prefect.post(f"deployments/{deployment}/create_flow_run", {"parameters": parameters})["id"])
    if (state := prefect.state_of(run)) != ends:
        raise SystemExit(f"The run for the pictures is {state}.")
    return run


def _do(prefect: Prefect, *command: str, **environment: str) -> None:
    done = prefect.run(*command, **environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def _photograph(ui: Browser, name: str, height: int, shown: int = WIDTH) -> None:
    """The page down to that height, once it has come to rest; `shown` of its width, if not all."""
    ui.page.set_viewport_size({"width": WIDTH, "height": height})
    ui.page.wait_for_timeout(6000)  # the chart of a run draws itself bit by bit
    picture = PICTURES / f"{name}.png"
    part = FloatRect(x=0, y=0, width=shown, height=height)
    ui.page.screenshot(path=picture, animations="disabled", caret="hide", clip=part)
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
