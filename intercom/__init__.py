"""Copy an Intercom workspace into a merged, partitioned Parquet lake."""

from intercom._allocator import return_freed_memory

return_freed_memory()  # here, because no module of this package comes earlier, and so none that imports pyarrow
