"""A simulated Intercom workspace behind a real HTTP server, for tests and for a demo without an account.

It answers as the REST API 2.14 does, and where that is in doubt, as ``Workspace.options`` says. It shares no code with
the client, so that a wrong reading of the API on one side shows up on the other.
"""

from intercom.sandbox.answers import Answer
from intercom.sandbox.faults import Fault
from intercom.sandbox.logged import LoggedRequest
from intercom.sandbox.options import Options
from intercom.sandbox.records import ABSENT, raw
from intercom.sandbox.server import SandboxServer
from intercom.sandbox.workspace import TABLES, Workspace

__all__ = [
    "ABSENT",
    "TABLES",
    "Answer",
    "Fault",
    "LoggedRequest",
    "Options",
    "SandboxServer",
    "Workspace",
    "raw",
]
