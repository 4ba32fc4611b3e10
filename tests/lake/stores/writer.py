"""A process that writes into a lake until it is killed: ``writer URL OPTIONS PATH MEGABYTES HOW``.

HOW is ``publish`` (one file of so many megabytes), ``pieces`` (the same, uploaded in pieces of 5 MB) or ``half`` (says
``half`` when a file is half written, and waits).
"""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partialmethod

import pyarrow as pa
import pyarrow.parquet as pq
import s3fs

from intercom.lake.storage import Lake


def main(url: str, options: str, path: str, megabytes: str, how: str) -> None:
    if how == "pieces":  # as files of more than 100 MB are
        s3fs.S3FileSystem._put_file = partialmethod(s3fs.S3FileSystem._put_file, chunksize=5 << 20)
    lake = Lake(url, json.loads(options))
    rows = pa.table({"id": [os.urandom(1 << 20) for _ in range(int(megabytes))]})
    with lake.scratch() as written, pq.ParquetWriter(written, rows.schema, compression="none") as writer:
        writer.write_table(rows)
        if how == "half":
            print("half", flush=True)
            time.sleep(600)
        writer.close()
        lake.publish(written, path, rows=rows.num_rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
