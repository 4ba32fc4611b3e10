"""Memory settings of a process that runs syncs: freed memory is returned to the system instead of kept in reserve.

Tens of threads allocate and free pages and columns of some megabytes, and allocators keep reserves per thread. In a
first load of 60,000 contacts these reserves were a third of the process's memory.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_ARENA_MAX = -8  # glibc's malloc.h
_ARENAS = 2


def return_freed_memory() -> None:
    """Make Arrow use the system's allocator, and glibc use two arenas, unless environment variables say otherwise.

    Call this before pyarrow is imported, because pyarrow chooses its allocator at import.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)
