"""Arrow helpers, and what importing them settles."""

from __future__ import annotations

import subprocess
import sys

import pandas

PROGRAM = """
import sys
import pyarrow, pyarrow.compute
print("pandas" in sys.modules)
import intercom.compaction.arrow
print("pandas" in sys.modules)
"""


def test_pyarrow_has_looked_for_pandas_before_tables_do_at_the_same_time() -> None:
    """Two threads that import it at once can fail: one finds it half imported."""
    assert pandas.__version__  # it is here, as it may be beside an installation of ours
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
