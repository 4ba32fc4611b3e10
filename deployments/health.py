"""The image's HEALTHCHECK: exit status 0 while this container works, else 1 and the reason.

``serve.py`` works as long as it asks Prefect for runs, which its own web server says. A container that a worker has
started for one run ends with it, and so works as long as it is there.
"""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path


def main(first_process: Path = Path("/proc/1/cmdline")) -> int:
    """The exit status; an answer other than 200 comes as OSError."""
    if b"serve.py" not in first_process.read_bytes():
        return 0
    past_proxies = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    port = os.environ.get("PREFECT_RUNNER_SERVER_PORT", "8080")
    try:
        past_proxies.open(f"http://localhost:{port}/health", timeout=5).close()
    except OSError as error:
        print(f"serve.py does not ask Prefect for runs any more, or not yet: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
