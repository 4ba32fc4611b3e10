"""An S3 server of another make than moto, which checks signatures: rclone on a free port of loopback."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lake.stores.kinds import Endpoint

KEY, SECRET = "acme-key", "acme-very-secret"


@contextmanager
def rclone(folder: Path) -> Iterator[Endpoint]:
    """Serves the folder's sub-folders as buckets; ends with the block."""
    command = [str(Path(sys.executable).with_name("rclone")), "serve", "s3", "--config", "", "--addr", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--auth-key", f"{KEY},{SECRET}", str(folder)], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"Starting s3 server on \[(http://127\.0\.0\.1:\d+)", line):
                drain = threading.Thread(target=process.stderr.read, daemon=True)
                drain.start()  # it says much, and waits when nobody listens
                try:
                    yield Endpoint(found[1], KEY, SECRET, folder)
                finally:
                    process.terminate()
                    drain.join()
                return
        raise RuntimeError(f"rclone did not start: {''.join(said)}")
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()
