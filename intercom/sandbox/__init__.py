"""A simulated Intercom workspace behind a real HTTP server, for tests and for a demo without an account.

It answers as the REST API 2.14 does, and where that is in doubt, as ``Workspace.options`` says. It shares no code with
the client, so that a wrong reading of the API on one side shows up on the other.
"""

from .answers import Answer
from .faults import Fault
from .logged import LoggedRequest
from .options import Options
from .records import ABSENT, raw
from .server import SandboxServer
from .workspace import TABLES, Workspace

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
