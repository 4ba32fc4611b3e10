"""Replaces an S3 object only while it is the version that was seen, and finds out whether a store can do that.

Source: Amazon S3 User Guide, "Conditional writes": ``If-Match`` with an ETag, ``If-None-Match: *`` for a new object;
412 when the condition does not hold, 404 when the object is gone, 409 while another write of it is under way.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from intercom.lake.object_store import code_of, status_of

_UNDER_WAY = 409
_TRIES = 5
_IN_ONE_REQUEST = 100 << 20
"""Bytes; larger files are uploaded in pieces, which are held in memory while they are sent."""
_PIECE = 32 << 20
_MOST_PIECES = 9_000
"""S3 takes 10,000."""
_AT_A_TIME = 3


class ConditionFailed(Exception):
    """The object is not the version that was to be replaced."""


def replace(fs: Any, path: str, data: bytes, etag: str | None) -> str:
    """Put an object, full path, in place of the version `etag`, or where there is none if that is None; its new ETag.

    Raises ConditionFailed when there is another version, or none; else what the filesystem raises.
    """
    bucket, key, _ = fs.split_path(path)
    try:
        answer = _conditionally(lambda: fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, **_condition(etag)))
    except ConditionFailed:
        found = stored(fs, path)  # sent again after a break in the network, and the first one is there
        if found is None or found[0] != data:
            raise
        return found[1]
    return str(answer["ETag"])


def replace_by_file(fs: Any, path: str, file: Path, etag: str | None) -> None:
    """`replace` with the content of a local file, in one atomic step whatever its size."""
    size = file.stat().st_size
    if size <= _IN_ONE_REQUEST:
        replace(fs, path, file.read_bytes(), etag)
        return
    bucket, key, _ = fs.split_path(path)
    upload = {"Bucket": bucket, "Key": key}
    upload["UploadId"] = fs.call_s3("create_multipart_upload", **upload)["UploadId"]
    length = max(_PIECE, -(-size // _MOST_PIECES))

    def send(number: int) -> dict[str, Any]:
        with file.open("rb") as content:
            content.seek((number - 1) * length)
            answer = fs.call_s3("upload_part", **upload, PartNumber=number, Body=content.read(length))
        return {"PartNumber": number, "ETag": answer["ETag"]}

    try:
        with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="upload") as pool:
            pieces = {"Parts": list(pool.map(send, range(1, -(-size // length) + 1)))}
        _conditionally(
            lambda: fs.call_s3("complete_multipart_upload", **upload, MultipartUpload=pieces, **_condition(etag))
        )
    except BaseException:
        with suppress(Exception):  # what went wrong before is to be told
            fs.call_s3("abort_multipart_upload", **upload)
        raise


def stored(fs: Any, path: str) -> tuple[bytes, str] | None:
    """An object's content and ETag; None when there is none.

    The ETag is asked for first: of an object that is replaced in between it is the older one, which replaces nothing.
    """
    try:
        etag = str(fs.info(path, refresh=True)["ETag"])
        return bytes(fs.cat_file(path)), etag
    except FileNotFoundError:
        return None


def why_not_conditional(fs: Any, path: str) -> str | None:
    """Why a store does not replace conditionally, found by trying it on a path of its own; None when it does.

    Raises what the filesystem raises when the store does not take the object without a condition either.
    """
    fs.pipe_file(path, b"{}")
    for _ in range(2):  # twice, else a hiccup would switch it off
        try:
            found = stored(fs, path)
            assert found is not None
            etag = replace(fs, path, b'{"by": "the right ETag"}', found[1])
            break
        except ConditionFailed:
            refusal = "the right ETag is refused"
        except Exception as error:
            refusal = f"it refuses to ({error})"
    else:
        return refusal
    wrong = f'"{"0" * 32}"'
    for data, condition in ((b'{"by": "a wrong ETag"}', wrong), (b'{"by": "no ETag"}', None)):
        try:
            replace(fs, path, data, condition)
        except ConditionFailed:
            continue
        except Exception as error:
            return f"a condition that does not hold is answered by something else ({error})"
        return "a condition that does not hold is ignored"
    return None if stored(fs, path) == (b'{"by": "the right ETag"}', etag) else "another ETag is told than was answered"


def _condition(etag: str | None) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}


def _conditionally(send: Callable[[], Any]) -> Any:
    for _ in range(_TRIES):
        try:
            return send()
        except FileExistsError as error:
            raise ConditionFailed from error
        except OSError as error:
            status = status_of(error)
            if status == 412 or (status == 404 and code_of(error) in ("NoSuchKey", "404")):
                raise ConditionFailed from error
            if status != _UNDER_WAY:
                raise
    raise ConditionFailed
