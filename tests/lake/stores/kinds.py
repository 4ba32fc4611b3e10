"""The stores that a lake can be in, and what each of them cannot do: the one place that says so."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import fsspec
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from intercom.lake.storage import Lake

REGION = "us-east-1"


@dataclass(frozen=True)
class Kind:
    """A kind of store. Whatever is not said here, all of them can do."""

    name: str
    other_processes_see_it: bool = True
    creates_exclusively: bool = True
    replaces_conditionally: bool = False
    gives_ranges: bool = True
    checks_credentials: bool = False
    s3: bool = False


LOCAL = Kind("local")
MEMORY = Kind("memory", other_processes_see_it=False)
MOTO = Kind("moto", replaces_conditionally=True, s3=True)
RCLONE = Kind("rclone", s3=True, creates_exclusively=False, gives_ranges=False, checks_credentials=True)
KINDS = [LOCAL, MEMORY, MOTO, RCLONE]


@dataclass(frozen=True)
class Endpoint:
    """An S3 server on loopback; `folder` is where it keeps its buckets, if it does that on disk."""

    url: str
    key: str
    secret: str
    folder: Path | None = None

    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name=REGION,
        )


@dataclass(frozen=True)
class Backend:
    """One empty store: a lake's URL and options, and a second client that knows nothing of ours."""

    kind: Kind
    url: str
    options: dict[str, Any] = field(default_factory=dict)
    endpoint: Endpoint | None = None
    client: Any = None

    def lake(self, **options: Any) -> Lake:
        return Lake(self.url, {**self.options, **options})

    def put(self, path: str, content: bytes) -> None:
        """As another program writes it, with clients of its own."""
        if self.kind.s3:
            self.client.put_object(Bucket=self.bucket, Key=f"{self._prefix}/{path}", Body=content)
        elif self.kind is LOCAL:
            at = Path(self.url, path)
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(content)
        else:
            fsspec.filesystem("memory").pipe_file(f"{self.url}/{path}", content)

    def get(self, path: str) -> bytes:
        if self.kind.s3:
            found: bytes = self.client.get_object(Bucket=self.bucket, Key=f"{self._prefix}/{path}")["Body"].read()
            return found
        if self.kind is LOCAL:
            return Path(self.url, path).read_bytes()
        return bytes(fsspec.filesystem("memory").cat_file(f"{self.url}/{path}"))

    def remove(self, path: str) -> None:
        if self.kind.s3:
            self.client.delete_object(Bucket=self.bucket, Key=f"{self._prefix}/{path}")
        elif self.kind is LOCAL:
            Path(self.url, path).unlink()
        else:
            fsspec.filesystem("memory").rm_file(f"{self.url}/{path}")

    def put_many(self, paths: Iterable[str], content: bytes) -> None:
        """The same content at many paths: past the server where there is one, since thousands of requests take long."""
        if self.kind is MOTO:
            backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
            for path in paths:
                backend.put_object(self.bucket, f"{self._prefix}/{path}", content)
        elif self.endpoint is not None and self.endpoint.folder is not None:
            replace(
                self, kind=LOCAL, endpoint=None, url=str(self.endpoint.folder / self.bucket / self._prefix)
            ).put_many(paths, content)
        else:
            for path in paths:
                self.put(path, content)

    def deny(self, action: str, below: str) -> None:
        """From now on the bucket refuses this to everybody."""
        resource = f"arn:aws:s3:::{self.bucket}/{self._prefix}/{below}/*"
        rule = {"Effect": "Deny", "Principal": "*", "Action": f"s3:{action}", "Resource": resource}
        policy = {"Version": "2012-10-17", "Statement": [rule]}
        self.client.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))

    @property
    def bucket(self) -> str:
        return self.url.removeprefix("s3://").split("/")[0]

    @property
    def _prefix(self) -> str:
        return self.url.removeprefix("s3://").split("/", 1)[1]


def s3_backend(kind: Kind, endpoint: Endpoint, client: Any) -> Backend:
    """A new bucket of a server."""
    bucket = f"lake-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    options = {"endpoint_url": endpoint.url, "key": endpoint.key, "secret": endpoint.secret}
    options["client_kwargs"] = {"region_name": REGION}
    return Backend(kind, f"s3://{bucket}/some/prefix", options, endpoint, client)


def kinds(applies: Callable[[Kind], bool] = lambda kind: True) -> list[Any]:
    """Parameters for tests that ask for `store`: the kinds that they apply to."""
    return [kind for kind in KINDS if applies(kind)]
