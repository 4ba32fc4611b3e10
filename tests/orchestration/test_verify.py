"""The flow intercom-verify, as a schedule runs it: its state, its artifact, and what it leaves in the lake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intercom.lake.run_summaries import RunSummaries
from tests.support.prefect_server import Prefect
from tests.support.rig import CONNECTION, Rig


@pytest.mark.slow
def test_a_verification_fails_over_a_difference_repairs_it_and_is_shown(
    prefect: Prefect, rig: Rig, tmp_path: Path
) -> None:
    file = rig.connections_file(tmp_path)
    rig.sync(["contacts", "tags"])

    def run(*options: str) -> tuple[int, dict[str, object]]:
        ended = prefect.run(
            "flows/verify.py", "--connection", CONNECTION, "--connections-file", str(file), "--lake", rig.lake_url,
            "--json", *options, INTERCOM_ACCESS_TOKEN=rig.server.token,
        )  # fmt: skip
        assert rig.server.token not in ended.stdout + ended.stderr
        return ended.returncode, json.loads(ended.stdout)

    status, told = run()
    assert (status, told["ok"]) == (0, True), told
    path = rig.lake_folder / "data" / CONNECTION / "tags" / "data.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    status, told = run("--local-only", "--repair")
    assert status == 1
    assert "1 difference in 1 table" in str(told["message"])
    state = rig.lake_table("tags").state()
    assert state is not None
    assert state.damaged == ("",)
    summaries = RunSummaries(rig.lake(), CONNECTION, "verified")
    assert [summaries.read(name) for name in summaries.names()][-1] == told
    body = {"artifacts": {"key": {"any_": [f"intercom-{CONNECTION}-verified"]}}, "sort": "CREATED_DESC"}
    assert "1 difference in 1 table" in prefect.post("artifacts/filter", body)[0]["data"]
