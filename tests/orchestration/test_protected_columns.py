"""Protected values and the key they are hashed with are in nothing that a flow prints, logs, or leaves with Prefect."""

from __future__ import annotations

import json
from collections.abc import Callable

from intercom.normalise.protect import MASKED
from tests.support.needles import COLUMNS, ERROR, TABLES, files_with_needles, found_in, plant_needles
from tests.support.prefect_server import Prefect
from tests.support.rig import Rig

KEY = "hash-key-of-a-flow-never-shown"
BLOCK = """
import json, sys
from intercom.blocks import IntercomConnection
token, url, name, key, columns = sys.argv[1:]
block = IntercomConnection(access_token=token, base_url=url, hash_key=key, columns=json.loads(columns))
block.save(name, overwrite=True)
"""


def test_no_protected_value_and_no_key_reaches_prefect_or_the_shell(
    make_rig: Callable[..., Rig], prefect: Prefect
) -> None:
    sizes = {"contacts": 6, "companies": 3, "conversations": 4, "conversation_parts": 6, "articles": 0}
    rig = make_rig(**sizes, tags=2, admins=2, history_days=40)
    plant_needles(rig.workspace)
    name = "protected-columns"
    saved = prefect.run("-c", BLOCK, rig.server.token, rig.server.base_url, name, KEY, json.dumps(COLUMNS))
    assert saved.returncode == 0, saved.stderr
    rig.server.fail("/contacts/search", "status", status=500, body=ERROR)
    rig.server.fail("/companies/scroll", "status", status=403, body=ERROR, times=100)
    more = json.dumps({"contacts": {"mask": ["external_id"]}})
    arguments = ("flows/sync.py", "--connection", name, "--lake", rig.lake_url, "--tables", ",".join(TABLES))
    run = prefect.run(*arguments, "--columns", more)
    assert run.returncode == 1
    assert "companies failed" in run.stderr
    assert "forbidden" in run.stderr or "403" in run.stderr
    rig.connection, rig.options = name, {"columns": COLUMNS, "hash_key": KEY}
    with_more = {**COLUMNS, "contacts": {**COLUMNS["contacts"], "mask": [*COLUMNS["contacts"]["mask"], "external_id"]}}
    rig.options["columns"] = with_more
    assert set(rig.rows("contacts").column("external_id").to_pylist()) <= {MASKED, None}

    rig.server.clear_faults()
    compacted = prefect.run("flows/compact.py", "--connection", name, "--lake", rig.lake_url)
    assert compacted.returncode == 0, compacted.stderr
    weaker = prefect.run(
        "flows/sync.py", "--connection", name, "--lake", rig.lake_url, "--columns", '{"contacts": {"hash": ["avatar"]}}'
    )
    assert weaker.returncode == 2
    assert "only add protection" in weaker.stderr
    for output in (run, compacted, weaker):
        assert not found_in((output.stdout + output.stderr).encode())
        assert KEY not in output.stdout + output.stderr
    assert files_with_needles(rig.lake_folder) == []
    assert not found_in(prefect.stored())
    assert KEY.encode() not in prefect.stored()
