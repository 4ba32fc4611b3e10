"""Memory settings of a process that runs syncs: freed memory goes back to the system instead of into reserves.

Tens of threads take and free pages and columns of some megabytes in turn, and allocators keep reserves for each thread:
on a first load of 60,000 contacts they were a third of the process.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_ARENA_MAX = -8  # glibc's malloc.h
_ARENAS = 2


def return_freed_memory() -> None:
    """Arrow uses the system's allocator, unless the environment names one, and that keeps few arenas.

    To be called before pyarrow is imported, which chooses then.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)
