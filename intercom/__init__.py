"""Copy an Intercom workspace into a merged, partitioned Parquet lake."""

from intercom._allocator import keep_small

keep_small()  # here, because no module of this package comes earlier, and so none that imports pyarrow
