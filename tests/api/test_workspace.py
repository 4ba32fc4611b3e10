"""Whose token it is, and in which region it is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from intercom.api.retry import RetryPolicy
from intercom.api.workspace import ask_workspace, regions_that_accept
from intercom.config.connection import Region, make_connection
from intercom.sandbox import SandboxServer, Workspace
from tests.support.rig import Rig

ONE_TRY = RetryPolicy(tries=1, connect_seconds=2.0, read_seconds=2.0)


def test_a_workspace_tells_its_code_name_and_region(rig: Rig) -> None:
    rig.workspace.options.region = "EU"
    found = ask_workspace(rig.client())
    assert (found.code, found.name, found.region, found.doubt) == ("sbx7k2qd", "Sandbox", "eu", 0)


def test_a_workspace_that_tells_nothing(rig: Rig) -> None:
    rig.server.fail("/me", status=200, body={"type": "admin", "app": None})
    found = ask_workspace(rig.client())
    assert (found.code, found.name, found.region) == (None, None, None)


def test_a_name_that_repeats_the_token_is_not_shown(rig: Rig) -> None:
    rig.server.fail("/me", status=200, body={"app": {"name": rig.server.token, "region": rig.server.token}})
    found = ask_workspace(rig.client())
    assert rig.server.token not in f"{found.name} {found.region}"


@pytest.fixture
def regions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[Region, SandboxServer]]]:
    """Stand-ins for Intercom's three hosts, each with a token of its own."""
    with ExitStack() as stack:

        def make() -> dict[Region, SandboxServer]:
            workspace = Workspace.seeded(contacts=1, companies=1, conversations=1, articles=1)
            hosts = {
                region: stack.enter_context(SandboxServer(workspace, token=f"token-{region.value}"))
                for region in Region
            }
            monkeypatch.setattr(Region, "base_url", property(lambda region: hosts[region].base_url))
            return hosts

        yield make


def test_the_regions_that_take_a_token_are_found(regions: Callable[..., dict[Region, SandboxServer]]) -> None:
    hosts = regions()
    connection = make_connection(name="acme", access_token="token-au", region="us", place="test")
    assert regions_that_accept(connection, ONE_TRY) == [Region.AU]
    assert {region: len(host.requests("/me")) for region, host in hosts.items()} == {"us": 0, "eu": 1, "au": 1}
    hosts[Region.AU].fail("/me", status=403, times=9)  # a token without the permission to say whose it is
    assert regions_that_accept(connection, ONE_TRY) == [Region.AU]
    hosts[Region.AU].stop()
    assert regions_that_accept(connection, ONE_TRY) == []


def test_no_other_host_gets_the_token_of_a_connection_with_an_address_of_its_own(
    regions: Callable[..., dict[Region, SandboxServer]], rig: Rig
) -> None:
    hosts = regions()
    connection = make_connection(name="acme", access_token="token-au", base_url=rig.server.base_url, place="test")
    assert regions_that_accept(connection, ONE_TRY) == []
    assert [host.requests() for host in hosts.values()] == [[], [], []]
