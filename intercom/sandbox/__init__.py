"""A simulated Intercom workspace behind a real HTTP server, for tests and for a demo without an account.

It answers as the REST API 2.14 does. Where the API's behaviour is in doubt, ``Workspace.options`` decide. The sandbox
shares no code with the client, so that a misunderstanding of the API on one side makes tests fail.
"""

from intercom.sandbox.answers import Answer
from intercom.sandbox.faults import Fault
from intercom.sandbox.listing import Paging
from intercom.sandbox.logged import LoggedRequest
from intercom.sandbox.options import Options
from intercom.sandbox.records import ABSENT, raw
from intercom.sandbox.server import SandboxServer
from intercom.sandbox.workspace import FURTHER, TABLES, Workspace

__all__ = [
    "ABSENT",
    "FURTHER",
    "TABLES",
    "Answer",
    "Fault",
    "LoggedRequest",
    "Options",
    "Paging",
    "SandboxServer",
    "Workspace",
    "raw",
]
