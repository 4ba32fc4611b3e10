"""A workspace that changes by itself: what is new and what has changed is found as any other change is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

import requests

from intercom.sandbox import Workspace
from intercom.sandbox.changes import changes

ALL = {"query": {"field": "created_at", "operator": ">", "value": 0}}


def test_each_step_creates_or_changes_one_record() -> None:
    workspace = Workspace.seeded(contacts=20, conversations=0, now=1_000_000_000)
    before = {row["id"]: row for row in workspace.rows("contacts")}
    workspace.travel_to(2_000_000_000)
    steps = list(islice(changes(workspace, seed=1), 100))
    contacts = {row["id"]: row for row in workspace.rows("contacts")}
    assert before.keys() < contacts.keys()
    later = [row for row in contacts.values() if row["updated_at"] >= 2_000_000_000]
    assert len(later) > len(contacts) - len(before)  # others have changed
    assert all(row == before[row["id"]] for row in contacts.values() if row not in later)
    assert {"contacts", "conversations"} == set(steps)
    assert len(workspace.rows("conversations")) > 0  # of none, too


def test_a_sandbox_that_is_started_again_has_the_same_records_and_the_present_time() -> None:
    """So a run that it has left half-way can go on, and its lake is proven."""
    day = None
    while day != time.time() // 86_400:  # once more if midnight was in between
        day = time.time() // 86_400
        first, second = contacts_of_a_sandbox(), contacts_of_a_sandbox()
    assert first == second
    assert len(first) == 20


def contacts_of_a_sandbox() -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "intercom.cli.app", "sandbox", "--contacts", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        headers = {"Authorization": f"Bearer {words[-1]}", "Intercom-Version": "2.14"}
        try:
            answer = requests.post(f"{words[3]}/contacts/search", json=ALL, headers=headers, timeout=5)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert abs(parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()) < 60
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_the_command_makes_changes_until_it_is_told_to_stop() -> None:
    command = [sys.executable, "-m", "intercom.cli.app", "sandbox", "--contacts", "5"]
    with subprocess.Popen([*command, "--changes-per-minute", "6000"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        headers = {"Authorization": f"Bearer {words[-1]}", "Intercom-Version": "2.14"}
        count, until = 5, time.monotonic() + 30
        try:
            while count == 5 and time.monotonic() < until:
                answer = requests.post(f"{words[3]}/contacts/search", json=ALL, headers=headers, timeout=5)
                count = answer.json()["total_count"]
        finally:
            process.send_signal(signal.SIGTERM)
        assert count > 5
        assert process.wait(timeout=10) == 0
