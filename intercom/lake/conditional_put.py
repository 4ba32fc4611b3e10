"""Conditional writes of objects: create one only if none exists, replace one only if its ETag still matches.

Source: Amazon S3 User Guide, "Conditional writes": ``If-Match`` with an ETag, ``If-None-Match: *`` for a new object;
status 412 when the condition does not hold, 404 when the object is gone, 409 while another write of it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

_DOES_NOT_HOLD = 412
_UNDER_WAY = 409
_TRIES = 5
IN_ONE_REQUEST = 48 << 20
PIECE = 16 << 20
_MOST_PIECES = 9_000
"""Most pieces of one upload; S3 allows 10,000."""
_AT_A_TIME = 3


class ConditionFailed(Exception):
    """The object is not the version that was to be replaced."""


def create(fs: Any, path: str, data: bytes) -> bool:
    """Write an object of an fsspec filesystem, by its full path, unless it exists; False when it exists.

    False also when the store has answered 409 (another write is under way) to all tries. Raises the filesystem's error
    when the store refuses for another reason.
    """
    for _ in range(_TRIES):
        try:
            fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            status = _status_of(error)
            if status == _DOES_NOT_HOLD:  # s3fs raises FileExistsError only for the wording of AWS
                return False
            if status != _UNDER_WAY:
                raise
        else:
            return True
    return False


class ConditionalPut:
    """Replaces objects below the root of an S3 filesystem; paths are relative to it.

    Files of more bytes than `in_one_request` are uploaded in pieces, which are held in memory while they are sent.
    Raises ConditionFailed when another version of the object, or no object, is there; else the filesystem's errors.
    """

    def __init__(self, fs: Any, root: str, *, in_one_request: int = IN_ONE_REQUEST, piece: int = PIECE) -> None:
        self._fs, self._root = fs, root
        self._in_one_request, self._piece = in_one_request, piece

    def read(self, path: str) -> tuple[bytes, str] | None:
        """An object's content and ETag; None when there is none.

        The ETag is read before the content. If the object is replaced in between, the ETag is outdated, and a
        replacement with it fails instead of overwriting content that was not read.
        """
        try:
            etag = str(self._fs.info(self._at(path), refresh=True)["ETag"])
            return bytes(self._fs.cat_file(self._at(path))), etag
        except FileNotFoundError:
            return None

    def replace(self, path: str, data: bytes, etag: str | None) -> str:
        """Replace the version `etag` of an object, or create the object if `etag` is None; gives the new ETag."""
        condition = _condition(etag)
        try:
            answer = _conditionally(lambda: self._fs.call_s3("put_object", **self._named(path), Body=data, **condition))
        except ConditionFailed:
            found = self.read(path)  # a retry fails if the first request, whose answer was lost, has succeeded
            if found is None or found[0] != data:
                raise
            return found[1]
        return str(answer["ETag"])

    def replace_by_file(self, path: str, file: Path, etag: str | None) -> None:
        """`replace` with the content of a local file, in one atomic step whatever its size."""
        size = file.stat().st_size
        if size <= self._in_one_request:
            self.replace(path, file.read_bytes(), etag)
            return
        fs, upload = self._fs, self._named(path)
        upload["UploadId"] = fs.call_s3("create_multipart_upload", **upload)["UploadId"]
        length = max(self._piece, -(-size // _MOST_PIECES))

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
            with suppress(Exception):  # the error before it must be raised
                fs.call_s3("abort_multipart_upload", **upload)
            raise

    def why_not(self, path: str) -> str | None:
        """Why the store does not replace conditionally, found by trial writes to `path`; None when it does.

        Raises the filesystem's error when the store refuses an unconditional write, too.
        """
        self._fs.pipe_file(self._at(path), b"{}")
        for _ in range(2):  # twice, so that one transient error does not switch it off
            try:
                found = self.read(path)
                assert found is not None
                etag = self.replace(path, b'{"by": "the right ETag"}', found[1])
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
                self.replace(path, data, condition)
            except ConditionFailed:
                continue
            except Exception as error:
                return f"a condition that does not hold is answered by something else ({error})"
            return "a condition that does not hold is ignored"
        there = self.read(path)
        return None if there == (b'{"by": "the right ETag"}', etag) else "it answers and lists different ETags"

    def _named(self, path: str) -> dict[str, str]:
        bucket, key, _ = self._fs.split_path(self._at(path))
        return {"Bucket": bucket, "Key": key}

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"


def _condition(etag: str | None) -> dict[str, str]:
    return {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}


def _conditionally(send: Callable[[], Any]) -> Any:
    for _ in range(_TRIES):
        try:
            return send()
        except FileExistsError as error:
            raise ConditionFailed from error
        except OSError as error:
            status = _status_of(error)
            if status == _DOES_NOT_HOLD or (status == 404 and _code_of(error) in ("NoSuchKey", "404")):
                raise ConditionFailed from error
            if status != _UNDER_WAY:
                raise
    raise ConditionFailed


def _status_of(error: OSError) -> int | None:
    """The HTTP status of the answer that an S3 filesystem has turned into this error; None when there was none."""
    status: int | None = _answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _code_of(error: OSError) -> str | None:
    """The code in that answer, such as ``NoSuchKey``."""
    code: str | None = _answer(error).get("Error", {}).get("Code")
    return code


def _answer(error: OSError) -> Mapping[str, Any]:
    return getattr(error.__cause__, "response", None) or {}
