"""botocore's descriptions of services, read once for all clients of a process.

Each session reads and parses some megabytes of JSON, two thirds of what a client costs, and each lake on S3 of a test
has a session of its own.
"""

from __future__ import annotations

from functools import cache

import botocore.loaders
import botocore.session


@cache
def share_service_models() -> None:
    """Let all sessions that are made from now on share one loader, and what it has loaded."""
    botocore.session.create_loader = cache(botocore.loaders.create_loader)
    files = botocore.loaders.JSONFileLoader()
    botocore.loaders.JSONFileLoader.load_file = staticmethod(cache(files.load_file))
