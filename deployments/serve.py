"""Serve the deployments of the project's prefect.yaml: ``python deployments/serve.py``, as ``intercom-lake serve``."""

from __future__ import annotations

import sys
from pathlib import Path

from intercom.cli.commands.serve import serve

if __name__ == "__main__":
    sys.exit(serve(file=Path(__file__).parents[1] / "prefect.yaml"))
