"""The blocks as a Prefect collection has them: Prefect's own suite, the client, and where Prefect finds the classes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.abstract import CredentialsBlock
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites.blocks import HAS_PIL, BlockStandardTestSuite
from pydantic import HttpUrl

import intercom
from intercom.blocks import IntercomConnection, IntercomWatermark
from intercom.errors import ConfigurationError
from tests.support.prefect_server import inherited, warm_python
from tests.support.relay import serving
from tests.support.rig import Rig
from tests.support.warm import INSTALLED

PACKAGE = Path(intercom.__file__).parent
ROOT = PACKAGE.parent
PICTURE = (PACKAGE / "logo.png").read_bytes()


class Pictures(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(PICTURE)))
        self.end_headers()
        self.wfile.write(PICTURE)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def picture_url() -> Iterator[str]:
    with serving(Pictures) as url:
        yield f"{url}/logo.png"


class TestPrefectsSuite(BlockStandardTestSuite):
    """What Prefect asks of the blocks of a collection; the picture comes from loopback, not from its https address."""

    @pytest.fixture(params=[IntercomConnection, IntercomWatermark], ids=lambda kind: kind.__name__)
    def block(self, request: pytest.FixtureRequest, picture_url: str, monkeypatch: pytest.MonkeyPatch) -> type[Block]:
        assert HAS_PIL  # else the suite skips its test of the picture
        kind: type[Block] = request.param
        assert str(kind._logo_url).startswith("https://")  # which Prefect takes
        monkeypatch.setattr(kind, "_logo_url", HttpUrl(picture_url))
        return kind


def test_a_connection_is_a_credentials_block_that_gives_a_client_of_the_api(rig: Rig) -> None:
    block = IntercomConnection(
        access_token=rig.server.token, base_url=rig.server.base_url, requests_per_10s=80, requests_in_flight=3
    )
    assert isinstance(block, CredentialsBlock)
    with closing(block.get_client()) as client, closing(block.get_client()) as other:
        assert client.limiter is not other.limiter
        assert client.limiter.most_in_flight == 3
        assert client.limiter.usage().limit == 80
        answer = client.for_table("workspace", scope="read admins").get("/me")  # as in the example of the block
    assert json.loads(bytes(answer.fields["app"]))["id_code"] == rig.workspace.options.app_id


def test_the_client_of_a_block_with_a_wrong_value_is_an_error_that_names_the_block_and_no_token() -> None:
    block = IntercomConnection(access_token="Bearer secret-token")
    with pytest.raises(ConfigurationError) as caught:
        block.get_client()
    assert str(caught.value).startswith("block intercom-connection/unsaved: the access token contains")
    block._block_document_name = "acme"
    with pytest.raises(ConfigurationError, match=r"^block intercom-connection/acme: ") as caught:
        block.get_client()
    assert "secret-token" not in str(caught.value)


def python(program: str, *arguments: str, path: Path | None = None) -> str:
    """What a new Python process prints, in which `path` stands before all else."""
    found = os.pathsep.join(str(folder) for folder in (path, ROOT) if folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "INTERCOM_"))}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**environment, "PYTHONPATH": found}, capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip


def test_importing_the_package_imports_neither_prefect_nor_arrow() -> None:
    program = (
        "import sys, intercom\n"
        "print(dir(intercom), [name for name in ('prefect', 'pyarrow', 'pydantic') if name in sys.modules])"
    )
    printed = python(program)
    assert printed.endswith(" []\n")
    assert all(f"'{name}'" in printed for name in intercom.__all__)


def test_the_package_exports_its_blocks_and_flows_and_nothing_else() -> None:
    assert {name: getattr(intercom, name).__name__ for name in intercom.__all__} == {
        "IntercomConnection": "IntercomConnection",
        "IntercomWatermark": "IntercomWatermark",
        "compact_flow": "compact",
        "reconcile_flow": "reconcile",
        "verify_flow": "verify",
        "sync_flow": "sync",
    }
    assert intercom.IntercomConnection is IntercomConnection
    assert (intercom.sync_flow.name, intercom.compact_flow.name) == ("intercom-sync", "intercom-compact")
    assert intercom.reconcile_flow.name == "intercom-reconcile"
    with pytest.raises(AttributeError, match="module 'intercom' has no attribute 'sync_flows'"):
        intercom.sync_flows  # noqa: B018


IMPORTS = """
import sys
assert "prefect" in sys.modules and "intercom" not in sys.modules
exec(sys.argv[1])
from intercom import sync_flow
import intercom.sync
print(sync_flow.name, intercom.sync)
"""


@pytest.mark.parametrize("before", ["import intercom.sync.plan", "import intercom"])
def test_the_flow_has_a_name_that_the_room_sync_does_not_take(before: str, tmp_path: Path) -> None:
    """In forks that have imported Prefect, whose import takes seconds, and import the package anew."""
    (tmp_path / "checkout.pth").write_text(f"{ROOT}\n")
    environment = {**inherited(), INSTALLED: str(tmp_path)}
    done = warm_python().run(["-P", "-c", IMPORTS, before], env=environment, cwd=tmp_path, timeout=120)
    assert done.stdout.startswith("intercom-sync <module 'intercom.sync' from "), done.stderr


def test_prefect_finds_the_blocks_where_nobody_has_imported_them(tmp_path: Path) -> None:
    """As in a program that holds a block of ours in one of its own: by the entry point of the installed package."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["prefect.collections"]
    info = tmp_path / "intercom_lake-99.dist-info"  # as an installation writes it
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: intercom-lake\nVersion: 99\n")
    lines = "".join(f"{name} = {module}\n" for name, module in points.items())
    (info / "entry_points.txt").write_text(f"[prefect.collections]\n{lines}")
    program = (
        "import sys; from prefect.blocks.core import Block; assert 'intercom' not in sys.modules\n"
        "for slug in sys.argv[1:]: print(Block.get_block_class_from_key(slug))\n"
        "assert 'pyarrow' not in sys.modules"
    )
    slugs = ["intercom-connection", "intercom-watermark"]
    assert python(program, *slugs, path=tmp_path).splitlines() == [
        "<class 'intercom.blocks.IntercomConnection'>",
        "<class 'intercom.blocks.IntercomWatermark'>",
    ]
    assert set(points) == {"intercom_lake"}  # the distribution's name, by which Prefect tells a worker's version
