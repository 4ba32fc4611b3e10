"""Copy an Intercom workspace into a merged, partitioned Parquet lake."""

from intercom._allocator import return_freed_memory

return_freed_memory()  # here, because it must run before any module of this package imports pyarrow
