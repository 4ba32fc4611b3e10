"""All checks of `intercom-lake check`: lines of a terminal, what is imported and left, and Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from intercom.cli.commands.check import check
from tests.support.checked import TOKEN, PlayedPrefect, block
from tests.support.prefect_server import inherited
from tests.support.rig import BY_DEFAULT, CONNECTION, Rig
from tests.support.signals import children_get_sigint


def test_a_line_for_each_check_within_80_columns_and_nothing_is_made(
    rig: Rig, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(connection=CONNECTION) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[0].startswith("  ok    connection       acme, from connections.yml")
    assert [line for line in lines if len(line) > 80 and str(here) not in line] == []
    named = [line[8:23].strip() for line in lines[:-1] if line[2:6].strip()]
    assert named == ["connection", "token", "rate limit", *BY_DEFAULT, "lake", "lock", "prefect"]
    assert "".join(line[2:6] for line in lines[:-1]).split() == ["ok"] * len(named)
    assert lines[-1] == "All is well."
    assert [path.name for path in here.iterdir()] == ["connections.yml"]
    assert not (here.parent / "prefect").exists()


def test_the_findings_stand_below_each_other_beside_a_table_with_a_long_name(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(connection=CONNECTION, tables=["conversation_teammates"]) == 0
    found = {line[8:30].strip(): line[32:] for line in capsys.readouterr().out.splitlines()[:-1] if line[2:6].strip()}
    assert found["conversation_teammates"].startswith("is made from conversations")
    assert found["conversations"] == "12 rows"
    assert found["connection"].startswith("acme, from connections.yml")


RUN_AND_TELL = """
import sys
from intercom.cli.commands.check import check
light = not {"intercom.api", "intercom.lake", "pyarrow", "prefect"} & sys.modules.keys()
status = check(connection=sys.argv[1], tables=("tags",))
print("imported before", not light, "prefect", "prefect" in sys.modules)
sys.exit(status)
"""


def test_prefect_is_never_imported_and_nothing_is_logged(rig: Rig, here: Path, played: PlayedPrefect) -> None:
    rig.workspace.options.region = "EU"  # of which a run logs a warning
    block(played, access_token=TOKEN, base_url=rig.server.base_url)
    result = subprocess.run(
        [sys.executable, "-c", RUN_AND_TELL, CONNECTION], env={**inherited(), "PREFECT_API_URL": played.url},
        cwd=here, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    assert "from block intercom-connection/acme" in " ".join(result.stdout.split())
    assert result.stdout.splitlines()[-1] == "imported before False prefect False"


PATIENT = f"""
from dataclasses import replace
from intercom.cli.checks import workspace
workspace.POLICY = replace(workspace.POLICY, read_seconds=300.0)
{RUN_AND_TELL}
"""


def test_ctrl_c_waits_for_no_request(rig: Rig, here: Path) -> None:
    rig.server.fail("/tags", "delay", seconds=60, times=9)
    command = [sys.executable, "-c", PATIENT, CONNECTION]
    with children_get_sigint():
        process = subprocess.Popen(
            command, env={**inherited(), "INTERCOM_ACCESS_TOKEN": TOKEN, "PREFECT_HOME": str(here)}, cwd=here,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    with process:
        for _ in range(600):
            if rig.server.requests("/tags"):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=30) != 0  # the request is answered after a minute
        finally:
            process.kill()
    assert not (here / "lake").exists()
