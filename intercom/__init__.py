"""Copy an Intercom workspace into a merged, partitioned Parquet lake."""
