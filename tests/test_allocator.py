"""The allocator of a process that uses the package: chosen when it is imported, before pyarrow is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("wanted", "used"), [(None, "system"), ("mimalloc", "mimalloc")])
def test_arrow_uses_the_systems_allocator_unless_the_environment_says_otherwise(wanted: str | None, used: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    environment |= {} if wanted is None else {"ARROW_DEFAULT_MEMORY_POOL": wanted}
    program = "import intercom.lake.storage, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == used
