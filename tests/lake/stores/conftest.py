"""Empty stores of every kind; a test says which kinds it applies to by parametrising `store`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from intercom.lake.storage import Lake
from tests.lake.stores.kinds import KINDS, LOCAL, MEMORY, MOTO, RCLONE, Backend, Endpoint, Kind, s3_backend
from tests.lake.stores.servers import rclone
from tests.support.service_models import share_service_models


@pytest.fixture(scope="session")
def rclone_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    share_service_models()
    with rclone(tmp_path_factory.mktemp("buckets")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def rclone_client(rclone_endpoint: Endpoint) -> Iterator[Any]:
    client = rclone_endpoint.client()
    yield client
    client.close()


@pytest.fixture(scope="session")
def moto_endpoint(s3_endpoint: str) -> Endpoint:
    return Endpoint(s3_endpoint, "test", "test")


@pytest.fixture(scope="session")
def moto_client(moto_endpoint: Endpoint) -> Iterator[Any]:
    client = moto_endpoint.client()
    yield client
    client.close()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    kind: Kind = request.param
    if kind is LOCAL:
        yield Backend(kind, str(tmp_path / "lake"))
    elif kind is MEMORY:
        root = f"/lake-{uuid.uuid4().hex}"
        yield Backend(kind, f"memory:/{root}")
        memory = fsspec.filesystem("memory")
        if memory.exists(root):
            memory.rm(root, recursive=True)
    else:
        name = {MOTO: "moto", RCLONE: "rclone"}[kind]
        endpoint, client = (request.getfixturevalue(f"{name}_{what}") for what in ("endpoint", "client"))
        yield s3_backend(kind, endpoint, client)


@pytest.fixture
def lake(store: Backend) -> Lake:
    return store.lake()
